// The one kind of batch there is: token rows of several sequences laid end to end, never padded
// (docs/design.md, "Every batch is ragged").
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace qwen25 {

// T tokens of S sequences. In training a sequence is a packed document; in serving it is one stream's next
// token or the next chunk of its prompt.
struct TokenBatch {
  std::span<const int32_t> tokens;           // [T] ids below the vocabulary size
  std::span<const int32_t> positions;        // [T] place in the sequence, ascending by one within a sequence
  std::span<const int32_t> sequence_starts;  // [S + 1] first row of each sequence; the last entry is T

  size_t num_tokens() const { return tokens.size(); }
  size_t num_sequences() const { return sequence_starts.size() - 1; }
};

}  // namespace qwen25
