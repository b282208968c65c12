// Where a trainer's batches come from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "ops/token_batch.h"

namespace qwen25 {

// Token rows with what each is to predict.
struct PackedBatch {
  std::vector<int32_t> tokens;           // [T]
  std::vector<int32_t> positions;        // [T]
  std::vector<int32_t> sequence_starts;  // [S + 1]
  std::vector<int32_t> targets;          // [T] the next token of the same document; -1: none

  TokenBatch view() const { return {tokens, positions, sequence_starts}; }
};

// An endless source for training, or one pass over validation data. Deterministic: what it gives depends only
// on its data, its options and its place.
class BatchSource {
 public:
  virtual ~BatchSource() = default;

  // Replaces `batch` by the next num_tokens tokens; fewer at the end of a pass, none after it. Reuses the
  // batch's memory.
  virtual Status Next(size_t num_tokens, PackedBatch& batch) = 0;
  // Back to the first token.
  virtual void Rewind() = 0;
  // The place, as a checkpoint keeps it.
  virtual Json State() const = 0;
  // Goes to a place. An error, which says what differs, if it is not of this data.
  virtual Status Restore(const Json& state) = 0;
};

}  // namespace qwen25
