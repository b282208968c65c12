// Attention over lists of KV blocks, with block-relative rotary positions.
//
// Letters: T = tokens in the batch, H = query heads, K = kv heads (H is a multiple of K), D = head_dim
// (even), B = kBlockTokens = 64.
//
// A KV block holds 64 consecutive tokens of one sequence and one layer. Its keys are rotated by their offset
// inside the block (0..63); a query at position p attends to block b (first position 64 b) with its vector
// rotated by p - 64 b. The product depends only on the distance, so this is exact, and a block does not know
// where it stands. Formats and their layouts are in kernels/kv_block.h. Unused slots of the last block are
// zero by convention; attention never lets what is in them reach a result.
//
// The arithmetic is in kernels/attention.h. batch_attention.h splits the work of a batch by sequence, kv head
// and query tile.
#pragma once

#include <cstddef>
#include <span>

#include "ops/attention/attention_mask.h"
#include "ops/attention/rotary_table.h"
#include "ops/attention/sequence_kv.h"
#include "ops/execution.h"
#include "ops/routing/layer_routing.h"
#include "ops/token_batch.h"

namespace qwen25 {

// One layer's attention of a batch over the blocks of its sequences. What it refers to is used during the
// calls only; `qkv` and `head_weights` are handles that share their matrices with the caller.
struct BlockAttentionCall {
  AttentionShape shape;
  const RotaryTable& rotary;
  Tensor qkv;  // [T, (H + 2 K) * D]: query heads, then key heads, then value heads, all unrotated
  TokenBatch batch;
  // [S]: block i of a sequence holds positions [64 i, 64 i + 64). All blocks up to the batch's last position
  // must be there. Whoever made a block has zeroed its slots after the last written token.
  std::span<const SequenceKv> kv;
  AttentionMask mask = AttentionMask::kCausal;
  // [S], or one for all sequences. Empty: every row reads all blocks that it sees. Otherwise causal rows of
  // sequences with summaries read what their policy chooses; a policy that leaves no choice gives the bits of
  // none.
  std::span<const LayerRouting> routing = {};
  // [T, K] or empty: the query heads of a kv head do not run for tokens with weight 0, and their outputs are
  // 0 (ops/routing/head_gate.h). Other weights do not matter here.
  Tensor head_weights = {};
};

// Writes the keys and values of a batch into the blocks of its sequences, keys rotated by their offset. Mask,
// routing and head weights do not matter.
void AppendKv(Execution& execution, const BlockAttentionCall& call);

// Fills the summaries of one sequence's blocks [first, end), which are full and came from elsewhere, and
// those of the panels that they complete: the same as if AppendKv had filled them. The blocks before `first`
// must have theirs.
void SummarizeBlocks(Execution& execution, const AttentionShape& shape, const SequenceKv& kv, size_t first,
                     size_t end);

// Inference: out [T, H * D] = attention of each row's queries (rotated here) over its sequence's blocks.
// AppendKv must have run for this batch. The result of a row is bit-identical for any other rows in the batch
// and any chunking of the sequence, as long as the tokens that see later ones (all of a bidirectional
// sequence, the prefix of a prefix one) come in one batch. With float32 blocks it is the result of
// SelfAttention, too, bit for bit. Records nothing; allocates only scratch. Positions must be below 64 *
// rotary.max_blocks().
Tensor AttendBlocks(Execution& execution, const BlockAttentionCall& call);

}  // namespace qwen25
