#include "serve/calls/completion_call.h"

#include <ctime>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "serve/api/completion_reply.h"
#include "serve/api/completion_request.h"
#include "serve/api/identifier.h"
#include "serve/calls/constraint.h"
#include "serve/calls/infill_prompt.h"
#include "serve/calls/reply_listener.h"
#include "serve/calls/stream_settings.h"
#include "serve/calls/use_model.h"

namespace qwen25 {
namespace {

// The tokens of one prompt of the request.
ApiResult<std::vector<int32_t>> PromptTokens(const CompletionRequest& request, size_t index,
                                             const ServedModel& model) {
  const std::string param = request.prompts.size() == 1 ? "prompt" : fmt::format("prompt[{}]", index);
  if (request.suffix) {
    Result<std::vector<int32_t>> tokens = InfillPrompt(
        model.model().tokenizer, {}, std::get<std::string>(request.prompts[index]), *request.suffix);
    if (!tokens.ok()) return InvalidRequest("suffix", tokens.status().message());
    if (const auto error = CheckPromptFits(*tokens, model, param)) return *error;
    return std::move(*tokens);
  }
  ApiResult<std::vector<int32_t>> tokens = TokensOf(request.prompts[index], model.model(), param);
  if (!tokens.ok()) return tokens;
  if (const auto error = CheckPromptFits(*tokens, model, param)) return *error;
  return tokens;
}

// What the reply says of the prompts themselves.
std::vector<ReplySettings::Echo> Echoes(const CompletionRequest& request,
                                        const std::vector<std::vector<int32_t>>& prompts,
                                        const Tokenizer& tokenizer) {
  std::vector<ReplySettings::Echo> echoes;
  for (size_t i = 0; request.echo && i < prompts.size(); ++i) {
    // A text as it was sent; the decoder would show what the tokenizer put before it.
    const auto* text = std::get_if<std::string>(&request.prompts[i]);
    const int32_t first = prompts[i][0];
    echoes.push_back({.text = text != nullptr ? *text : tokenizer.Decode(prompts[i]),
                      .first = {.id = first, .bytes = std::string(tokenizer.TokenBytes(first))}});
  }
  return echoes;
}

void AnswerWith(const std::shared_ptr<ServerCall>& call, const std::shared_ptr<ServedModel>& model,
                const CompletionRequest& request) {
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
      if (request.suffix) StopAfterInfill(model->model().tokenizer, *stream);
      ApiResult<std::shared_ptr<LogitsRule>> rule = RuleOf(*grammar, *model, request.constraint.field);
      if (!rule.ok()) return call->Refuse(rule.error());
      stream->rule = std::move(*rule);
      streams.push_back(std::move(*stream));
    }
  }
  const ReplyHead head = {
      .id = NewIdentifier("cmpl-"), .created = std::time(nullptr), .model = model->name()};
  StartReply(call, model, std::move(streams),
             std::make_unique<CompletionReplyWriter>(head, request.include_usage),
             {.stream = request.stream,
              .logprobs = request.logprobs.has_value(),
              .num_prompts = prompts.size(),
              .num_choices = num_choices,
              .echoes = Echoes(request, prompts, model->model().tokenizer)});
}

}  // namespace

void AnswerCompletion(std::shared_ptr<ServerCall> call, ModelRegistry& models) {
  AnswerWithModel(call, models, ReadCompletionRequest, AnswerWith);
}

}  // namespace qwen25
