// Generates text from a prompt in one session.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "infer/answer.h"
#include "infer/sampler.h"
#include "infer/session.h"
#include "infer/token_stream.h"
#include "text/tokenizer.h"

namespace qwen25 {

struct GenerateOptions : AnswerOptions {
  SamplingOptions sampling;
  Drafter* drafter = nullptr;    // speculative decoding: faster, the same distribution of tokens; null: off
  size_t max_draft_tokens = 16;  // most tokens to verify in one pass
  LogitsRule* rule = nullptr;    // what the answer must be, from its first token on; null: anything
};

struct GenerateResult {
  std::string text;
  std::vector<int32_t> tokens;  // as drawn, a final stop token included
  FinishReason finish_reason = FinishReason::kLength;
  Status error = {};  // why the answer ended, if finish_reason is kError
  size_t num_prompt_tokens = 0;
  PrefixReuse reuse;  // prompt tokens that did not have to be computed
  SpeculationStats speculation;
  double prompt_seconds = 0;
  double decode_seconds = 0;
};

// Continues `prompt`. The session keeps the tokens that agree with the prompt and computes the rest, so that
// a growing conversation costs only its new tokens. Fails if an option is invalid, the prompt does not fit or
// `on_text` returns false while the prompt is read (kCancelled). A later error ends the answer with kError
// and is in the result; kContextFull means that the session holds as many tokens as it may.
Result<GenerateResult> Generate(Session& session, const Tokenizer& tokenizer, std::span<const int32_t> prompt,
                                const GenerateOptions& options, const TextCallback& on_text = nullptr);

}  // namespace qwen25
