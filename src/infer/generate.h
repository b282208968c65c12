// From a prompt to a text, for one session alone.
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
  Drafter* drafter = nullptr;    // proposes tokens to verify together; changes the speed only
  size_t max_draft_tokens = 16;  // at once
};

struct GenerateResult {
  std::string text;
  std::vector<int32_t> tokens;  // drawn, a final stop token included
  FinishReason finish_reason = FinishReason::kLength;
  Status error = {};  // what ended the answer, if finish_reason is kError; text and tokens are those before
  size_t num_prompt_tokens = 0;
  PrefixReuse reuse;  // of the prompt
  SpeculationStats speculation;
  double prompt_seconds = 0;
  double decode_seconds = 0;
};

// Continues `prompt`. What the session holds is kept as far as it agrees with the prompt, the rest is
// replaced, so a growing conversation costs only its new tokens. Fails without drawing anything when the
// prompt does not fit. An error after that ends the answer, and the result says so: kContextFull only if this
// session holds as many tokens as it may.
Result<GenerateResult> Generate(Session& session, const Tokenizer& tokenizer, std::span<const int32_t> prompt,
                                const GenerateOptions& options, const TextCallback& on_text = nullptr);

}  // namespace qwen25
