#include "serve/calls/chat_generation.h"

#include <optional>
#include <utility>

#include "serve/calls/constraint.h"
#include "serve/calls/reply_listener.h"
#include "serve/calls/stream_settings.h"

namespace qwen25 {
namespace {

// What an answer that must be a call begins with.
constexpr std::string_view kCallBegin = "<tool_call>\n";

bool MustCall(const ChatRequest& request) {
  return request.tool_choice.kind == ToolChoice::Kind::kRequired ||
         request.tool_choice.kind == ToolChoice::Kind::kFunction;
}

// Whether it may be one. A form that the whole answer must have leaves no room for calls.
bool MayCall(const ChatRequest& request) {
  return request.tool_choice.kind == ToolChoice::Kind::kAuto &&
         request.constraint.kind == OutputConstraint::Kind::kNone;
}

ReplySettings SettingsOf(const ChatRequest& request, Json memory) {
  ReplySettings settings = {.stream = request.stream,
                            .logprobs = request.logprobs,
                            .num_choices = static_cast<size_t>(request.sampling.num_choices),
                            .memory = std::move(memory)};
  if (request.tool_choice.kind == ToolChoice::Kind::kNone) return settings;
  settings.calls = {.parser = {.stream_arguments = request.stream,
                               .bare_json = true,
                               .tool_names = request.prompt.tool_names},
                    .begun = MustCall(request) ? std::string(kCallBegin) : std::string(),
                    .only_first = !request.parallel_tool_calls};
  return settings;
}

// Lets the memory take part in the conversation, if the request has it. Returns what it did, {} for nothing.
ApiResult<Json> UseMemory(ServerCall& call, const ServedModel& model, ChatRequest& request) {
  if (!request.server.memory || !request.server.memory->recall.value_or(true)) return Json(Json::object());
  if (!call.memory().is_on()) return InvalidRequest("memory", "This server has no memory.");
  if (request.server.memory->notes_as.value_or("text") != "text") {
    return InvalidRequest("memory.notes_as", "This server puts notes before a question as text.");
  }
  const std::string name_space = request.server.memory->name_space.value_or(call.DefaultNamespace());
  if (!call.MayUse(name_space) || !call.MayUseMemory()) {
    return NotAllowed("memory.namespace", "This key may not use this memory.");
  }
  const LoadedModel& loaded = model.model();
  return call.memory().AddNotes(name_space, model.name(), loaded.tokenizer, model.max_context_tokens(),
                                request.prompt.messages);
}

}  // namespace

ApiResult<std::vector<int32_t>> ChatPromptTokens(ServerCall& call, const ServedModel& model,
                                                 const ChatRequest& request) {
  const LoadedModel& loaded = model.model();
  if (!loaded.chat_template) {
    return InvalidRequest("model",
                          "This model has no chat template: it continues texts. Use /v1/completions.");
  }
  const bool has_tools =
      !request.prompt.tools.is_null() && request.tool_choice.kind != ToolChoice::Kind::kNone;
  if (has_tools && !loaded.chat_template->knows_tools()) {
    return InvalidRequest("tools", "This model's chat template knows no tools.");
  }
  Result<std::vector<int32_t>> prompt =
      loaded.chat_template->Encode(loaded.tokenizer, request.prompt.messages, request.PromptOptions());
  if (!prompt.ok()) return call.ErrorOf(prompt.status(), request.prompt.messages_field);
  if (MustCall(request)) loaded.tokenizer.Encode(kCallBegin, *prompt, SpecialTokens::kControlAsText);
  return std::move(*prompt);
}

void GenerateChat(const std::shared_ptr<ServerCall>& call, const std::shared_ptr<ServedModel>& model,
                  ChatRequest request, const MakeReplyWriter& make_writer) {
  ApiResult<Json> memory = UseMemory(*call, *model, request);
  if (!memory.ok()) return call->Refuse(memory.error());
  const ApiResult<std::vector<int32_t>> prompt = ChatPromptTokens(*call, *model, request);
  if (!prompt.ok()) return call->Refuse(prompt.error());
  if (const auto error = CheckPromptFits(*prompt, *model, request.prompt.messages_field)) {
    return call->Refuse(*error);
  }
  const ApiResult<Grammar::Pointer> grammar = MustCall(request)
                                                  ? GrammarOfCall(request.prompt, request.tool_choice, *model)
                                                  : GrammarOf(request.constraint, *model);
  if (!grammar.ok()) return call->Refuse(grammar.error());
  const StreamSettings settings = {
      .sampling = request.sampling,
      .server = request.server,
      .max_tokens = request.max_tokens,
      .num_top = request.logprobs ? std::optional(request.top_logprobs) : std::nullopt};
  std::vector<StreamRequest> streams;
  for (size_t choice = 0; choice < static_cast<size_t>(request.sampling.num_choices); ++choice) {
    ApiResult<StreamRequest> stream = MakeStream(*call, *model, settings, choice);
    if (!stream.ok()) return call->Refuse(stream.error());
    stream->prompt = *prompt;
    ApiResult<std::shared_ptr<LogitsRule>> rule = MayCall(request)
                                                      ? RuleOfCalls(request.prompt, *model)
                                                      : RuleOf(*grammar, *model, request.constraint.field);
    if (!rule.ok()) return call->Refuse(rule.error());
    stream->rule = std::move(*rule);
    streams.push_back(std::move(*stream));
  }
  StartReply(call, model, std::move(streams), make_writer(prompt->size()),
             SettingsOf(request, std::move(*memory)));
}

}  // namespace qwen25
