#include "text/jinja_chat.h"

#include <algorithm>
#include <array>
#include <optional>

#include "text/jinja/text_tools.h"
#include "text/python_json.h"

namespace qwen25 {
namespace {

using jinja::DictData;
using jinja::Mark;
using jinja::MarkedText;
using jinja::Value;

// What is put behind the last message to find out where the template prints its end.
constexpr std::string_view kEndOfMessage = "CONTINUE_FINAL_MESSAGE_TAG ";
// The names of a model's thoughts; templates read the first.
constexpr std::array<std::string_view, 3> kThoughts = {"reasoning_content", "thinking", "reasoning"};

bool IsKnownRole(const Json& role) {
  static constexpr std::array<std::string_view, 5> kRoles = {"system", "developer", "user", "assistant",
                                                             "tool"};
  return role.is_string() && std::ranges::find(kRoles, role.get_ref<const std::string&>()) != kRoles.end();
}

Mark MarkOf(const Json& message) {
  const Json role = message.value("role", Json());
  const bool is_trusted = role == "system" || role == "developer" || role == "assistant";
  return is_trusted ? Mark::kTrusted : Mark::kSaid;
}

// The message without members that are null, and with its thoughts under all names.
Json Prepared(const Json& message) {
  Json prepared = Json::object();
  for (const auto& [key, value] : message.items()) {
    if (!value.is_null()) prepared[key] = value;
  }
  const auto thoughts =
      std::ranges::find_if(kThoughts, [&](std::string_view name) { return prepared.contains(name); });
  if (thoughts == kThoughts.end()) return prepared;
  const Json thought = prepared[*thoughts];
  Json named = {{"thinking", thought}};
  for (const auto& [key, value] : prepared.items()) named[key] = value;
  named["reasoning_content"] = thought;
  return named;
}

Value MessageValue(const Json& message) {
  const Mark mark = MarkOf(message);
  std::vector<DictData::Entry> entries;
  for (const auto& [key, value] : message.items()) {
    const bool is_role = key == "role" && IsKnownRole(value);
    entries.emplace_back(jinja::ValueOf(Json(key), mark),
                         jinja::ValueOf(value, is_role ? Mark::kTemplate : mark));
  }
  return Value::Dict(std::move(entries));
}

// Puts the tag behind the text of the last message; returns the text.
Result<std::string> TagLastMessage(Json& messages) {
  if (messages.empty()) return InvalidArgument("there is no last message to continue");
  Json& message = messages.back();
  if (!message.contains("content")) return InvalidArgument("the last message has no \"content\" to continue");
  Json* content = &message["content"];
  if (content->is_array()) {
    const auto part = std::find_if(content->rbegin(), content->rend(), [](const Json& item) {
      return item.is_object() && item.contains("text");
    });
    if (part == content->rend()) return InvalidArgument("the last message has no text to continue");
    content = &(*part)["text"];
  }
  if (!content->is_string()) {
    return InvalidArgument("the last message's text is {}, expected a string to continue",
                           PythonJson(*content));
  }
  const std::string text = *content;
  *content = text + std::string(kEndOfMessage);
  return text;
}

// The prompt up to the tag.
Result<MarkedText> UpToTag(const MarkedText& prompt, const std::string& message) {
  const std::string_view bare_tag = kEndOfMessage.substr(0, kEndOfMessage.size() - 1);
  const auto stripped = jinja::Strip(MarkedText(message), jinja::Side::kBoth, std::nullopt);
  const size_t at = prompt.text().rfind(bare_tag);
  if (at == std::string::npos || prompt.text().find(stripped.text()) == std::string::npos) {
    return InvalidArgument(
        "the chat template does not print the last message as it is, so that the model cannot continue it");
  }
  const MarkedText before = prompt.Part(0, at);
  const bool keeps_space = std::string_view(prompt.text()).substr(at).starts_with(kEndOfMessage);
  return keeps_space ? before : jinja::Strip(before, jinja::Side::kRight, std::nullopt);
}

}  // namespace

Result<MarkedText> RenderJinjaChat(const jinja::Template& compiled, const JinjaChat& chat,
                                   const jinja::RenderOptions& options) {
  Json messages = Json::array();
  for (const Json& message : chat.messages) {
    if (!message.is_object()) {
      return InvalidArgument("messages[{}] is {}, expected an object", messages.size(), PythonJson(message));
    }
    messages.push_back(Prepared(message));
  }
  std::string final_message;
  if (chat.continue_final_message) {
    QWEN25_TRY(final_message, TagLastMessage(messages));
  }
  std::vector<Value> values;
  for (const Json& message : messages) values.push_back(MessageValue(message));
  std::vector<std::pair<std::string, Value>> variables = {
      {"messages", Value::List(std::move(values))},
      {"tools", jinja::ValueOf(chat.tools, Mark::kTrusted)},
      {"documents", jinja::ValueOf(chat.documents, Mark::kSaid)},
      {"add_generation_prompt", Value::Bool(chat.add_generation_prompt)},
  };
  for (const auto& [name, value] : chat.variables.items()) {
    variables.emplace_back(name, jinja::ValueOf(value, Mark::kTrusted));
  }
  for (const auto& [name, text] : chat.special_tokens) {
    const bool is_hidden = chat.variables.contains(name);
    if (!is_hidden) variables.emplace_back(name, Value::String(text));
  }
  QWEN25_TRY(MarkedText prompt, compiled.Render(variables, options));
  if (!chat.continue_final_message) return prompt;
  return UpToTag(prompt, final_message);
}

}  // namespace qwen25
