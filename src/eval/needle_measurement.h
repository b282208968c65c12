// Whether a model finds a sentence that stands far back in a text, by the length of the text and the depth of
// the sentence ("needle in a haystack"). Unlike eval/recall_measurement.h, this asks any model that
// understands language, and one sentence at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "eval/recall_score.h"
#include "infer/engine.h"
#include "text/tokenizer.h"

namespace qwen25 {

struct NeedleOptions {
  std::string_view book = {};  // the text around the sentences
  uint32_t depths = 20;        // places of the sentence, evenly from the beginning of a text to its end
  uint32_t histories = 1;      // other parts of the book, and other numbers
  uint64_t seed = 1;           // of the numbers
};

// A text with a number in it, which ends with the words that stood before the number.
struct NeedlePrompt {
  std::string text, number;
};
// Plants "The secret code of the old castle in Ystad is NUMBER." in `text`, after the last sentence that ends
// within the first `depth` (0 to 1) of it. `number` has five digits.
NeedlePrompt PlantNeedle(std::string_view text, double depth, std::string_view number);
// Whether a model that goes on with `continuation` has found the number.
bool NamesNumber(std::string_view continuation, std::string_view number);

// Reads texts of about `length` tokens, the answer included, each once for every depth, and goes on greedily.
// `progress` gets the tokens that were read so far, of length * depths * histories; returning false stops
// (kCancelled). kInvalidArgument if the book is too short for the length, the length for a sentence, or the
// context for the length. A score's seconds_per_question is that of one token of an answer.
Result<RecallScore> MeasureNeedles(InferenceEngine& engine, const Tokenizer& tokenizer,
                                   const NeedleOptions& options, uint64_t length,
                                   const std::function<bool(uint64_t num_tokens)>& progress = nullptr);

}  // namespace qwen25
