// qwen25 bench recall: whether a model finds facts far back in a history, by length and depth.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "cli/flags/model_flags.h"

namespace qwen25 {

struct RecallBenchFlags {
  ModelFlags model;
  std::vector<uint64_t> lengths = {1024, 2048, 4096};
  uint32_t depths = 20;    // places of facts in a history, evenly from its beginning to its end
  uint32_t histories = 5;  // of each length
  uint64_t seed = 1;
  uint32_t dialogues =
      0;               // that a history is told in; asked for in one more, which recalls them. 0: in the same
  uint32_t notes = 0;  // more facts, each told as a passage of its own beside the history
  std::string output;  // heat map, SVG; empty: none
  std::string growth_output;       // cost of a token and memory over the longest history, SVG; empty: none
  std::string write_data;          // instead: training documents into this shard
  std::vector<std::string> texts;  // files whose bytes are the filler; empty: counts
  uint64_t documents = 1000, document_tokens = 1024, fact_every = 48;
  bool json = false;
};

Status RunRecallBench(const RecallBenchFlags& flags);

}  // namespace qwen25
