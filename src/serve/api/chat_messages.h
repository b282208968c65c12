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
  // What the request calls it, for errors that are found later: the conversation, and the parameters of a
  // tool after "tools[0].".
  std::string messages_field = "messages", parameters_field = "function.parameters";
};

// Reads `messages`: what ParseMessages takes, plus the members that clients send back with an assistant's
// message. Two things differ from the request: arguments of tool calls that were given as a string are
// objects, and results that name their call by `tool_call_id` stand in the order of the calls, which is how
// models that see no ids tell them apart.
void ReadMessages(ObjectReader& body, std::vector<ChatMessage>& out);

// Reads `tools`: at most 128 functions with different names.
void ReadTools(ObjectReader& body, ChatPrompt& out);

// `chat_template_kwargs`, which must not replace what the server sets.
void ReadTemplateVariables(ObjectReader& body, ChatPrompt& out);

// Reads `messages`, `tools`, `add_generation_prompt`, `continue_final_message` and `chat_template_kwargs`.
void ReadChatPrompt(ObjectReader& body, ChatPrompt& out);

// For the readers of APIs that have other shapes:

// The array `tools`, or null if it is absent or refused.
const Json* FindTools(ObjectReader& body);
// `name`: 1 to 128 letters, digits, "_", "-" and ".".
std::string ReadFunctionName(ObjectReader& function);
// A tool that calls `function`, an object with "name". `reader` is the object that has the name.
void AddTool(ObjectReader& reader, Json function, ChatPrompt& out);
// An id of a call: 1 to 256 bytes.
void ReadCallId(ObjectReader& reader, std::string_view key, std::string& out);
// Checks a part of a text, which stands at `path`.
void CheckTextPart(const Json& value, const std::string& path, ErrorSlot& error);
// Checks `content`: a string, or an array of text parts; it may be absent if `may_be_null`.
void CheckContent(ObjectReader& message, bool may_be_null);
// Checks the member "arguments" of a copied object, which stands at `path`, and makes an object of it.
void NormalizeArguments(Json& function, const std::string& path, ErrorSlot& error);

// Where a message made from a request of another shape stands in it, and what the id of a call is called
// there.
struct MessageSource {
  std::string path;     // "messages[2].content[0]"
  std::string id_name;  // "tool_use_id"
};
// The messages of checked objects of the shape that ReadMessages reads, one source for each; results of calls
// are put in order.
void ParseConversation(Json messages, const std::vector<MessageSource>& sources, ErrorSlot& error,
                       std::vector<ChatMessage>& out);

}  // namespace qwen25
