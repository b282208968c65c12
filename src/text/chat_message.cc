#include "text/chat_message.h"

#include <algorithm>
#include <array>

#include "text/python_json.h"

namespace qwen25 {
namespace {

const Json* Find(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

// The text of a part, as clients name it: of chats, of the newer "responses", and the refusal of an answer.
// Null for another kind of part.
const Json* TextOfPart(const Json& part) {
  if (part.is_string()) return &part;
  if (!part.is_object()) return nullptr;
  const Json* type = Find(part, "type");
  const bool is_refusal = type != nullptr && *type == "refusal";
  const bool is_text =
      type == nullptr || *type == "text" || *type == "input_text" || *type == "output_text" || is_refusal;
  const Json* text = is_text ? Find(part, is_refusal ? "refusal" : "text") : nullptr;
  return text != nullptr && text->is_string() ? text : nullptr;
}

// The text of a `content` field; an absent or null one is "" where `may_be_null`.
Result<std::string> ParseContent(const Json& message, size_t index, bool may_be_null) {
  const Json* content = Find(message, "content");
  if (content == nullptr) {
    if (may_be_null) return std::string();
    return InvalidArgument(
        "messages[{}]: \"content\" is missing, expected a string or an array of text parts", index);
  }
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) {
    return InvalidArgument("messages[{}]: \"content\" is {}, expected a string or an array of text parts",
                           index, ShownJson(*content));
  }
  std::string text;
  for (size_t i = 0; i < content->size(); ++i) {
    const Json& part = (*content)[i];
    const Json* part_text = TextOfPart(part);
    if (part_text == nullptr) {
      return InvalidArgument(
          "messages[{}].content[{}] is {}, expected {{\"type\": \"text\", \"text\": string}}: this "
          "model reads text only",
          index, i, ShownJson(part));
    }
    if (i > 0) text += '\n';
    text += part_text->get_ref<const std::string&>();
  }
  return text;
}

Result<Json> ParseArguments(const Json& body, const std::string& where) {
  const Json* arguments = Find(body, "arguments");
  if (arguments == nullptr) return Json(Json::object());
  if (arguments->is_object()) return *arguments;
  if (!arguments->is_string()) {
    return InvalidArgument("{}: \"arguments\" is {}, expected a JSON object or a string that holds one",
                           where, ShownJson(*arguments));
  }
  const std::string& text = arguments->get_ref<const std::string&>();
  // What clients send for a function without parameters.
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) return Json(Json::object());
  QWEN25_TRY(Json parsed, ParsePythonJson(text, where + ".arguments"));
  if (parsed.is_null()) return Json(Json::object());
  if (!parsed.is_object()) {
    return InvalidArgument("{}.arguments holds {}, expected a JSON object", where, ShownJson(parsed));
  }
  return parsed;
}

Result<std::vector<ToolCall>> ParseRequestedCalls(const Json& calls, size_t index) {
  if (!calls.is_array()) {
    return InvalidArgument("messages[{}]: \"tool_calls\" is {}, expected an array", index, ShownJson(calls));
  }
  std::vector<ToolCall> parsed;
  for (size_t i = 0; i < calls.size(); ++i) {
    const std::string where = fmt::format("messages[{}].tool_calls[{}]", index, i);
    const Json& call = calls[i];
    if (!call.is_object()) return InvalidArgument("{} is {}, expected an object", where, ShownJson(call));
    const Json* function = Find(call, "function");
    const Json& body = function == nullptr ? call : *function;
    if (!body.is_object()) {
      return InvalidArgument("{}: \"function\" is {}, expected an object", where, ShownJson(body));
    }
    const Json* name = Find(body, "name");
    if (name == nullptr || !name->is_string() || name->get_ref<const std::string&>().empty()) {
      return InvalidArgument("{}: \"name\" is {}, expected the name of a function", where,
                             name == nullptr ? "missing" : ShownJson(*name));
    }
    QWEN25_TRY(Json arguments, ParseArguments(body, where));
    parsed.push_back({.name = name->get<std::string>(), .arguments = std::move(arguments)});
  }
  return parsed;
}

Result<ChatMessage> ParseMessage(const Json& message, size_t index) {
  static constexpr std::array<std::string_view, 4> kRoles = {"system", "user", "assistant", "tool"};
  if (!message.is_object()) {
    return InvalidArgument("messages[{}] is {}, expected an object with \"role\" and \"content\"", index,
                           ShownJson(message));
  }
  const Json* role = Find(message, "role");
  ChatMessage parsed;
  if (role != nullptr && role->is_string()) parsed.role = role->get<std::string>();
  if (parsed.role == "developer") parsed.role = "system";  // the newer name of the same role
  if (std::find(kRoles.begin(), kRoles.end(), parsed.role) == kRoles.end()) {
    return InvalidArgument(
        "messages[{}]: \"role\" is {}, expected system, developer, user, assistant or tool", index,
        role == nullptr ? "missing" : ShownJson(*role));
  }
  if (const Json* calls = Find(message, "tool_calls")) {
    QWEN25_TRY(parsed.tool_calls, ParseRequestedCalls(*calls, index));
    if (parsed.role != "assistant" && !parsed.tool_calls.empty()) {
      return InvalidArgument(
          "messages[{}]: \"tool_calls\" in a message of role \"{}\", expected only in one of "
          "role \"assistant\"",
          index, parsed.role);
    }
  }
  const bool said_nothing = parsed.role == "assistant" && message.contains("content");  // and that is null
  QWEN25_TRY(parsed.content, ParseContent(message, index, said_nothing || !parsed.tool_calls.empty()));
  parsed.as_read = message;
  return parsed;
}

}  // namespace

Result<std::vector<ChatMessage>> ParseMessages(const Json& messages) {
  if (!messages.is_array()) {
    return InvalidArgument("\"messages\" is {}, expected an array of messages", ShownJson(messages));
  }
  if (messages.empty()) return InvalidArgument("\"messages\" is empty, expected at least one message");
  std::vector<ChatMessage> parsed;
  parsed.reserve(messages.size());
  for (size_t i = 0; i < messages.size(); ++i) {
    QWEN25_TRY(ChatMessage message, ParseMessage(messages[i], i));
    parsed.push_back(std::move(message));
  }
  return parsed;
}

Json MessageJson(const ChatMessage& message) {
  if (message.as_read.is_object()) return message.as_read;
  Json json = {{"role", message.role}, {"content", message.content}};
  if (message.tool_calls.empty()) return json;
  json["tool_calls"] = Json::array();
  for (const ToolCall& call : message.tool_calls) {
    json["tool_calls"].push_back(
        {{"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  return json;
}

}  // namespace qwen25
