#include "text/qwen_chat.h"

#include "base/check.h"
#include "text/python_json.h"

namespace qwen25 {
namespace {

constexpr std::string_view kTurnStart = "<|im_start|>";
constexpr std::string_view kTurnEnd = "<|im_end|>\n";
constexpr std::string_view kCallStart = "<tool_call>";
constexpr std::string_view kCallEnd = "</tool_call>";

constexpr std::string_view kToolsHead =
    "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>";
constexpr std::string_view kToolsTail =
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    "<tool_call></tool_call> XML tags:\n<tool_call>\n";
constexpr std::string_view kToolsCall = R"({"name": <function-name>, "arguments": <args-json-object>})";
constexpr std::string_view kToolsEnd = "\n</tool_call>";

// Collects the parts of a prompt. Neighbours in which the same tokens are recognised become one.
class PartWriter {
 public:
  explicit PartWriter(bool parse_special) : parse_special_(parse_special) {}

  void Template(std::initializer_list<std::string_view> texts) {
    for (const std::string_view text : texts) Append(text, SpecialTokens::kParse);
  }
  // The text of a message of this role.
  void Content(std::string_view role, std::string_view text) {
    const bool trusted = role == "system" || role == "assistant";
    Append(text, trusted ? SpecialTokens::kControlAsText : SpecialTokens::kAsText);
  }
  std::vector<TextPart> Take() { return std::move(parts_); }

 private:
  void Append(std::string_view text, SpecialTokens special) {
    if (text.empty()) return;
    if (parse_special_) special = SpecialTokens::kParse;
    if (parts_.empty() || parts_.back().special != special)
      parts_.push_back({.text = {}, .special = special});
    parts_.back().text += text;
  }

  bool parse_special_;
  std::vector<TextPart> parts_;
};

void WriteSystem(const ChatMessage* message, const QwenChatOptions& options, PartWriter& out) {
  out.Template({kTurnStart, "system\n"});
  if (message != nullptr) {
    out.Content("system", message->content);
  } else {
    out.Template({options.default_system});
  }
  if (!options.tools.empty()) {
    out.Template({kToolsHead});
    for (const Json& tool : options.tools) {
      out.Template({"\n"});
      out.Content("system", PythonJson(tool));
    }
    const std::string_view open = options.doubled_braces ? "{" : "",
                           close = options.doubled_braces ? "}" : "";
    out.Template({kToolsTail, open, kToolsCall, close, kToolsEnd});
  }
  out.Template({kTurnEnd});
}

void WriteAssistantWithCalls(const ChatMessage& message, PartWriter& out) {
  out.Template({kTurnStart, message.role});
  if (!message.content.empty()) {
    out.Template({"\n"});
    out.Content(message.role, message.content);
  }
  for (const ToolCall& call : message.tool_calls) {
    out.Template({"\n", kCallStart, "\n{\"name\": \""});
    out.Content(message.role, call.name);
    out.Template({"\", \"arguments\": "});
    out.Content(message.role, PythonJson(call.arguments));
    out.Template({"}\n", kCallEnd});
  }
  out.Template({kTurnEnd});
}

// A turn of system (not the first), user or assistant without calls.
void WriteTurn(const ChatMessage& message, PartWriter& out) {
  out.Template({kTurnStart, message.role, "\n"});
  out.Content(message.role, message.content);
  out.Template({kTurnEnd});
}

// Consecutive results share one user turn.
void WriteToolResult(const ChatMessage& message, bool first, bool last, PartWriter& out) {
  if (first) out.Template({kTurnStart, "user"});
  out.Template({"\n<tool_response>\n"});
  out.Content(message.role, message.content);
  out.Template({"\n</tool_response>"});
  if (last) out.Template({kTurnEnd});
}

void WriteMessage(std::span<const ChatMessage> messages, size_t i, PartWriter& out) {
  const ChatMessage& message = messages[i];
  if (message.role == "assistant" && !message.tool_calls.empty()) {
    WriteAssistantWithCalls(message, out);
  } else if (message.role == "user" || message.role == "system" || message.role == "assistant") {
    WriteTurn(message, out);
  } else if (message.role == "tool") {
    const bool first = i == 0 || messages[i - 1].role != "tool";
    const bool last = i + 1 == messages.size() || messages[i + 1].role != "tool";
    WriteToolResult(message, first, last, out);
  }
}

std::vector<int32_t> EncodeParts(const Tokenizer& tokenizer, std::span<const TextPart> parts, bool add_bos) {
  std::vector<int32_t> ids;
  tokenizer.Encode(parts, ids, {.add_bos = add_bos});
  return ids;
}

}  // namespace

std::vector<TextPart> RenderQwenChatParts(std::span<const ChatMessage> messages,
                                          const QwenChatOptions& options) {
  PartWriter out(options.parse_special);
  const bool has_system = !messages.empty() && messages[0].role == "system";
  WriteSystem(has_system ? &messages[0] : nullptr, options, out);
  for (size_t i = has_system ? 1 : 0; i < messages.size(); ++i) WriteMessage(messages, i, out);
  if (options.continue_final_message) {
    std::vector<TextPart> parts = out.Take();
    QWEN25_CHECK(parts.back().text.ends_with(kTurnEnd));
    parts.back().text.resize(parts.back().text.size() - kTurnEnd.size());
    return parts;
  }
  if (options.add_generation_prompt) out.Template({kTurnStart, "assistant\n"});
  return out.Take();
}

std::string RenderQwenChat(std::span<const ChatMessage> messages, const QwenChatOptions& options) {
  std::string text;
  for (const TextPart& part : RenderQwenChatParts(messages, options)) text += part.text;
  return text;
}

std::vector<int32_t> EncodeQwenChat(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                                    const QwenChatOptions& options, bool add_bos) {
  return EncodeParts(tokenizer, RenderQwenChatParts(messages, options), add_bos);
}

std::vector<int32_t> EncodeQwenTurn(const Tokenizer& tokenizer, const ChatMessage& message, bool add_bos) {
  PartWriter out(/*parse_special=*/false);
  WriteMessage({&message, 1}, 0, out);
  return EncodeParts(tokenizer, out.Take(), add_bos);
}

namespace {

const Json* Find(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

}  // namespace

Status CheckTools(const Json& tools) {
  if (tools.is_null()) return {};
  if (!tools.is_array()) {
    return InvalidArgument("\"tools\" is {}, expected an array of function signatures", ShownJson(tools));
  }
  for (size_t i = 0; i < tools.size(); ++i) {
    const Json* type = tools[i].is_object() ? Find(tools[i], "type") : nullptr;
    const Json* function = tools[i].is_object() ? Find(tools[i], "function") : nullptr;
    const Json* name = function != nullptr && function->is_object() ? Find(*function, "name") : nullptr;
    if (type == nullptr || *type != "function" || name == nullptr || !name->is_string()) {
      return InvalidArgument(
          "tools[{}] is {}, expected {{\"type\": \"function\", \"function\": {{\"name\": string, ...}}}}", i,
          ShownJson(tools[i]));
    }
  }
  return {};
}

}  // namespace qwen25
