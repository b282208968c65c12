// The messages of a conversation, as requests and files hold them.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace qwen25 {

// A function call that the model requests. `arguments` is an object, as ParsePythonJson gives it.
struct ToolCall {
  std::string name;
  Json arguments;
  bool operator==(const ToolCall&) const = default;
};

// One turn. `role` is "system", "user", "assistant" or "tool"; only an assistant has `tool_calls`.
struct ChatMessage {
  std::string role;
  std::string content;
  std::vector<ToolCall> tool_calls = {};
  // The object that the message was read from; null if it was made here. It keeps what the model does not see
  // (names, ids, parts, unknown members), so that writing the message loses nothing. It must agree with the
  // members above: change both, or neither.
  Json as_read = nullptr;

  // Whether the model reads the same.
  friend bool operator==(const ChatMessage& a, const ChatMessage& b) {
    return a.role == b.role && a.content == b.content && a.tool_calls == b.tool_calls;
  }
};

// Reads the `messages` array of an OpenAI-style request. `content` may be a string, null for an assistant, or
// an array of {"type": "text"} parts, which are joined by newlines; "developer" means "system"; arguments of
// tool calls may be an object, a string that holds one, or nothing ("", null, absent), which is {}.
// kInvalidArgument names the message and the field. Integers of any size are kept if ParsePythonJson read
// them.
Result<std::vector<ChatMessage>> ParseMessages(const Json& messages);

// The object that ParseMessages reads the same message from.
Json MessageJson(const ChatMessage& message);

}  // namespace qwen25
