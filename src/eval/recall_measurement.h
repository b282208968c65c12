// Whether a model finds facts far back in a history, by the length of the history and the depth of the fact,
// and what reading such a history costs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "infer/engine.h"
#include "report/recall_map.h"

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

// A point of a history that is being read.
struct RecallGrowth {
  uint64_t tokens;
  double seconds;           // since its beginning
  uint64_t resident_bytes;  // of the whole process, the most since the last point
};

// What a model recalled of histories of one length.
struct RecallScore {
  uint64_t length;
  uint32_t histories;
  std::vector<uint32_t> right;  // [depths], of `histories`
  uint32_t notes_right = 0;     // of histories * notes
  double seconds_per_token = 0;
  double seconds_per_question = 0;   // two tokens after the whole history, median
  double read_share = 1;             // of the blocks that attention could have read
  uint64_t resident_bytes = 0;       // of the whole process, the most while reading
  std::vector<RecallGrowth> growth;  // of the first history

  // The share of the facts in the history that were found.
  double Accuracy() const;
};

// Reads histories of `length` tokens (at least 16), and asks for their facts, of which there may be as many
// as RecallVocabulary has keys. The engine's model must have the vocabulary of RecallTask; dialogues and
// notes need its recall window. `progress` gets the tokens that were read so far, of length * histories;
// returning false stops (kCancelled). kInvalidArgument if a history is too short for its facts.
Result<RecallScore> MeasureRecall(InferenceEngine& engine, const RecallMeasurementOptions& options,
                                  uint64_t length, const std::function<bool(uint64_t num_tokens)>& progress);

// A row of cells for each length.
RecallMap ToRecallMap(std::span<const RecallScore> scores, const RoutingPolicy& policy);

// A chart, as SVG, of what a token cost and how much memory the process took over the longest history.
std::string RenderRecallGrowth(std::span<const RecallScore> scores);

}  // namespace qwen25
