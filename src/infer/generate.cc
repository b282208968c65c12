#include "infer/generate.h"

#include "base/clock.h"

namespace qwen25 {
namespace {

// Draws tokens until the answer ends.
void Decode(Session& session, TokenStream& stream, Answer& answer) {
  while (!answer.ended()) {
    const Result<std::span<const int32_t>> tokens = stream.Take();
    if (!tokens.ok()) return answer.End(FinishReason::kError, tokens.status());
    const size_t num_added = answer.Add(*tokens);
    if (answer.ended()) return stream.DropLast(tokens->size() - num_added);
    if (session.room() == 0) return answer.End(FinishReason::kContextFull);
    const Status status = AppendProposal(stream, answer.num_wanted());
    if (!status.ok()) return answer.End(FinishReason::kError, status);
  }
}

}  // namespace

Result<GenerateResult> Generate(Session& session, const Tokenizer& tokenizer, std::span<const int32_t> prompt,
                                const GenerateOptions& options, const TextCallback& on_text) {
  QWEN25_RETURN_IF_ERROR(options.sampling.Validate());
  QWEN25_RETURN_IF_ERROR(options.Validate());
  GenerateResult result;
  result.num_prompt_tokens = prompt.size();
  const double start = NowSeconds();
  const auto keep_going = [&](size_t) { return !on_text || on_text(""); };
  QWEN25_TRY(result.reuse, session.HoldExactly(prompt, keep_going));
  if (options.drafter) QWEN25_RETURN_IF_ERROR(options.drafter->Start(prompt, keep_going));
  const double prompt_done = NowSeconds();
  result.prompt_seconds = prompt_done - start;

  TokenStream stream(session, options.sampling, options.drafter, options.max_draft_tokens);
  stream.SetRule(options.rule);
  Answer answer(tokenizer, options, on_text);
  Decode(session, stream, answer);
  result.text = answer.text();
  result.tokens = answer.tokens();
  result.finish_reason = answer.finish_reason();
  result.error = answer.error();
  result.speculation = stream.stats();
  result.decode_seconds = NowSeconds() - prompt_done;
  return result;
}

}  // namespace qwen25
