// What a model recalled of long histories, and what reading them cost.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ops/routing/routing_policy.h"
#include "report/recall_map.h"

namespace qwen25 {

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

  uint32_t NumRight() const;  // of all depths and histories
  // The share of the facts in the history that were found.
  double Accuracy() const;
};

// Watches the process while a history is read.
class GrowthWatch {
 public:
  // `score` gets the RAM, and with `records` the growth, from now on; it must outlive this.
  GrowthWatch(RecallScore& score, bool records);

  // To be called now and then with the tokens read so far.
  void Note(uint64_t num_tokens);
  double seconds() const;  // since the beginning

 private:
  RecallScore& score_;
  const bool records_;
  const double start_;
};

// A row of cells for each length.
RecallMap ToRecallMap(std::string title, std::span<const RecallScore> scores, const RoutingPolicy& policy);

// A chart, as SVG, of what a token cost and how much memory the process took over the longest history.
std::string RenderRecallGrowth(std::span<const RecallScore> scores);

}  // namespace qwen25
