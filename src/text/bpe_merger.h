// The merge loop of BPE training: from counted pieces to merges in rank order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "text/piece_counter.h"

namespace qwen25 {

// A vocabulary that grew from single bytes.
struct LearnedMerges {
  std::vector<std::string> tokens;  // bytes of each id: the alphabet, then the results of merges
  std::vector<std::pair<int32_t, int32_t>> merges;  // ids, in the order in which they were learned
  uint64_t last_count = 0;                          // occurrences of the last pair when it was merged
};

// Starts from `alphabet`: all 256 single bytes, in the order of their ids. Each step merges the most frequent
// pair of neighbours within pieces, everywhere, from left to right; of equally frequent pairs, the one whose
// (left bytes, right bytes) is lexicographically greatest. Stops at `num_tokens` tokens, or when no pair
// occurs `min_frequency` times (at least 1). No token gets longer than kMaxTokenBytes. A merge whose bytes
// are a token already gives that token.
//
// Time: a hash lookup per merged occurrence in distinct pieces. Memory: about 20 bytes per byte of distinct
// pieces. kResourceExhausted if these are more than 4 GiB together.
Result<LearnedMerges> LearnMerges(const PieceCounter& pieces, std::vector<std::string> alphabet,
                                  size_t num_tokens, uint64_t min_frequency);

}  // namespace qwen25
