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
// The arithmetic is in kernels/attention.h. Splitting by (sequence, kv head, query tile), and backward by
// (sequence, kv head) or, where these are too few for the threads, by blocks and tiles, is in
// block_attention.cc and self_attention_backward.cc.
#pragma once

#include <cstdint>
#include <span>

#include "ops/attention/rotary_table.h"
#include "ops/attention/sequence_kv.h"
#include "ops/execution.h"
#include "ops/routing/layer_routing.h"
#include "ops/token_batch.h"

namespace qwen25 {

enum class AttentionMask {
  kCausal,         // a token sees itself and what comes before
  kBidirectional,  // a token sees its whole sequence (the encoder)
  kPrefix,         // the first `prefix_length` tokens of a sequence see each other, the rest is causal
};

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
// have theirs.
void SummarizeBlocks(Execution& execution, const AttentionShape& shape, const SequenceKv& kv, size_t first,
                     size_t end);

// Inference: out [T, H * D] = attention of each row's queries (rotated here) over its sequence's blocks.
// AppendKv must have run for this batch. The result of a row is bit-identical for any other rows in the batch
// and any chunking of the sequence, as long as the tokens that see later ones (all of a bidirectional
// sequence, the prefix of a prefix one) come in one batch. With float32 blocks it is the result of
// SelfAttention, too, bit for bit. Records nothing; allocates only scratch. Positions must be below 64 *
// rotary.max_blocks().
Tensor AttendBlocks(Execution& execution, const BlockAttentionCall& call);

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

}  // namespace qwen25
