// Renders conversations with a model's own chat template, as apply_chat_template of Hugging Face transformers
// does. chat_template.h is what other layers use.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/jinja/template.h"

namespace qwen25 {

// A conversation with all that a template sees of a request.
struct JinjaChat {
  Json messages = Json::array();  // objects, as a request holds them
  Json tools = nullptr;           // function signatures
  Json documents = nullptr;       // objects with "title" and "text"
  bool add_generation_prompt = false;
  // The prompt ends inside of the last message, which the model continues. The message's text must be what
  // the template prints.
  bool continue_final_message = false;
  Json variables = Json::object();  // further ones: {"enable_thinking": false}
  // "bos_token" and so on, as the tokenizer's configuration names them. `variables` win.
  std::vector<std::pair<std::string, std::string>> special_tokens = {};
};

// The prompt; marks say where its parts come from: system texts, tools and what the model said are trusted,
// roles are the template's words, and all else in messages and documents was said. Members that are null are
// left out of messages; a model's thoughts are there under each of their names ("reasoning_content",
// "thinking"). kInvalidArgument for messages that are no objects and for a last message that cannot be
// continued; errors of Template::Render.
Result<jinja::MarkedText> RenderJinjaChat(const jinja::Template& compiled, const JinjaChat& chat,
                                          const jinja::RenderOptions& options = {});

}  // namespace qwen25
