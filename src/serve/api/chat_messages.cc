#include "serve/api/chat_messages.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "serve/api/request_json.h"

namespace qwen25 {
namespace {

using Kind = ObjectReader::Kind;

constexpr size_t kMaxTools = 128, kMaxCalls = 128, kMaxNameBytes = 128, kMaxIdBytes = 256;

bool IsFunctionName(std::string_view name) {
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  return !name.empty() && name.size() <= kMaxNameBytes && std::ranges::all_of(name, is_allowed);
}

}  // namespace

std::string ReadFunctionName(ObjectReader& function) {
  std::string name;
  function.Read("name", name);
  if (!function.ok() || IsFunctionName(name)) return name;
  function.Fail("name", fmt::format("{} must be a name of 1 to {} letters, digits, \"_\", \"-\" and \".\".",
                                    function.PathOf("name"), kMaxNameBytes));
  return "";
}

void ReadCallId(ObjectReader& reader, std::string_view key, std::string& out) {
  reader.Read(key, out, 1, kMaxIdBytes);
  if (reader.ok() && out.empty()) reader.Refuse(key, "the id of a call");
}

void CheckTextPart(const Json& value, const std::string& path, ErrorSlot& error) {
  ObjectReader part(value, path, error);
  std::string type;
  part.Read("type", type);
  if (!part.ok()) return;
  if (type == "refusal") {
    std::optional<std::string> refusal;
    part.Read("refusal", refusal);
    if (!refusal.has_value()) part.Refuse("refusal", "a string");
  } else if (type == "text" || type == "input_text" || type == "output_text") {
    std::optional<std::string> text;
    part.Read("text", text);
    if (!text.has_value()) part.Refuse("text", "a string");
    part.Ignore(Kind::kArray, {"annotations", "logprobs"});
  } else if (type == "image_url" || type == "input_audio" || type == "file" || type == "input_image" ||
             type == "input_file") {
    part.Fail("type", fmt::format("{} is {}: this model reads text only.", part.PathOf("type"), type));
  } else {
    part.Refuse("type", "\"text\", or \"refusal\" in an assistant's message");
  }
  part.Finish();
}

void CheckContent(ObjectReader& message, bool may_be_null) {
  const Json* content = message.Find("content");
  if (!message.ok()) return;
  if (content == nullptr) {
    if (!may_be_null) message.Refuse("content", "a string or an array of text parts");
    return;
  }
  if (content->is_string()) return;
  if (!content->is_array()) return message.Refuse("content", "a string or an array of text parts");
  for (size_t i = 0; i < content->size() && message.ok(); ++i) {
    CheckTextPart((*content)[i], fmt::format("{}[{}]", message.PathOf("content"), i), message.error());
  }
}

void NormalizeArguments(Json& function, const std::string& path, ErrorSlot& error) {
  const auto found = function.find("arguments");
  if (found == function.end() || found->is_null() || found->is_object()) return;
  const std::string arguments_path = path + ".arguments";
  const std::string* text = found->is_string() ? &found->get_ref<const std::string&>() : nullptr;
  if (text != nullptr && text->find_first_not_of(" \t\r\n") == std::string::npos) {
    *found = Json::object();  // what clients send for a function without parameters
    return;
  }
  std::string described = DescribeJson(*found);
  if (text != nullptr) {
    ApiResult<Json> parsed = ParseEmbeddedJson(*text, arguments_path);
    if (!parsed.ok()) {
      error = parsed.error();
      return;
    }
    described = DescribeJson(*parsed);
    if (parsed->is_null()) parsed = Json(Json::object());
    if (parsed->is_object()) {
      *found = std::move(*parsed);
      return;
    }
  }
  error = InvalidRequest(arguments_path, fmt::format("{} is {}, expected a JSON object, or a string that "
                                                     "holds one.",
                                                     arguments_path, described));
}

namespace {

void CheckToolCall(Json& value, const std::string& path, ErrorSlot& error) {
  ObjectReader call(value, path, error);
  std::optional<std::string> id;
  std::string type;
  call.Read("id", id, 1, kMaxIdBytes);
  call.Read("type", {"function"}, type);
  call.Ignore(Kind::kNumber, {"index"});  // left over from a stream
  const Json* function_value = call.Find("function");
  if (function_value == nullptr) call.Refuse("function", "an object with \"name\" and \"arguments\"");
  call.Finish();
  if (!call.ok()) return;
  ObjectReader function(*function_value, path + ".function", error);
  ReadFunctionName(function);
  function.Find("arguments");
  function.Finish();
  if (function.ok()) NormalizeArguments(value["function"], path + ".function", error);
}

void CheckToolCalls(Json& message, const std::string& path, ErrorSlot& error) {
  Json& calls = message["tool_calls"];
  std::vector<std::string> ids;
  for (size_t i = 0; i < calls.size() && !error.has_value(); ++i) {
    const std::string call_path = fmt::format("{}.tool_calls[{}]", path, i);
    CheckToolCall(calls[i], call_path, error);
    if (error.has_value() || calls[i].value("id", Json()).is_null()) continue;
    const auto id = calls[i]["id"].get<std::string>();
    if (std::ranges::find(ids, id) != ids.end()) {
      error = InvalidRequest(call_path + ".id", call_path + ".id is the id of an earlier call, too.");
    }
    ids.push_back(id);
  }
}

void CheckMessage(Json& value, const std::string& path, ErrorSlot& error) {
  ObjectReader message(value, path, error);
  std::string role;
  message.Read("role", {"system", "developer", "user", "assistant", "tool"}, role);
  if (message.ok() && role.empty()) {
    message.Refuse("role", "one of system, developer, user, assistant, tool");
  }
  const bool is_assistant = role == "assistant";
  const Json* calls = message.Find("tool_calls");
  if (calls != nullptr && (!calls->is_array() || calls->size() > kMaxCalls)) {
    message.Refuse("tool_calls", fmt::format("an array of at most {} calls", kMaxCalls));
  }
  if (calls != nullptr && !is_assistant && !calls->empty()) {
    message.Fail("tool_calls", fmt::format("{}.tool_calls stands in a message of role \"{}\", expected only "
                                           "in one of role \"assistant\".",
                                           path, role));
  }
  const bool has_null_content = is_assistant && value.is_object() && value.contains("content");
  const bool has_calls = calls != nullptr && !calls->empty();
  CheckContent(message, has_null_content || has_calls);
  std::optional<std::string> text;
  message.Read("name", text, 0, kMaxNameBytes);
  if (role == "tool") message.Read("tool_call_id", text, 1, kMaxIdBytes);
  if (is_assistant) {  // what replies have, which clients send back
    message.Ignore(Kind::kText, {"refusal", "reasoning_content", "reasoning"});
    message.Ignore(Kind::kArray, {"annotations"});
    message.Unsupported({{"function_call", "use tool_calls"}, {"audio", "this model reads text only"}});
  }
  message.Finish();
  if (message.ok() && has_calls) CheckToolCalls(value, path, error);
}

std::string TextMember(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// The ids of a message's calls in their order; nothing if one has no id.
std::vector<std::string> CallIds(const Json& message) {
  std::vector<std::string> ids;
  if (!message.contains("tool_calls") || !message["tool_calls"].is_array()) return {};
  for (const Json& call : message["tool_calls"]) {
    ids.push_back(TextMember(call, "id"));
    if (ids.back().empty()) return {};
  }
  return ids;
}

// Puts the results begin..end of an array of messages into the order of the calls in the message before them.
void OrderResults(Json& messages, const std::vector<MessageSource>& sources, size_t begin, size_t end,
                  ErrorSlot& error) {
  const std::vector<std::string> ids = CallIds(messages[begin - 1]);
  std::vector<std::pair<size_t, size_t>> places;  // the call's index, the message's index
  for (size_t i = begin; i < end; ++i) {
    const std::string id = TextMember(messages[i], "tool_call_id");
    if (ids.empty() || id.empty()) return;  // then the order of the messages is all that is known
    const auto call = std::ranges::find(ids, id);
    const std::string path = fmt::format("{}.{}", sources[i].path, sources[i].id_name);
    if (call == ids.end()) {
      error = InvalidRequest(path, path + " is the id of no call in the assistant's message before it.");
      return;
    }
    const auto index = static_cast<size_t>(call - ids.begin());
    if (std::ranges::find(places, index, &std::pair<size_t, size_t>::first) != places.end()) {
      error = InvalidRequest(path, path + " names a call that an earlier message has the result of.");
      return;
    }
    places.emplace_back(index, i);
  }
  std::ranges::sort(places);
  Json ordered = Json::array();
  for (const auto& place : places) ordered.push_back(std::move(messages[place.second]));
  for (size_t i = begin; i < end; ++i) messages[i] = std::move(ordered[i - begin]);
}

void OrderAllResults(Json& messages, const std::vector<MessageSource>& sources, ErrorSlot& error) {
  const auto is_result = [&](size_t i) { return i < messages.size() && messages[i]["role"] == "tool"; };
  for (size_t begin = 1; begin < messages.size() && !error.has_value(); ++begin) {
    size_t end = begin;
    while (is_result(end)) ++end;
    if (end > begin) OrderResults(messages, sources, begin, end, error);
    begin = std::max(begin, end);
  }
}

}  // namespace

void ReadMessages(ObjectReader& body, std::vector<ChatMessage>& out) {
  const Json* value = body.Find("messages");
  if (!body.ok()) return;
  if (value == nullptr || !value->is_array() || value->empty()) {
    return body.Refuse("messages", "an array of at least one message");
  }
  Json messages = *value;
  std::vector<MessageSource> sources;
  for (size_t i = 0; i < messages.size() && body.ok(); ++i) {
    sources.push_back({.path = fmt::format("messages[{}]", i), .id_name = "tool_call_id"});
    CheckMessage(messages[i], sources.back().path, body.error());
  }
  if (body.ok()) ParseConversation(std::move(messages), sources, body.error(), out);
}

void ParseConversation(Json messages, const std::vector<MessageSource>& sources, ErrorSlot& error,
                       std::vector<ChatMessage>& out) {
  QWEN25_CHECK(messages.size() == sources.size());
  OrderAllResults(messages, sources, error);
  if (error) return;
  Result<std::vector<ChatMessage>> parsed = ParseMessages(messages);
  if (parsed.ok()) {
    out = std::move(*parsed);
  } else {
    error = InvalidRequest("messages", parsed.status().message());
  }
}

const Json* FindTools(ObjectReader& body) {
  const Json* tools = body.Find("tools");
  if (tools == nullptr || (tools->is_array() && tools->size() <= kMaxTools)) return tools;
  body.Refuse("tools", fmt::format("an array of at most {} tools", kMaxTools));
  return nullptr;
}

void AddTool(ObjectReader& reader, Json function, ChatPrompt& out) {
  if (!reader.ok()) return;
  const std::string& name = function["name"].get_ref<const std::string&>();
  if (std::ranges::find(out.tool_names, name) != out.tool_names.end()) {
    return reader.Fail("name", fmt::format("{} is the name of an earlier tool, too.", reader.PathOf("name")));
  }
  out.tool_names.push_back(name);
  if (out.tools.is_null()) out.tools = Json::array();
  out.tools.push_back({{"type", "function"}, {"function", std::move(function)}});
}

void ReadTools(ObjectReader& body, ChatPrompt& out) {
  const Json* tools = FindTools(body);
  if (tools == nullptr) return;
  for (size_t i = 0; i < tools->size() && body.ok(); ++i) {
    const std::string path = fmt::format("tools[{}]", i);
    ObjectReader tool((*tools)[i], path, body.error());
    std::string type;
    tool.Read("type", {"function"}, type);
    if (type.empty()) tool.Refuse("type", "\"function\"");
    const Json* value = tool.Find("function");
    if (value == nullptr) tool.Refuse("function", "an object with \"name\" and \"parameters\"");
    tool.Finish();
    if (!tool.ok()) return;
    ObjectReader function(*value, path + ".function", body.error());
    ReadFunctionName(function);
    function.Ignore(Kind::kText, {"description"});
    function.Ignore(Kind::kObject, {"parameters"});
    function.Ignore(Kind::kBool, {"strict"});
    function.Finish();
    AddTool(function, *value, out);
  }
}

void ReadChatPrompt(ObjectReader& body, ChatPrompt& out) {
  ReadMessages(body, out.messages);
  ReadTools(body, out);
  body.Read("continue_final_message", out.continue_final_message);
  out.add_generation_prompt = !out.continue_final_message;
  body.Read("add_generation_prompt", out.add_generation_prompt);
  if (body.ok() && out.continue_final_message) {
    if (out.add_generation_prompt) {
      body.Fail("add_generation_prompt",
                "add_generation_prompt begins a new message and continue_final_message goes on with the last "
                "one; set one of them only.");
    } else if (out.messages.back().role != "assistant" || !out.messages.back().tool_calls.empty()) {
      body.Fail("continue_final_message",
                "continue_final_message needs a last message of role \"assistant\" without tool_calls.");
    }
  }
  ReadTemplateVariables(body, out);
}

void ReadTemplateVariables(ObjectReader& body, ChatPrompt& out) {
  const Json* variables = body.Find("chat_template_kwargs");
  if (variables == nullptr) return;
  if (!variables->is_object()) return body.Refuse("chat_template_kwargs", "an object");
  for (const char* reserved : {"messages", "tools", "documents", "add_generation_prompt",
                               "continue_final_message", "chat_template", "tokenize"}) {
    if (!variables->contains(reserved)) continue;
    const std::string path = fmt::format("chat_template_kwargs.{}", reserved);
    return body.Fail(path, fmt::format("{} would replace what the server sets; leave it out.", path));
  }
  out.template_variables = *variables;
}

}  // namespace qwen25
