#include "serve/calls/chat_call.h"

#include <ctime>
#include <optional>
#include <utility>
#include <vector>

#include "serve/api/chat_reply.h"
#include "serve/api/chat_request.h"
#include "serve/api/identifier.h"
#include "serve/api/request_json.h"
#include "serve/api/server_sent_events.h"
#include "serve/calls/constraint.h"
#include "serve/calls/generation.h"
#include "serve/calls/reply_usage.h"
#include "serve/calls/stream_settings.h"
#include "serve/calls/use_model.h"

namespace qwen25 {
namespace {

// What an answer that must be a call begins with.
constexpr std::string_view kCallBegin = "<tool_call>\n";

bool MustCall(const ChatCompletionRequest& request) {
  return request.tool_choice.kind == ToolChoice::Kind::kRequired ||
         request.tool_choice.kind == ToolChoice::Kind::kFunction;
}

// Whether it may be one. A form that the whole answer must have leaves no room for calls.
bool MayCall(const ChatCompletionRequest& request) {
  return request.tool_choice.kind == ToolChoice::Kind::kAuto &&
         request.constraint.kind == OutputConstraint::Kind::kNone;
}

// Turns the choices of a chat into its reply.
class ChatListener : public GenerationListener {
 public:
  ChatListener(std::shared_ptr<ServerCall> call, std::shared_ptr<ServedModel> model,
               ChatCompletionRequest request, Json memory)
      : call_(std::move(call)),
        model_(std::move(model)),
        request_(std::move(request)),
        memory_(std::move(memory)),
        head_{.id = NewIdentifier("chatcmpl-"), .created = std::time(nullptr), .model = model_->name()},
        choices_(static_cast<size_t>(request_.sampling.num_choices)),
        writer_(head_, request_.include_usage) {
    if (request_.tool_choice.kind == ToolChoice::Kind::kNone) return;
    for (Choice& choice : choices_) {
      choice.parser.emplace(
          ToolCallParser::Options{.bare_json = true, .tool_names = request_.prompt.tool_names});
      // The prompt ends with it.
      if (MustCall(request_)) choice.parser->Feed(kCallBegin);
    }
  }

  void OnPrompt(size_t, std::span<const TokenScore>) override {}
  void OnText(size_t index, std::string_view piece, std::span<const int32_t>,
              std::span<const TokenScore> scores) override {
    Choice& choice = choices_[index];
    std::vector<TokenLogprob> logprobs;
    for (const TokenScore& score : scores) logprobs.push_back(ToLogprob(model_->model().tokenizer, score));
    Take(index, choice.parser ? choice.parser->Feed(piece) : Plain(piece), std::move(logprobs));
  }

  void OnChoiceEnd(size_t index, const StreamResult& result) override {
    Choice& choice = choices_[index];
    if (choice.parser) Take(index, choice.parser->Finish(), {});
    usage_.Add(result, /*is_first_of_prompt=*/index == 0);
    if (result.finish_reason == FinishReason::kError) {
      if (error_.ok()) error_ = result.error;
      return;
    }
    choice.reply.finish_reason =
        FinishReasonWord(result.finish_reason, choice.parser && choice.parser->num_calls() > 0);
    if (request_.stream) Send(writer_.Finish(index, choice.reply.finish_reason));
  }

  void OnEnd() override {
    usage_.Tell(*call_);
    if (!request_.stream) {
      if (!error_.ok()) return call_->Refuse(error_);
      std::vector<ChatChoice> replies;
      for (Choice& choice : choices_) replies.push_back(std::move(choice.reply));
      Json reply = ChatCompletionJson(head_, replies, usage_.usage());
      if (!memory_.empty()) reply["memory"] = memory_;
      return call_->Answer(reply);
    }
    if (!error_.ok() && !has_begun_) return call_->Refuse(error_);
    if (!error_.ok()) {
      call_->WriteEvents(call_->ErrorEvent(error_));
      return call_->EndEvents();
    }
    if (request_.include_usage) Send({writer_.Usage(usage_.usage())});
    Begin();
    call_->WriteEvents(std::string(kStreamEnd));
    call_->EndEvents();
  }

 private:
  struct Choice {
    std::optional<ToolCallParser> parser;  // if functions may be called
    ChatChoice reply;
  };

  static std::vector<AnswerPiece> Plain(std::string_view text) {
    if (text.empty()) return {};
    return {{.content = std::string(text)}};
  }

  void Take(size_t index, std::vector<AnswerPiece> pieces, std::vector<TokenLogprob> logprobs) {
    if (!request_.parallel_tool_calls) {
      std::erase_if(pieces, [](const AnswerPiece& piece) { return piece.call && piece.call->index > 0; });
    }
    if (request_.stream) {
      std::vector<Json> chunks = writer_.Begin(index);
      if (!chunks.empty() && !memory_.empty()) chunks[0]["memory"] = memory_;
      for (Json& chunk : writer_.Next(index, pieces, logprobs)) chunks.push_back(std::move(chunk));
      return Send(chunks);
    }
    ChatChoice& reply = choices_[index].reply;
    AppendPieces(pieces, reply.message);
    if (!request_.logprobs) return;
    if (!reply.logprobs) reply.logprobs.emplace();
    for (TokenLogprob& logprob : logprobs) reply.logprobs->push_back(std::move(logprob));
  }

  void Begin() {
    if (!std::exchange(has_begun_, true)) call_->BeginEvents();
  }
  void Send(const std::vector<Json>& chunks) {
    if (chunks.empty()) return;
    Begin();
    std::string events;
    for (const Json& chunk : chunks) events += ServerSentEvent(chunk);
    call_->WriteEvents(std::move(events));
  }

  const std::shared_ptr<ServerCall> call_;
  const std::shared_ptr<ServedModel> model_;
  const ChatCompletionRequest request_;
  const Json memory_;  // what it added to the conversation, and did
  const ReplyHead head_;
  std::vector<Choice> choices_;
  ChatChunkWriter writer_;
  ReplyUsage usage_;
  Status error_;
  bool has_begun_ = false;
};

// Lets the memory take part in the conversation, if the request has it. Returns what it did, {} for nothing.
ApiResult<Json> UseMemory(ServerCall& call, const ServedModel& model, ChatCompletionRequest& request) {
  if (!request.server.memory || !request.server.memory->recall.value_or(true)) return Json(Json::object());
  if (!call.memory().is_on()) return InvalidRequest("memory", "This server has no memory.");
  if (request.server.memory->notes_as.value_or("text") != "text") {
    return InvalidRequest("memory.notes_as", "This server puts notes before a question as text.");
  }
  const std::string name_space = request.server.memory->name_space.value_or(call.DefaultNamespace());
  if (!call.MayUse(name_space) || !call.MayUseMemory()) {
    ApiError error = InvalidRequest("memory.namespace", "This key may not use this memory.");
    error.status = 403;
    error.type = ErrorTypeOf(403);
    return error;
  }
  const LoadedModel& loaded = model.model();
  return call.memory().AddNotes(name_space, model.name(), loaded.tokenizer, model.max_context_tokens(),
                                request.prompt.messages);
}

void AnswerWith(const std::shared_ptr<ServerCall>& call, std::shared_ptr<ServedModel> model,
                ChatCompletionRequest request) {
  const LoadedModel& loaded = model->model();
  if (!loaded.chat_template) {
    return call->Refuse(
        InvalidRequest("model", "This model has no chat template: it continues texts. Use /v1/completions."));
  }
  if (!request.prompt.tools.is_null() && request.tool_choice.kind != ToolChoice::Kind::kNone &&
      !loaded.chat_template->knows_tools()) {
    return call->Refuse(InvalidRequest("tools", "This model's chat template knows no tools."));
  }
  const ApiResult<Json> memory = UseMemory(*call, *model, request);
  if (!memory.ok()) return call->Refuse(memory.error());
  Result<std::vector<int32_t>> prompt =
      loaded.chat_template->Encode(loaded.tokenizer, request.prompt.messages, request.PromptOptions());
  if (!prompt.ok()) return call->Refuse(prompt.status(), "messages");
  if (MustCall(request)) loaded.tokenizer.Encode(kCallBegin, *prompt, SpecialTokens::kControlAsText);
  if (const auto error = CheckPromptFits(*prompt, *model, "messages")) return call->Refuse(*error);
  const ApiResult<Grammar::Pointer> grammar = MustCall(request)
                                                  ? GrammarOfCall(request.prompt, request.tool_choice, *model)
                                                  : GrammarOf(request.constraint, *model);
  if (!grammar.ok()) return call->Refuse(grammar.error());
  std::vector<StreamRequest> streams;
  for (size_t choice = 0; choice < static_cast<size_t>(request.sampling.num_choices); ++choice) {
    const StreamSettings settings = {
        .sampling = request.sampling,
        .server = request.server,
        .max_tokens = request.max_tokens,
        .num_top = request.logprobs ? std::optional(request.top_logprobs) : std::nullopt};
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
  const auto listener = std::make_shared<ChatListener>(call, model, std::move(request), *memory);
  const Status status = StartGeneration(model, std::move(streams), listener, call->exchange());
  if (!status.ok()) RefuseStream(*call, *model, status);
}

}  // namespace

void AnswerChat(std::shared_ptr<ServerCall> call, ModelRegistry& models) {
  const ApiResult<Json> body = ParseRequestJson(call->request().body);
  if (!body.ok()) return call->Refuse(body.error());
  ApiResult<ChatCompletionRequest> request = ReadChatCompletionRequest(*body);
  if (!request.ok()) return call->Refuse(request.error());
  const std::string model = request->model;
  UseModel(
      call, models, model,
      [call, request = std::make_shared<ChatCompletionRequest>(std::move(*request))](
          std::shared_ptr<ServedModel> served) { AnswerWith(call, std::move(served), std::move(*request)); });
}

}  // namespace qwen25
