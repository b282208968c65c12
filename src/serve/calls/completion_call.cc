#include "serve/calls/completion_call.h"

#include <ctime>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "serve/api/completion_reply.h"
#include "serve/api/completion_request.h"
#include "serve/api/identifier.h"
#include "serve/api/request_json.h"
#include "serve/api/server_sent_events.h"
#include "serve/calls/constraint.h"
#include "serve/calls/generation.h"
#include "serve/calls/infill_prompt.h"
#include "serve/calls/reply_usage.h"
#include "serve/calls/stream_settings.h"
#include "serve/calls/use_model.h"

namespace qwen25 {
namespace {

// Turns the choices of all prompts, those of the first prompt first, into the reply.
class CompletionListener : public GenerationListener {
 public:
  CompletionListener(std::shared_ptr<ServerCall> call, std::shared_ptr<ServedModel> model,
                     CompletionRequest request, std::vector<std::vector<int32_t>> prompts)
      : call_(std::move(call)),
        model_(std::move(model)),
        request_(std::move(request)),
        prompts_(std::move(prompts)),
        head_{.id = NewIdentifier("cmpl-"), .created = std::time(nullptr), .model = model_->name()},
        choices_(prompts_.size() * NumChoices()),
        writer_(head_, request_.include_usage) {}

  void OnPrompt(size_t index, std::span<const TokenScore> scores) override {
    if (!request_.echo) return;
    const std::vector<int32_t>& prompt = prompts_[index / NumChoices()];
    std::vector<TokenLogprob> logprobs;
    if (request_.logprobs) {
      logprobs.push_back({.id = prompt[0], .bytes = std::string(tokenizer().TokenBytes(prompt[0]))});
      for (const TokenScore& score : scores) logprobs.push_back(ToLogprob(tokenizer(), score));
    }
    // A text as it was sent; the decoder would show what the tokenizer put before it.
    const PromptInput& input = request_.prompts[index / NumChoices()];
    const auto* text = std::get_if<std::string>(&input);
    Take(index, text != nullptr ? *text : tokenizer().Decode(prompt), std::move(logprobs));
  }

  void OnText(size_t index, std::string_view piece, std::span<const int32_t>,
              std::span<const TokenScore> scores) override {
    std::vector<TokenLogprob> logprobs;
    for (const TokenScore& score : scores) logprobs.push_back(ToLogprob(tokenizer(), score));
    Take(index, piece, std::move(logprobs));
  }

  void OnChoiceEnd(size_t index, const StreamResult& result) override {
    usage_.Add(result, index % NumChoices() == 0);
    if (result.finish_reason == FinishReason::kError) {
      if (error_.ok()) error_ = result.error;
      return;
    }
    choices_[index].finish_reason = FinishReasonWord(result.finish_reason);
    if (request_.stream) Send(writer_.Finish(index, choices_[index].finish_reason));
  }

  void OnEnd() override {
    usage_.Tell(*call_);
    if (!request_.stream) {
      if (!error_.ok()) return call_->Refuse(error_);
      return call_->Answer(CompletionJson(head_, choices_, usage_.usage()));
    }
    if (!error_.ok()) {
      if (!has_begun_) return call_->Refuse(error_);
      call_->WriteEvents(call_->ErrorEvent(error_));
      return call_->EndEvents();
    }
    if (request_.include_usage) Send(writer_.Usage(usage_.usage()));
    Begin();
    call_->WriteEvents(std::string(kStreamEnd));
    call_->EndEvents();
  }

 private:
  size_t NumChoices() const { return static_cast<size_t>(request_.sampling.num_choices); }
  const Tokenizer& tokenizer() const { return model_->model().tokenizer; }

  void Take(size_t index, std::string_view piece, std::vector<TokenLogprob> logprobs) {
    if (request_.stream) {
      for (const Json& chunk : writer_.Next(index, piece, logprobs)) Send(chunk);
      return;
    }
    CompletionChoice& choice = choices_[index];
    choice.text += piece;
    if (!request_.logprobs) return;
    if (!choice.logprobs) choice.logprobs.emplace();
    for (TokenLogprob& logprob : logprobs) choice.logprobs->push_back(std::move(logprob));
  }

  void Begin() {
    if (!std::exchange(has_begun_, true)) call_->BeginEvents();
  }
  void Send(const Json& chunk) {
    Begin();
    call_->WriteEvents(ServerSentEvent(chunk));
  }

  const std::shared_ptr<ServerCall> call_;
  const std::shared_ptr<ServedModel> model_;
  const CompletionRequest request_;
  const std::vector<std::vector<int32_t>> prompts_;
  const ReplyHead head_;
  std::vector<CompletionChoice> choices_;
  CompletionChunkWriter writer_;
  ReplyUsage usage_;
  Status error_;
  bool has_begun_ = false;
};

// The tokens of one prompt of the request.
ApiResult<std::vector<int32_t>> PromptTokens(const CompletionRequest& request, size_t index,
                                             const ServedModel& model) {
  const std::string param = request.prompts.size() == 1 ? "prompt" : fmt::format("prompt[{}]", index);
  if (request.suffix) {
    Result<std::vector<int32_t>> tokens =
        InfillPrompt(model.model().tokenizer, std::get<std::string>(request.prompts[index]), *request.suffix);
    if (!tokens.ok()) return InvalidRequest("suffix", tokens.status().message());
    if (const auto error = CheckPromptFits(*tokens, model, param)) return *error;
    return std::move(*tokens);
  }
  ApiResult<std::vector<int32_t>> tokens = TokensOf(request.prompts[index], model.model(), param);
  if (!tokens.ok()) return tokens;
  if (const auto error = CheckPromptFits(*tokens, model, param)) return *error;
  return tokens;
}

void AnswerWith(const std::shared_ptr<ServerCall>& call, std::shared_ptr<ServedModel> model,
                CompletionRequest request) {
  const auto num_choices = static_cast<size_t>(request.sampling.num_choices);
  const StreamSettings settings = {.sampling = request.sampling,
                                   .server = request.server,
                                   .max_tokens = request.max_tokens,
                                   .num_top = request.logprobs};
  const ApiResult<Grammar::Pointer> grammar = GrammarOf(request.constraint, *model);
  if (!grammar.ok()) return call->Refuse(grammar.error());
  std::vector<std::vector<int32_t>> prompts;
  std::vector<StreamRequest> streams;
  for (size_t index = 0; index < request.prompts.size(); ++index) {
    ApiResult<std::vector<int32_t>> prompt = PromptTokens(request, index, *model);
    if (!prompt.ok()) return call->Refuse(prompt.error());
    prompts.push_back(std::move(*prompt));
    for (size_t choice = 0; choice < num_choices; ++choice) {
      ApiResult<StreamRequest> stream = MakeStream(*call, *model, settings, choice);
      if (!stream.ok()) return call->Refuse(stream.error());
      stream->prompt = prompts.back();
      stream->scores_prompt = request.echo && request.logprobs;
      ApiResult<std::shared_ptr<LogitsRule>> rule = RuleOf(*grammar, *model, request.constraint.field);
      if (!rule.ok()) return call->Refuse(rule.error());
      stream->rule = std::move(*rule);
      streams.push_back(std::move(*stream));
    }
  }
  const auto listener =
      std::make_shared<CompletionListener>(call, model, std::move(request), std::move(prompts));
  const Status status = StartGeneration(model, std::move(streams), listener, call->exchange());
  if (!status.ok()) RefuseStream(*call, *model, status);
}

}  // namespace

void AnswerCompletion(std::shared_ptr<ServerCall> call, ModelRegistry& models) {
  const ApiResult<Json> body = ParseRequestJson(call->request().body);
  if (!body.ok()) return call->Refuse(body.error());
  ApiResult<CompletionRequest> request = ReadCompletionRequest(*body);
  if (!request.ok()) return call->Refuse(request.error());
  const std::string model = request->model;
  UseModel(
      call, models, model,
      [call, request = std::make_shared<CompletionRequest>(std::move(*request))](
          std::shared_ptr<ServedModel> served) { AnswerWith(call, std::move(served), std::move(*request)); });
}

}  // namespace qwen25
