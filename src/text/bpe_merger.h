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
  std::vector<std::string> tokens;  // bytes of each id: what LearnMerges was given, then the merged
  std::vector<std::pair<int32_t, int32_t>> merges;  // ids, in the order in which they were learned
  uint64_t last_count = 0;                          // occurrences of the last pair when it was merged
};

// Starts from `alphabet` (all 256 single bytes, in the order of their ids) and merges, again and again, the
// most frequent pair of neighbours within the pieces, everywhere, from left to right; among equally frequent
// pairs the one whose (left bytes, right bytes) are lexicographically greatest. Stops at `num_tokens` tokens,
// or earlier when no pair occurs at least `min_frequency` times. No token gets longer than kMaxTokenBytes. A
// merge whose bytes are a token already gives that token.
//
// Time: proportional to the number of merged occurrences in different pieces, times a hash lookup; memory:
// some 20 bytes per byte of different pieces. kResourceExhausted when these are more than 4 GiB together.
Result<LearnedMerges> LearnMerges(const PieceCounter& pieces, std::vector<std::string> alphabet,
                                  size_t num_tokens, uint64_t min_frequency);

}  // namespace qwen25
