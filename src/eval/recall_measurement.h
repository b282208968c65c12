// Whether a model finds facts far back in a history, by the length of the history and the depth of the fact,
// and what reading such a history costs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>

#include "base/status.h"
#include "eval/recall_score.h"
#include "infer/engine.h"

namespace qwen25 {

struct RecallMeasurementOptions {
  uint32_t depths = 20;    // places of facts in a history, evenly from its beginning to its end
  uint32_t histories = 5;  // of each length
  uint64_t seed = 1;
  // Dialogues that a history is told in; one more dialogue recalls them and is asked. 0: one does both.
  uint32_t dialogues = 0;
  uint32_t notes = 0;            // more facts, each told as a passage of its own beside the history
  std::string_view filler = {};  // whose bytes stand between the facts (RecallTask)
  // An empty folder for what dialogues and notes store. It is emptied afterwards.
  std::filesystem::path folder = {};
};

// Reads histories of `length` tokens (at least 16), and asks for their facts, of which there may be as many
// as RecallVocabulary has keys. The engine's model must have the vocabulary of RecallTask; dialogues and
// notes need its recall window. `progress` gets the tokens that were read so far, of length * histories;
// returning false stops (kCancelled). kInvalidArgument if a history is too short for its facts.
Result<RecallScore> MeasureRecall(InferenceEngine& engine, const RecallMeasurementOptions& options,
                                  uint64_t length, const std::function<bool(uint64_t num_tokens)>& progress);

}  // namespace qwen25
