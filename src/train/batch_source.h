// Sources of training and validation batches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "ops/token_batch.h"

namespace qwen25 {

// Rows of tokens and the token that each is to predict. T rows in S sequences.
struct PackedBatch {
  std::vector<int32_t> tokens;           // [T]
  std::vector<int32_t> positions;        // [T]
  std::vector<int32_t> sequence_starts;  // [S + 1]
  std::vector<int32_t> targets;          // [T] the next token of the same document; -1: none

  TokenBatch view() const { return {tokens, positions, sequence_starts}; }
};

// An endless source of training batches, or one pass over validation data. Deterministic: the batches depend
// only on data, options and position.
class BatchSource {
 public:
  virtual ~BatchSource() = default;

  // Fills `batch` with the next num_tokens tokens; at the end of a pass with fewer, after it with none.
  // Reuses the batch's memory.
  virtual Status Next(size_t num_tokens, PackedBatch& batch) = 0;
  // Back to the first token.
  virtual void Rewind() = 0;
  // The position, and what identifies the data, for a checkpoint.
  virtual Json State() const = 0;
  // Restores a position. If `state` is of other data, the error says what differs.
  virtual Status Restore(const Json& state) = 0;
};

}  // namespace qwen25
