#include "knowledge/dialogue/dialogue_file.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "text/python_json.h"

namespace qwen25 {
namespace {

constexpr std::array kTurnKeys = {"messages", "conversations", "conversation"};

// The key under which an object has the turns of a conversation, or null.
const char* TurnsKey(const Json& document) {
  for (const char* key : kTurnKeys) {
    if (document.is_object() && document.contains(key) && document[key].is_array()) return key;
  }
  return nullptr;
}

bool IsTurn(const Json& value) {
  return value.is_object() && (value.contains("role") || value.contains("from"));
}

// Every line that is not blank as a document.
Result<Json> ParseLines(std::string_view text, const std::string& origin) {
  Json lines = Json::array();
  size_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    QWEN25_TRY(Json document, ParsePythonJson(line, fmt::format("{} line {}", origin, number)));
    lines.push_back(std::move(document));
  }
  return lines;
}

// The role that ShareGPT's "from" means; empty for an unknown one.
std::string RoleOf(const Json& from) {
  constexpr std::pair<const char*, const char*> kRoles[] = {
      {"human", "user"},          {"user", "user"},         {"gpt", "assistant"},
      {"assistant", "assistant"}, {"chatgpt", "assistant"}, {"bing", "assistant"},
      {"bard", "assistant"},      {"system", "system"},     {"function_call", "assistant"},
      {"tool", "tool"},           {"observation", "tool"},  {"function_response", "tool"}};
  for (const auto& [name, role] : kRoles) {
    if (from == name) return role;
  }
  return {};
}

// {"from", "value"} as {"role", "content"}, with the other members as they are.
Result<Json> MessageOfTurn(const Json& turn, size_t index, const std::string& origin) {
  if (!turn.is_object() || turn.contains("role") || !turn.contains("from")) return turn;
  const std::string role = RoleOf(turn["from"]);
  if (role.empty()) {
    return InvalidArgument("{}: turn {} is from {}, expected human, gpt, system, tool or observation", origin,
                           index, PythonJson(turn["from"]));
  }
  Json message = {{"role", role}, {"content", turn.value("value", Json())}};
  if (turn["from"] == "function_call" && message["content"].is_string()) {
    QWEN25_TRY(Json call, ParsePythonJson(message["content"].get_ref<const std::string&>(),
                                          fmt::format("{}: the call of turn {}", origin, index)));
    message["tool_calls"] = Json::array({std::move(call)});
    message["content"] = nullptr;
  }
  for (const auto& [key, value] : turn.items()) {
    if (key != "from" && key != "value") message[key] = value;
  }
  return message;
}

// A list as the one document that it holds.
Result<Json> OnlyDocument(Json list, const std::string& origin) {
  if (list.empty() || IsTurn(list[0])) return Json{{"messages", std::move(list)}};
  if (TurnsKey(list[0]) == nullptr) {
    return InvalidArgument("{}: expected a conversation: messages with \"role\" and \"content\"", origin);
  }
  if (list.size() > 1) {
    return InvalidArgument("{}: holds {} conversations, expected one", origin, list.size());
  }
  return Json(list[0]);
}

}  // namespace

Result<Dialogue> ParseDialogueFile(std::string_view text, const std::string& origin) {
  Result<Json> parsed = ParsePythonJson(text, origin);
  if (parsed.ok() && parsed->is_object() && parsed->contains("messages")) return ParseDialogue(text, origin);
  if (!parsed.ok()) {
    Result<Json> lines = ParseLines(text, origin);
    if (!lines.ok() || lines->size() < 2) return parsed.status();
    parsed = std::move(lines);
  }
  Json document = std::move(*parsed);
  if (IsTurn(document)) document = Json::array({std::move(document)});
  if (document.is_array()) {
    QWEN25_TRY(document, OnlyDocument(std::move(document), origin));
  }
  const char* key = TurnsKey(document);
  if (key == nullptr) return DialogueOf(std::move(document), origin);
  Json messages = Json::array();
  if (document.contains("system") && document["system"].is_string()) {
    messages.push_back({{"role", "system"}, {"content", document["system"]}});
    document.erase("system");
  }
  for (const Json& turn : document[key]) {
    QWEN25_TRY(Json message, MessageOfTurn(turn, messages.size(), origin));
    messages.push_back(std::move(message));
  }
  document.erase(key);
  document["messages"] = std::move(messages);
  return DialogueOf(std::move(document), origin);
}

}  // namespace qwen25
