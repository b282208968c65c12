// Attention of whole sequences to themselves, with its backward pass: training, and scoring without a cache.
// Letters as in block_attention.h.
#pragma once

#include <cstdint>
#include <span>

#include "ops/attention/attention_mask.h"
#include "ops/attention/rotary_table.h"
#include "ops/attention/sequence_kv.h"
#include "ops/execution.h"
#include "ops/routing/layer_routing.h"
#include "ops/token_batch.h"

namespace qwen25 {

// One layer's attention of a batch of whole sequences (positions start at 0) to themselves. The tape keeps
// `rotary` and the arrays that `batch` and `prefix_lengths` refer to: they must outlive it. The rest is
// copied, or shared as a handle.
struct SelfAttentionCall {
  AttentionShape shape;  // its kv_format does not matter: float32 blocks are used
  const RotaryTable& rotary;
  Tensor qkv;  // as in BlockAttentionCall, like `routing` and `head_weights`
  TokenBatch batch;
  AttentionMask mask = AttentionMask::kCausal;
  std::span<const int32_t> prefix_lengths = {};  // [S] for AttentionMask::kPrefix, or empty
  std::span<const LayerRouting> routing = {};    // used during the forward call only
  Tensor head_weights = {};
};

// Training and scoring without a cache. Fills temporary blocks from qkv, attends, and records backward if
// there is a tape: it adds to qkv's gradient from the gradient of the output. Never holds T x T numbers: it
// saves the output and one logarithm per row and head, and backward computes scores and blocks again.
// Routing chooses the same blocks as AttendBlocks does with float32 blocks; backward passes through the
// blocks that were read, and not to head_weights.
Tensor SelfAttention(Execution& execution, const SelfAttentionCall& call);

// What SelfAttention leaves on the tape.
struct SelfAttentionRecord {
  SelfAttentionCall call;
  Tensor out;          // [T, H D]
  Tensor log_sums;     // [T, H] logarithm (base 2) of the sum of each row's exponentials
  Tensor read_memory;  // of `read`
  ReadBlocks read;     // without memory if every row read all that it sees

  void Backward(Execution& execution);
};

}  // namespace qwen25
