#include "serve/api/chat_request.h"

#include <algorithm>
#include <utility>

namespace qwen25 {

const Json* ReadToolChoiceWord(ObjectReader& body, std::string_view wanted, ChatRequest& out) {
  using Kind = ToolChoice::Kind;
  const bool has_tools = !out.prompt.tool_names.empty();
  out.tool_choice.kind = has_tools ? Kind::kAuto : Kind::kNone;
  const Json* choice = body.Find("tool_choice");
  if (choice == nullptr || *choice == "auto") return nullptr;
  if (*choice == "none") {
    out.tool_choice.kind = Kind::kNone;
    return nullptr;
  }
  if (!choice->is_object() && *choice != "required") {
    body.Refuse("tool_choice", wanted);
    return nullptr;
  }
  if (!has_tools) {
    body.Fail("tool_choice", "tool_choice asks for a call, but the request has no tools.");
    return nullptr;
  }
  out.tool_choice.kind = Kind::kRequired;
  return choice->is_object() ? choice : nullptr;
}

void RequireFunction(ObjectReader& choice, std::string_view key, ChatRequest& out) {
  std::string name;
  choice.Read(key, name);
  choice.Finish();
  if (!choice.ok()) return;
  if (std::ranges::find(out.prompt.tool_names, name) == out.prompt.tool_names.end()) {
    return choice.Fail(key, fmt::format("{} is none of the request's tools.", choice.PathOf(key)));
  }
  out.tool_choice = {.kind = ToolChoice::Kind::kFunction, .function = std::move(name)};
}

namespace {

void ReadToolChoice(ObjectReader& body, ChatCompletionRequest& out) {
  const Json* choice = ReadToolChoiceWord(
      body, "none, auto, required or {\"type\": \"function\", \"function\": {\"name\": string}}", out);
  if (choice == nullptr) return;
  ObjectReader named(*choice, "tool_choice", body.error());
  std::string type;
  named.Read("type", {"function"}, type);
  if (type.empty()) named.Refuse("type", "\"function\"");
  const Json* value = named.Find("function");
  if (value == nullptr) named.Refuse("function", "an object with \"name\"");
  named.Finish();
  if (!named.ok()) return;
  ObjectReader function(*value, "tool_choice.function", body.error());
  RequireFunction(function, "name", out);
}

void ReadLengths(ObjectReader& body, ChatCompletionRequest& out) {
  std::optional<int64_t> old_name;
  body.Read("max_tokens", 1, INT32_MAX, old_name);
  body.Read("max_completion_tokens", 1, INT32_MAX, out.max_tokens);
  if (old_name.has_value() && out.max_tokens.has_value() && old_name != out.max_tokens) {
    body.Fail(
        "max_completion_tokens",
        fmt::format("max_completion_tokens is {} and max_tokens is {}: they are two names of one limit; "
                    "send one.",
                    *out.max_tokens, *old_name));
  }
  if (!out.max_tokens.has_value()) out.max_tokens = old_name;
}

void ReadLogprobs(ObjectReader& body, ChatCompletionRequest& out) {
  body.Read("logprobs", out.logprobs);
  body.Read("top_logprobs", 0, 20, out.top_logprobs);
  if (out.top_logprobs > 0 && !out.logprobs) {
    body.Fail("top_logprobs", "top_logprobs needs \"logprobs\": true.");
  }
}

// What OpenAI's API has and this server has not, with what to do instead.
void RefuseUnsupported(ObjectReader& body) {
  body.Unsupported({
      {"functions", "use tools"},
      {"function_call", "use tool_choice"},
      {"audio", "this model writes text only"},
      {"web_search_options", "this server does not search the web"},
      {"reasoning_effort", "use chat_template_kwargs if the model's template has such a switch"},
      {"verbosity", "say in a message how long the answer should be"},
      {"prediction", "the server drafts tokens by itself; \"speculation\" turns that on and off"},
  });
  const Json* modalities = body.Find("modalities");
  if (modalities != nullptr && *modalities != Json::array({"text"})) {
    body.Fail("modalities", "modalities must be [\"text\"]: this model writes text only.");
  }
}

}  // namespace

ChatPromptOptions ChatRequest::PromptOptions() const {
  return {.tools = tool_choice.kind == ToolChoice::Kind::kNone ? Json(nullptr) : prompt.tools,
          .add_generation_prompt = prompt.add_generation_prompt,
          .continue_final_message = prompt.continue_final_message,
          .variables = prompt.template_variables};
}

ApiResult<ChatCompletionRequest> ReadChatCompletionRequest(const Json& json) {
  ErrorSlot error;
  ObjectReader body(json, "", error);
  ChatCompletionRequest request;
  ReadModel(body, request.model);
  ReadChatPrompt(body, request.prompt);
  ReadToolChoice(body, request);
  body.Read("parallel_tool_calls", request.parallel_tool_calls);
  ReadLengths(body, request);
  ReadSampling(body, request.sampling);
  ReadConstraint(body, request.constraint);
  ReadStreaming(body, request.stream, &request.include_usage);
  ReadLogprobs(body, request);
  ReadServerOptions(body, request.server);
  ReadIgnored(body, request.ignored);
  RefuseUnsupported(body);
  body.Finish();
  if (error.has_value()) return *error;
  return request;
}

ApiResult<ApplyTemplateRequest> ReadApplyTemplateRequest(const Json& json) {
  ErrorSlot error;
  ObjectReader body(json, "", error);
  ApplyTemplateRequest request;
  ReadModel(body, request.model);
  ReadChatPrompt(body, request.prompt);
  body.Finish();
  if (error.has_value()) return *error;
  return request;
}

}  // namespace qwen25
