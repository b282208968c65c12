// Chat templates as checkpoints hold them: Jinja source. This program renders Qwen2.5's template natively
// (chat_template.h); here it is only recognised, and written for new checkpoints.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/status.h"

namespace qwen25 {

// A Jinja template that renders what RenderChat renders with this default system text. Shorter than the
// official source, and recognised by RecogniseChatTemplate.
std::string ChatTemplateSource(std::string_view default_system);

// What differs between the templates that RenderChat renders.
struct ChatFormat {
  std::string default_system;
  bool doubled_braces = false;  // ChatTemplateOptions::doubled_braces
  bool knows_tools = true;      // false for Qwen2's template: no lists of tools, calls or results
  bool operator==(const ChatFormat&) const = default;
};

// The format of a Jinja chat template that is Qwen2.5's, Qwen2's or ChatTemplateSource's, however it is
// spelled (jinja_tokens.h). kUnsupported, naming `origin`, for any other template: this program would render
// prompts that the model was not trained on.
Result<ChatFormat> RecogniseChatFormat(std::string_view jinja, std::string_view origin);
// The default system text of the format: all that matters without tools.
Result<std::string> RecogniseChatTemplate(std::string_view jinja, std::string_view origin);

// RecogniseChatTemplate for a checkpoint folder: chat_template.jinja, else `chat_template` in
// tokenizer_config.json (a string, or a list with a template called "default"), else `chat_template` in
// chat_template.json, where processors keep it. kNotFound if there is none.
Result<std::string> ReadChatTemplate(const std::filesystem::path& folder);
// The same, with all that RecogniseChatFormat finds.
Result<ChatFormat> ReadChatFormat(const std::filesystem::path& folder);

}  // namespace qwen25
