#include "serve/api/response_request.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>

namespace qwen25 {
namespace {

using Kind = ObjectReader::Kind;

// The items of `input` as messages of a chat, with where each comes from.
class Items {
 public:
  void AddMessage(std::string_view role, Json content, std::string path) {
    messages_.push_back({{"role", role}, {"content", std::move(content)}});
    sources_.push_back({.path = std::move(path), .id_name = "call_id"});
  }
  void Read(const Json& item, const std::string& path, ErrorSlot& error);
  void Finish(ErrorSlot& error, std::vector<ChatMessage>& out) {
    if (!error) ParseConversation(std::move(messages_), sources_, error, out);
  }

 private:
  void ReadMessage(ObjectReader& item, const std::string& path);
  void ReadCall(ObjectReader& item, const Json& value, const std::string& path);
  void ReadOutput(ObjectReader& item, const std::string& path);

  Json messages_ = Json::array();
  std::vector<MessageSource> sources_;
  std::vector<std::string> call_ids_;
};

// What clients send back of the items of a reply, and what has no effect on the model.
void IgnoreState(ObjectReader& item) {
  item.Ignore(Kind::kText, {"id", "status", "phase"});
}

void Items::ReadMessage(ObjectReader& item, const std::string& path) {
  std::string role;
  item.Read("role", {"user", "assistant", "system", "developer"}, role);
  if (item.ok() && role.empty()) item.Refuse("role", "one of user, assistant, system, developer");
  CheckContent(item, /*may_be_null=*/false);
  IgnoreState(item);
  item.Finish();
  if (item.ok()) AddMessage(role, *item.Find("content"), path);
}

void Items::ReadCall(ObjectReader& item, const Json& value, const std::string& path) {
  std::string id;
  ReadCallId(item, "call_id", id);
  Json function = {{"name", ReadFunctionName(item)}};
  if (item.Find("arguments") == nullptr) item.Refuse("arguments", "a string that holds a JSON object");
  IgnoreState(item);
  item.Finish();
  if (!item.ok()) return;
  function["arguments"] = value["arguments"];
  NormalizeArguments(function, path, item.error());
  if (!item.ok()) return;
  if (std::ranges::find(call_ids_, id) != call_ids_.end()) {
    return item.Fail("call_id", fmt::format("{} is the id of an earlier call, too.", item.PathOf("call_id")));
  }
  call_ids_.push_back(id);
  // It belongs to the turn that the items before it are part of.
  if (messages_.empty() || messages_.back()["role"] != "assistant") AddMessage("assistant", "", path);
  messages_.back()["tool_calls"].push_back(
      {{"id", std::move(id)}, {"type", "function"}, {"function", std::move(function)}});
}

void Items::ReadOutput(ObjectReader& item, const std::string& path) {
  std::string id;
  ReadCallId(item, "call_id", id);
  const Json* output = item.Find("output");
  IgnoreState(item);
  item.Finish();
  if (!item.ok()) return;
  if (output == nullptr || (!output->is_string() && !output->is_array())) {
    return item.Refuse("output", "a string or an array of text parts");
  }
  for (size_t i = 0; i < output->size() && output->is_array() && item.ok(); ++i) {
    CheckTextPart((*output)[i], fmt::format("{}[{}]", item.PathOf("output"), i), item.error());
  }
  if (!item.ok()) return;
  if (std::ranges::find(call_ids_, id) == call_ids_.end()) {
    return item.Fail("call_id",
                     fmt::format("{} is the id of no function_call before it.", item.PathOf("call_id")));
  }
  AddMessage("tool", *output, path);
  messages_.back()["tool_call_id"] = std::move(id);
}

void Items::Read(const Json& value, const std::string& path, ErrorSlot& error) {
  ObjectReader item(value, path, error);
  std::string type = "message";
  item.Read("type", type);
  if (!item.ok()) return;
  if (type == "message") return ReadMessage(item, path);
  if (type == "function_call") return ReadCall(item, value, path);
  if (type == "function_call_output") return ReadOutput(item, path);
  if (type == "item_reference") {
    return item.Fail("type", fmt::format("{} is item_reference: this server keeps no items; send the item "
                                         "itself.",
                                         item.PathOf("type")));
  }
  item.Refuse("type", "one of message, function_call, function_call_output");
}

void ReadInput(ObjectReader& body, ResponseRequest& out) {
  out.prompt.messages_field = "input";
  std::optional<std::string> instructions;
  body.Read("instructions", instructions);
  out.shown["instructions"] = instructions ? Json(*instructions) : Json(nullptr);
  const Json* input = body.Find("input");
  if (!body.ok()) return;
  Items items;
  if (instructions && !instructions->empty()) items.AddMessage("system", *instructions, "instructions");
  if (input != nullptr && input->is_string()) {
    items.AddMessage("user", *input, "input");
  } else if (input == nullptr || !input->is_array() || input->empty()) {
    return body.Refuse("input", "a string or an array of at least one item");
  } else {
    for (size_t i = 0; i < input->size() && body.ok(); ++i) {
      items.Read((*input)[i], fmt::format("input[{}]", i), body.error());
    }
  }
  items.Finish(body.error(), out.prompt.messages);
}

void ReadFunctions(ObjectReader& body, ResponseRequest& out) {
  out.prompt.parameters_field = "parameters";
  out.shown["tools"] = Json::array();
  const Json* tools = FindTools(body);
  if (tools == nullptr) return;
  for (size_t i = 0; i < tools->size() && body.ok(); ++i) {
    ObjectReader tool((*tools)[i], fmt::format("tools[{}]", i), body.error());
    std::string type;
    tool.Read("type", {"function"}, type);
    if (tool.ok() && type.empty()) tool.Refuse("type", "\"function\"");
    Json function = {{"name", ReadFunctionName(tool)}};
    std::string description;
    tool.Read("description", description);
    if (!description.empty()) function["description"] = std::move(description);
    const Json* parameters = tool.Find("parameters");
    if (parameters != nullptr && !parameters->is_object()) tool.Refuse("parameters", "an object");
    tool.Ignore(Kind::kBool, {"strict"}, &out.ignored);  // arguments are held to the schema in any case
    tool.Finish();
    if (!tool.ok()) return;
    if (parameters != nullptr) function["parameters"] = *parameters;
    AddTool(tool, std::move(function), out.prompt);
  }
  out.shown["tools"] = *tools;
}

void ReadFunctionChoice(ObjectReader& body, ResponseRequest& out) {
  const Json* sent = body.Find("tool_choice");
  out.shown["tool_choice"] = sent == nullptr ? Json("auto") : *sent;
  const Json* choice =
      ReadToolChoiceWord(body, "none, auto, required or {\"type\": \"function\", \"name\": string}", out);
  if (choice == nullptr) return;
  ObjectReader named(*choice, "tool_choice", body.error());
  std::string type;
  named.Read("type", {"function"}, type);
  if (named.ok() && type.empty()) named.Refuse("type", "\"function\"");
  RequireFunction(named, "name", out);
}

void ReadText(ObjectReader& body, ResponseRequest& out) {
  out.shown["text"] = {{"format", {{"type", "text"}}}};
  const Json* value = body.Find("text");
  if (value == nullptr) return;
  ObjectReader text(*value, "text", body.error());
  ReadFormat(text, "format", out.constraint);
  text.Unsupported({{"verbosity", "say in a message how long the answer should be"}});
  text.Finish();
  if (text.ok() && text.Find("format") != nullptr) out.shown["text"] = {{"format", *text.Find("format")}};
}

// `include` and `top_logprobs`.
void ReadIncluded(ObjectReader& body, ResponseRequest& out) {
  constexpr std::string_view kLogprobs = "message.output_text.logprobs";
  body.Read("top_logprobs", 0, 20, out.top_logprobs);
  out.shown["top_logprobs"] = out.top_logprobs;
  const Json* include = body.Find("include");
  if (include != nullptr && !include->is_array()) return body.Refuse("include", "an array of names");
  for (size_t i = 0; include != nullptr && i < include->size(); ++i) {
    const Json& name = (*include)[i];
    if (name == "reasoning.encrypted_content") {  // models here do not reason apart from their answers
      out.ignored.push_back("include");
    } else if (name == kLogprobs) {
      out.logprobs = true;
    } else {
      const std::string path = fmt::format("include[{}]", i);
      return body.Fail(path, fmt::format("{} is not supported; {} is.", path, kLogprobs));
    }
  }
  if (out.top_logprobs > 0 && !out.logprobs) {
    return body.Fail("top_logprobs", fmt::format("top_logprobs needs {} in include.", kLogprobs));
  }
  if (out.logprobs && out.tool_choice.kind != ToolChoice::Kind::kNone) {
    body.Fail("include",
              fmt::format("{} is given for answers without calls only: leave the tools out, or set "
                          "tool_choice to none.",
                          kLogprobs));
  }
}

void ReadLimits(ObjectReader& body, ResponseRequest& out) {
  body.Read("max_output_tokens", 1, INT32_MAX, out.max_tokens);
  constexpr double kMaxTemperature = 2;
  ReadDrawing(body, kMaxTemperature, out.sampling);
  const auto show = [&](const char* name, const auto& value) {
    out.shown[name] = value ? Json(*value) : Json(nullptr);
  };
  show("max_output_tokens", out.max_tokens);
  show("temperature", out.sampling.temperature);
  show("top_p", out.sampling.top_p);
}

void RefuseUnsupported(ObjectReader& body) {
  body.Unsupported({
      {"previous_response_id", "this server keeps no responses; send the items again"},
      {"conversation", "this server keeps no conversations; send the items again"},
      {"prompt", "this server keeps no prompts; send the text itself"},
      {"context_management", "send the items that the model is to see"},
      {"max_tool_calls", "the tools of this server are all called by the client"},
      {"moderation", "this server does not moderate"},
  });
  bool in_background = false;
  body.Read("background", in_background);
  if (in_background) body.Fail("background", "background is not supported: stream the response instead.");
  std::string truncation;
  body.Read("truncation", {"disabled"}, truncation);
}

// Integers beyond 64 bits as float64, which is what readers of a reply make of them anyway.
void RoundBigIntegers(Json& value) {
  if (value.is_binary()) {
    const auto& digits = value.get_binary();
    value = std::strtod(std::string(digits.begin(), digits.end()).c_str(), nullptr);
  } else if (value.is_structured()) {
    for (Json& member : value) RoundBigIntegers(member);
  }
}

// What the reply says of the rest of the request.
void ShowRest(ObjectReader& body, ResponseRequest& out) {
  const auto copy = [&](const char* name, Json otherwise) {
    const Json* value = body.Find(name);
    out.shown[name] = value == nullptr ? std::move(otherwise) : *value;
  };
  copy("metadata", Json::object());
  copy("user", nullptr);
  out.shown["parallel_tool_calls"] = out.parallel_tool_calls;
  out.shown["previous_response_id"] = nullptr;
  out.shown["reasoning"] = {{"effort", nullptr}, {"summary", nullptr}};
  out.shown["store"] = false;  // whatever the request says
  out.shown["truncation"] = "disabled";
  RoundBigIntegers(out.shown);
}

}  // namespace

ApiResult<ResponseRequest> ReadResponseRequest(const Json& json) {
  ErrorSlot error;
  ObjectReader body(json, "", error);
  ResponseRequest request;
  request.shown = Json::object();
  ReadModel(body, request.model);
  ReadInput(body, request);
  ReadFunctions(body, request);
  ReadFunctionChoice(body, request);
  body.Read("parallel_tool_calls", request.parallel_tool_calls);
  ReadLimits(body, request);
  ReadText(body, request);
  ReadIncluded(body, request);
  ReadTemplateVariables(body, request.prompt);
  ReadStreaming(body, request.stream, nullptr);
  ReadServerOptions(body, request.server);
  ReadIgnored(body, request.ignored);
  // Models here do not reason apart from their answers, so that there is nothing to turn up or down.
  body.Ignore(Kind::kObject, {"reasoning"}, &request.ignored);
  RefuseUnsupported(body);
  if (error.has_value()) return *error;
  ShowRest(body, request);
  body.Finish();
  if (error.has_value()) return *error;
  return request;
}

}  // namespace qwen25
