// The chat templates that are written out in C++ (qwen_chat.h), as checkpoints hold them: Jinja source. Here
// they are recognised, and written for new checkpoints.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace qwen25 {

// A Jinja template that renders what RenderQwenChat renders with this default system text. Shorter than the
// official source, and recognised by RecogniseChatTemplate.
std::string ChatTemplateSource(std::string_view default_system);

// What differs between the templates that RenderQwenChat renders.
struct ChatFormat {
  std::string default_system;
  bool doubled_braces = false;  // QwenChatOptions::doubled_braces
  bool knows_tools = true;      // false for Qwen2's template: no lists of tools, calls or results
  bool operator==(const ChatFormat&) const = default;
};

// The format of a Jinja chat template that is Qwen2.5's, Qwen2's or ChatTemplateSource's, however it is
// spelled (jinja_tokens.h). kUnsupported, naming `origin`, for any other template, which must be run.
Result<ChatFormat> RecogniseChatFormat(std::string_view jinja, std::string_view origin);
// The default system text of the format: all that matters without tools.
Result<std::string> RecogniseChatTemplate(std::string_view jinja, std::string_view origin);

}  // namespace qwen25
