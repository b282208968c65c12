// From a prompt to a text, token by token.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "infer/sampler.h"
#include "infer/session.h"
#include "infer/token_stream.h"
#include "text/tokenizer.h"

namespace qwen25 {

struct GenerateOptions {
  SamplingOptions sampling;
  size_t max_new_tokens = 512;
  std::vector<std::string> stop;     // texts that end the answer; they are not part of it
  std::vector<int32_t> stop_tokens;  // ids that end the answer: the model's end-of-text tokens
  Drafter* drafter = nullptr;        // proposes tokens to verify together; changes the speed only
  size_t max_draft_tokens = 16;      // at once
};

enum class FinishReason { kStopToken, kStopText, kLength, kContextFull, kCancelled };
// "stop" for a stop token or text, "length", "cancelled": the words of the OpenAI API where it has them.
std::string_view FinishReasonName(FinishReason reason);

struct GenerateResult {
  std::string text;
  std::vector<int32_t> tokens;  // drawn, a final stop token included
  FinishReason finish_reason = FinishReason::kLength;
  size_t num_prompt_tokens = 0;
  PrefixReuse reuse;  // of the prompt
  SpeculationStats speculation;
  double prompt_seconds = 0;
  double decode_seconds = 0;
};

// Gets pieces of text as they become final; returning false stops the generation.
using TextCallback = std::function<bool(std::string_view piece)>;

// Continues `prompt`. What the session holds is kept as far as it agrees with the prompt, the rest is
// replaced, so a growing conversation costs only its new tokens. Fails without drawing anything when the
// prompt does not fit.
Result<GenerateResult> Generate(Session& session, const Tokenizer& tokenizer, std::span<const int32_t> prompt,
                                const GenerateOptions& options, const TextCallback& on_text = nullptr);

// Finds stop texts in a text that arrives in pieces, and lets through what can no longer be part of one.
class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // Appends to `out` what has become safe to show. True once a stop text is complete; nothing of it or behind
  // it comes out.
  bool Feed(std::string_view piece, std::string& out);
  // What was held back and turned out to be no stop text.
  std::string Finish();

 private:
  std::vector<std::string> stops_;
  std::string held_;
};

}  // namespace qwen25
