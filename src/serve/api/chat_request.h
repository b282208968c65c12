// POST /v1/chat/completions: the request.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "serve/api/chat_messages.h"
#include "serve/api/sampling_request.h"

namespace qwen25 {

// Whether the model may, must or must not call a function.
struct ToolChoice {
  enum class Kind { kNone, kAuto, kRequired, kFunction };
  Kind kind = Kind::kAuto;
  std::string function = {};  // of kFunction: one of the request's tools
};

// What a model is asked for in a chat, whichever API it is that asks.
struct ChatRequest {
  std::string model;  // "": the server's own
  ChatPrompt prompt;
  ToolChoice tool_choice;           // kNone without tools
  bool parallel_tool_calls = true;  // false: at most one call in an answer
  std::optional<int64_t> max_tokens;
  SamplingRequest sampling;
  OutputConstraint constraint;
  bool stream = false;
  bool logprobs = false;
  int64_t top_logprobs = 0;  // 0 to 20
  ServerOptions server;
  std::vector<std::string> ignored;  // members that were sent and have no effect here

  // What the chat template needs. Without the tools if none may be called: a model that sees them calls them.
  ChatPromptOptions PromptOptions() const;
};

// Reads `tool_choice` where it is one of the words "none", "auto" and "required", and sets the choice that
// holds without it. Gives the object that stands there instead, if it names a function.
const Json* ReadToolChoiceWord(ObjectReader& body, std::string_view wanted, ChatRequest& out);
// A call of the function that the member `key` of the choice names.
void RequireFunction(ObjectReader& choice, std::string_view key, ChatRequest& out);

struct ChatCompletionRequest : ChatRequest {
  bool include_usage = false;
};

// Reads a body that ParseRequestJson gave. An error names the field in `param`.
ApiResult<ChatCompletionRequest> ReadChatCompletionRequest(const Json& body);

// POST /apply-template: what prompt the messages make.
struct ApplyTemplateRequest {
  std::string model;
  ChatPrompt prompt;
};
ApiResult<ApplyTemplateRequest> ReadApplyTemplateRequest(const Json& body);

}  // namespace qwen25
