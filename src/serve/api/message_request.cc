#include "serve/api/message_request.h"

#include <algorithm>
#include <utility>

namespace qwen25 {
namespace {

using Kind = ObjectReader::Kind;

// Where this server has nothing to cache: the keys and values of any prompt are kept and found again.
void IgnoreCacheControl(ObjectReader& reader, ChatRequest& out) {
  reader.Ignore(Kind::kObject, {"cache_control"}, &out.ignored);
}

// The messages of a conversation in the shape of OpenAI's chats, with where each comes from.
class Conversation {
 public:
  explicit Conversation(ChatRequest& request) : request_(request) {}

  // `system`, which stands beside the messages.
  void ReadSystem(ObjectReader& body);
  void ReadMessage(const Json& value, size_t index, ErrorSlot& error);
  void Finish(ErrorSlot& error) {
    if (!error) ParseConversation(std::move(messages_), sources_, error, request_.prompt.messages);
  }

 private:
  void Add(Json message, std::string path) {
    messages_.push_back(std::move(message));
    sources_.push_back({.path = std::move(path), .id_name = "tool_use_id"});
  }
  // The text of a block that must be one.
  Json TextPart(ObjectReader& block);
  // A string, or blocks that must be texts; `key` may be absent.
  Json ReadTexts(ObjectReader& reader, std::string_view key, std::string_view wanted);
  void ReadBlocks(const Json& blocks, const std::string& role, const std::string& path, ErrorSlot& error);
  Json ReadToolUse(ObjectReader& block);
  void ReadToolResult(ObjectReader& block, const std::string& path);

  ChatRequest& request_;
  Json messages_ = Json::array();
  std::vector<MessageSource> sources_;
  std::vector<std::string> call_ids_;
};

Json Conversation::TextPart(ObjectReader& block) {
  std::optional<std::string> text;
  block.Read("text", text);
  if (block.ok() && !text) block.Refuse("text", "a string");
  IgnoreCacheControl(block, request_);
  block.Ignore(Kind::kArray, {"citations"});  // what clients send back of a reply
  block.Finish();
  return {{"type", "text"}, {"text", text.value_or("")}};
}

// The type of a block; `allowed` are those that are understood here.
std::string ReadBlockType(ObjectReader& block, std::initializer_list<std::string_view> allowed) {
  std::string type;
  block.Read("type", type);
  if (!block.ok() || std::ranges::find(allowed, type) != allowed.end()) return type;
  if (type == "image" || type == "document") {
    block.Fail("type", fmt::format("{} is {}: this model reads text only.", block.PathOf("type"), type));
  } else if (type == "thinking" || type == "redacted_thinking") {
    block.Fail("type", fmt::format("{} is {}: thinking is not supported; leave the block out.",
                                   block.PathOf("type"), type));
  } else {
    block.Refuse("type", fmt::format("one of {}", fmt::join(allowed, ", ")));
  }
  return "";
}

Json Conversation::ReadTexts(ObjectReader& reader, std::string_view key, std::string_view wanted) {
  const Json* value = reader.Find(key);
  if (value == nullptr || value->is_string()) return value == nullptr ? Json("") : *value;
  if (!value->is_array()) {
    reader.Refuse(key, wanted);
    return "";
  }
  Json parts = Json::array();
  for (size_t i = 0; i < value->size() && reader.ok(); ++i) {
    ObjectReader block((*value)[i], fmt::format("{}[{}]", reader.PathOf(key), i), reader.error());
    ReadBlockType(block, {"text"});
    parts.push_back(TextPart(block));
  }
  return parts;
}

void Conversation::ReadSystem(ObjectReader& body) {
  if (body.Find("system") == nullptr) return;
  Json text = ReadTexts(body, "system", "a string or an array of text blocks");
  if (text != "" && !text.empty()) Add({{"role", "system"}, {"content", std::move(text)}}, "system");
}

Json Conversation::ReadToolUse(ObjectReader& block) {
  std::string id;
  ReadCallId(block, "id", id);
  std::string name = ReadFunctionName(block);
  const Json* input = block.Find("input");
  if (input == nullptr || !input->is_object()) block.Refuse("input", "an object: the arguments");
  IgnoreCacheControl(block, request_);
  block.Ignore(Kind::kObject, {"caller"});
  block.Finish();
  if (!block.ok()) return nullptr;
  if (std::ranges::find(call_ids_, id) != call_ids_.end()) {
    block.Fail("id", fmt::format("{} is the id of an earlier call, too.", block.PathOf("id")));
  }
  call_ids_.push_back(id);
  return {{"id", std::move(id)},
          {"type", "function"},
          {"function", {{"name", std::move(name)}, {"arguments", *input}}}};
}

void Conversation::ReadToolResult(ObjectReader& block, const std::string& path) {
  std::string id;
  ReadCallId(block, "tool_use_id", id);
  Json text = ReadTexts(block, "content", "a string or an array of text blocks");
  // Templates have no place for it: the text of the result says what went wrong.
  block.Ignore(Kind::kBool, {"is_error"}, &request_.ignored);
  IgnoreCacheControl(block, request_);
  block.Finish();
  if (!block.ok()) return;
  if (std::ranges::find(call_ids_, id) == call_ids_.end()) {
    return block.Fail("tool_use_id", fmt::format("{} is the id of no tool_use block before it.",
                                                 block.PathOf("tool_use_id")));
  }
  Add({{"role", "tool"}, {"tool_call_id", std::move(id)}, {"content", std::move(text)}}, path);
}

void Conversation::ReadBlocks(const Json& blocks, const std::string& role, const std::string& path,
                              ErrorSlot& error) {
  Json texts = Json::array(), calls = Json::array();
  for (size_t i = 0; i < blocks.size() && !error; ++i) {
    const std::string block_path = fmt::format("{}.content[{}]", path, i);
    ObjectReader block(blocks[i], block_path, error);
    const std::string type = role == "assistant" ? ReadBlockType(block, {"text", "tool_use"})
                             : role == "user"    ? ReadBlockType(block, {"text", "tool_result"})
                                                 : ReadBlockType(block, {"text"});
    if (type == "text") {
      texts.push_back(TextPart(block));
    } else if (type == "tool_use") {
      calls.push_back(ReadToolUse(block));
    } else if (type == "tool_result" && texts.empty()) {
      ReadToolResult(block, block_path);
    } else if (type == "tool_result") {
      block.Fail("type",
                 fmt::format("{} stands behind a text: results come first in a message.", block_path));
    }
  }
  if (error || (texts.empty() && calls.empty() && role == "user")) return;
  Json message = {{"role", role}, {"content", texts.empty() ? Json("") : std::move(texts)}};
  if (!calls.empty()) message["tool_calls"] = std::move(calls);
  Add(std::move(message), path);
}

void Conversation::ReadMessage(const Json& value, size_t index, ErrorSlot& error) {
  const std::string path = fmt::format("messages[{}]", index);
  ObjectReader message(value, path, error);
  std::string role;
  message.Read("role", {"user", "assistant", "system"}, role);
  if (message.ok() && role.empty()) message.Refuse("role", "one of user, assistant, system");
  const Json* content = message.Find("content");
  message.Finish();
  if (!message.ok()) return;
  if (content != nullptr && content->is_string()) return Add({{"role", role}, {"content", *content}}, path);
  if (content == nullptr || !content->is_array() || content->empty()) {
    return message.Refuse("content", "a string or an array of at least one block");
  }
  ReadBlocks(*content, role, path, error);
}

void ReadConversation(ObjectReader& body, ChatRequest& out) {
  Conversation conversation(out);
  conversation.ReadSystem(body);
  const Json* messages = body.Find("messages");
  if (!body.ok()) return;
  if (messages == nullptr || !messages->is_array() || messages->empty()) {
    return body.Refuse("messages", "an array of at least one message");
  }
  for (size_t i = 0; i < messages->size() && body.ok(); ++i) {
    conversation.ReadMessage((*messages)[i], i, body.error());
  }
  conversation.Finish(body.error());
  if (!body.ok()) return;
  const ChatMessage& last = out.prompt.messages.back();
  if (last.role != "assistant") return;
  if (!last.tool_calls.empty()) {
    return body.Fail("messages", "The last message calls a tool: add a message with the tool_result.");
  }
  out.prompt.continue_final_message = true;
  out.prompt.add_generation_prompt = false;
}

void ReadMessageTools(ObjectReader& body, ChatRequest& out) {
  out.prompt.parameters_field = "input_schema";
  const Json* tools = FindTools(body);
  if (tools == nullptr) return;
  for (size_t i = 0; i < tools->size() && body.ok(); ++i) {
    ObjectReader tool((*tools)[i], fmt::format("tools[{}]", i), body.error());
    std::string type, description;
    tool.Read("type", {"custom"}, type);
    Json function = {{"name", ReadFunctionName(tool)}};
    tool.Read("description", description);
    if (!description.empty()) function["description"] = std::move(description);
    const Json* schema = tool.Find("input_schema");
    if (schema == nullptr || !schema->is_object()) tool.Refuse("input_schema", "an object: a JSON Schema");
    IgnoreCacheControl(tool, out);
    // Arguments are held to the schema and are streamed in any case.
    tool.Ignore(Kind::kBool, {"strict", "eager_input_streaming"}, &out.ignored);
    tool.Unsupported({{"input_examples", "describe examples in the description"},
                      {"defer_loading", "send only the tools that the model is to see"},
                      {"allowed_callers", "tools are called by the model alone"}});
    tool.Finish();
    if (!tool.ok()) return;
    function["parameters"] = *schema;
    AddTool(tool, std::move(function), out.prompt);
  }
}

void ReadMessageToolChoice(ObjectReader& body, ChatRequest& out) {
  const bool has_tools = !out.prompt.tool_names.empty();
  out.tool_choice.kind = has_tools ? ToolChoice::Kind::kAuto : ToolChoice::Kind::kNone;
  const Json* value = body.Find("tool_choice");
  if (value == nullptr) return;
  ObjectReader choice(*value, "tool_choice", body.error());
  std::string type;
  choice.Read("type", {"auto", "any", "tool", "none"}, type);
  if (choice.ok() && type.empty()) choice.Refuse("type", "one of auto, any, tool, none");
  bool is_single = false;
  if (type != "none") choice.Read("disable_parallel_tool_use", is_single);
  out.parallel_tool_calls = !is_single;
  if (choice.ok() && !has_tools && (type == "any" || type == "tool")) {
    return body.Fail("tool_choice", "tool_choice asks for a call, but the request has no tools.");
  }
  if (type == "tool") return RequireFunction(choice, "name", out);
  choice.Finish();
  if (type == "none") out.tool_choice.kind = ToolChoice::Kind::kNone;
  if (type == "any") out.tool_choice.kind = ToolChoice::Kind::kRequired;
}

void ReadThinking(ObjectReader& body, ChatRequest& out) {
  const Json* value = body.Find("thinking");
  if (value == nullptr) return;
  ObjectReader thinking(*value, "thinking", body.error());
  std::string type;
  thinking.Read("type", type);
  if (!thinking.ok()) return;
  if (type != "disabled") {
    return body.Fail("thinking",
                     "thinking is not supported: leave it out, or set its type to disabled. If the model's "
                     "template has a switch for it, use chat_template_kwargs.");
  }
  thinking.Finish();
  out.ignored.push_back("thinking");
}

// What the messages, the tools and the form of the answer are: all that a prompt is made from.
void ReadPrompt(ObjectReader& body, ChatRequest& out) {
  ReadModel(body, out.model);
  ReadConversation(body, out);
  ReadMessageTools(body, out);
  ReadMessageToolChoice(body, out);
  ReadTemplateVariables(body, out.prompt);
  ReadThinking(body, out);
  IgnoreCacheControl(body, out);
  body.Unsupported({{"container", "this server runs no code"},
                    {"mcp_servers", "this server calls no other servers"},
                    {"context_management", "send the messages that the model is to see"}});
  const Json* value = body.Find("output_config");
  if (value == nullptr) return;
  ObjectReader config(*value, "output_config", body.error());
  ReadFormat(config, "format", out.constraint);
  config.Unsupported({{"effort", "say in a message how long the answer should be"}});
  config.Finish();
}

}  // namespace

ApiResult<ChatRequest> ReadMessageRequest(const Json& json) {
  ErrorSlot error;
  ObjectReader body(json, "", error);
  ChatRequest request;
  ReadPrompt(body, request);
  body.Read("max_tokens", 1, INT32_MAX, request.max_tokens);
  if (body.ok() && !request.max_tokens) body.Refuse("max_tokens", "an integer of at least 1");
  constexpr double kMaxTemperature = 1;
  ReadDrawing(body, kMaxTemperature, request.sampling);
  ReadStops(body, "stop_sequences", request.sampling.stop);
  body.Read("stream", request.stream);
  ReadServerOptions(body, request.server);
  body.Ignore(Kind::kObject, {"metadata"}, &request.ignored);
  body.Ignore(Kind::kText, {"service_tier"}, &request.ignored);
  body.Finish();
  if (error.has_value()) return *error;
  return request;
}

ApiResult<ChatRequest> ReadCountTokensRequest(const Json& json) {
  ErrorSlot error;
  ObjectReader body(json, "", error);
  ChatRequest request;
  ReadPrompt(body, request);
  body.Finish();
  if (error.has_value()) return *error;
  return request;
}

}  // namespace qwen25
