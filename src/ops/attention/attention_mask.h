// Which keys of its own sequence a row sees, routing aside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ops/token_batch.h"

namespace qwen25 {

enum class AttentionMask {
  kCausal,         // a token sees itself and what comes before
  kBidirectional,  // a token sees its whole sequence (the encoder)
  kPrefix,         // the first `prefix_length` tokens of a sequence see each other, the rest is causal
};

// Keys [0, result) of a sequence of `length` tokens that each of its rows sees, whatever its position; a
// causal row sees those up to its own besides.
inline size_t AlwaysVisible(AttentionMask mask, size_t length, size_t prefix_length) {
  switch (mask) {
    case AttentionMask::kCausal:
      return 0;
    case AttentionMask::kBidirectional:
      return length;
    case AttentionMask::kPrefix:
      return prefix_length < length ? prefix_length : length;
  }
  return 0;
}

// The same for a sequence of a batch of whole sequences; `prefix_lengths` [S] or empty.
inline size_t AlwaysVisible(AttentionMask mask, const TokenBatch& batch, size_t sequence,
                            std::span<const int32_t> prefix_lengths) {
  const size_t length =
      static_cast<size_t>(batch.sequence_starts[sequence + 1] - batch.sequence_starts[sequence]);
  return AlwaysVisible(mask, length,
                       prefix_lengths.empty() ? 0 : static_cast<size_t>(prefix_lengths[sequence]));
}

}  // namespace qwen25
