// The ChatML chat template of Qwen2.5, without a template engine: renders a conversation for the tokenizer,
// and parses the model's answer. chat_template.h runs all other templates, and is what other layers use.
//
// Source of the format: `chat_template` in the tokenizer_config.json of the official checkpoints. The
// fixtures of qwen_chat_test.cc are what Hugging Face transformers renders from it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/chat_message.h"
#include "text/tokenizer.h"

namespace qwen25 {

// The system text that stands in for a missing system message: Instruct checkpoints, base checkpoints.
inline constexpr std::string_view kInstructSystem =
    "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";
inline constexpr std::string_view kBaseSystem = "You are a helpful assistant.";

struct QwenChatOptions {
  std::string default_system{kInstructSystem};  // used if the first message is not a system message
  Json tools = nullptr;                         // array of function signatures, or null
  bool add_generation_prompt = true;            // ends with the opening of the assistant's turn
  bool continue_final_message = false;          // ends inside of the last message instead
  // The text about tools shows a call as {{"name": ...}}, like the template of Qwen2.5's first releases,
  // which many GGUF files still hold.
  bool doubled_braces = false;
  // "<|im_end|>" in a message is the token, as in transformers. Whoever wrote a message's text can then end
  // the turn and begin another one.
  bool parse_special = false;
};

// The prompt of a conversation, in parts for the tokenizer. All added tokens are recognised in the template's
// own parts. In messages, control tokens are ordinary text. Other added tokens, such as "<tool_call>", are
// tokens in system texts and in the model's own answers, and ordinary text in what a user or a tool says.
// Messages of an unknown role are left out, as the template does; ParseMessages refuses them.
std::vector<TextPart> RenderQwenChatParts(std::span<const ChatMessage> messages,
                                          const QwenChatOptions& options);
// The text of the prompt.
std::string RenderQwenChat(std::span<const ChatMessage> messages, const QwenChatOptions& options);
// The tokens of the prompt. Every caller that gives a conversation to a model uses this. `add_bos`: preceded
// by what the tokenizer puts before a sequence (Llama: <s>; Qwen2.5: nothing).
std::vector<int32_t> EncodeQwenChat(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                                    const QwenChatOptions& options, bool add_bos = false);

// The tokens of one message alone, a turn of its own without system text or anything after it.
std::vector<int32_t> EncodeQwenTurn(const Tokenizer& tokenizer, const ChatMessage& message,
                                    bool add_bos = false);

// Checks the `tools` of a request: null, or an array of objects {"type": "function", "function": {"name":
// ...}}.
Status CheckTools(const Json& tools);

}  // namespace qwen25
