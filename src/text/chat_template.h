// The ChatML chat template of Qwen2.5, without a template engine: the text that a conversation becomes before
// it is tokenised, and what the model's answer means when it comes back. Which template a checkpoint has:
// chat_template_jinja.h.
//
// Source of the format: `chat_template` in the tokenizer_config.json of the official checkpoints. The
// fixtures of chat_template_test.cc are what Hugging Face transformers renders from it.
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

struct ChatTemplateOptions {
  std::string default_system{kInstructSystem};  // used if the first message is not a system message
  Json tools = nullptr;                         // array of function signatures, or null
  bool add_generation_prompt = true;            // ends with the opening of the assistant's turn
  // The call that the text about tools describes is written {{"name": ...}}, as in the template of the first
  // releases of Qwen2.5, which many GGUF files still hold.
  bool doubled_braces = false;
  // "<|im_end|>" in a message is the token, as it is for transformers: anybody whose text is in a message can
  // then end the turn and begin another one.
  bool parse_special = false;
};

// The prompt of a conversation, as the parts that the tokenizer takes: those of the template, in which all
// added tokens are recognised, and those of the messages. In the latter control tokens are ordinary text; so
// is "<tool_call>" in what a user or a tool says, while system texts and the model's own answers hold it as
// the token that the model knows. Messages with a role that the template does not know are left out, as the
// template does; ParseMessages refuses them.
std::vector<TextPart> RenderChatParts(std::span<const ChatMessage> messages,
                                      const ChatTemplateOptions& options);
// Its text.
std::string RenderChat(std::span<const ChatMessage> messages, const ChatTemplateOptions& options);
// Its tokens. Every caller that gives a conversation to a model goes through here. `add_bos`: preceded by
// what the tokenizer puts before a sequence (Llama: <s>; Qwen2.5: nothing).
std::vector<int32_t> EncodeChat(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                                const ChatTemplateOptions& options, bool add_bos = false);

// The tokens of one message alone, a turn of its own without system text or anything after it.
std::vector<int32_t> EncodeTurn(const Tokenizer& tokenizer, const ChatMessage& message, bool add_bos = false);

// Checks the `tools` of a request: null, or an array of objects {"type": "function", "function": {"name":
// ...}}.
Status CheckTools(const Json& tools);

// What an answer says: the text, and the calls that were inside <tool_call> tags.
struct ParsedReply {
  std::string content;
  std::vector<ToolCall> tool_calls;
};

// Takes the well-formed <tool_call> blocks out of an answer: an object with a string "name" and an object
// "arguments". The closing tag of the last one may be missing, since a model may stop at the end of its turn.
// Whatever is malformed stays in `content` as it is. The inverse of RenderChat for an assistant's turn.
ParsedReply ParseToolCalls(std::string_view reply);

}  // namespace qwen25
