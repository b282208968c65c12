// The conversation and the tools of a request, checked field by field.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "serve/api/object_reader.h"
#include "text/chat_message.h"
#include "text/chat_template.h"

namespace qwen25 {

// What a chat template makes a prompt from.
struct ChatPrompt {
  std::vector<ChatMessage> messages;
  Json tools = nullptr;                 // array of {"type": "function", "function": ...}, or null
  std::vector<std::string> tool_names;  // of `tools`, in their order
  bool add_generation_prompt = true;
  bool continue_final_message = false;  // the last message is the assistant's, and the model goes on with it
  Json template_variables = Json::object();
};

// Reads `messages`: what ParseMessages takes, plus the members that clients send back with an assistant's
// message. Two things differ from the request: arguments of tool calls that were given as a string are
// objects, and results that name their call by `tool_call_id` stand in the order of the calls, which is how
// models that see no ids tell them apart.
void ReadMessages(ObjectReader& body, std::vector<ChatMessage>& out);

// Reads `tools`: at most 128 functions with different names.
void ReadTools(ObjectReader& body, ChatPrompt& out);

// Reads `messages`, `tools`, `add_generation_prompt`, `continue_final_message` and `chat_template_kwargs`.
void ReadChatPrompt(ObjectReader& body, ChatPrompt& out);

}  // namespace qwen25
