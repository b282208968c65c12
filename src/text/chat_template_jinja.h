// Chat templates as checkpoints carry them: Jinja source. This program renders Qwen2.5's natively
// (chat_template.h), so here it is only told from others, and written for checkpoints that are made here.
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
  bool operator==(const ChatFormat&) const = default;
};

// The format of a Jinja chat template, if the template is Qwen2.5's or ChatTemplateSource's, however it is
// spelled (jinja_tokens.h). The error names `origin`: kUnsupported for any other template, since rendering it
// with this format would feed the model prompts that it was not trained on.
Result<ChatFormat> RecogniseChatFormat(std::string_view jinja, std::string_view origin);
// The default system text of it: all that matters to a caller without tools.
Result<std::string> RecogniseChatTemplate(std::string_view jinja, std::string_view origin);

// RecogniseChatTemplate for a checkpoint folder: chat_template.jinja, else `chat_template` in
// tokenizer_config.json (a string, or a list with a template called "default"), else `chat_template` in
// chat_template.json, where processors keep it. kNotFound if there is none.
Result<std::string> ReadChatTemplate(const std::filesystem::path& folder);

}  // namespace qwen25
