// Attention over lists of KV blocks, with block-relative rotary positions (DESIGN §2.3, §2.4).
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

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/attention.h"
#include "kernels/block_summary.h"
#include "ops/attention/kv_format.h"
#include "ops/execution.h"
#include "ops/routing/block_router.h"
#include "ops/token_batch.h"

namespace qwen25 {

enum class AttentionMask {
  kCausal,         // a token sees itself and what comes before
  kBidirectional,  // a token sees its whole sequence (the encoder)
  kPrefix,         // the first `prefix_length` tokens of a sequence see each other, the rest is causal
};

// Shapes of one attention layer and of its KV blocks.
struct AttentionShape {
  size_t num_heads = 0;
  size_t num_kv_heads = 0;
  size_t head_dim = 0;
  float scale = 0;  // of the scores: 1/sqrt(head_dim), times the square of YaRN's attention factor
  KvFormat kv_format = KvFormat::kFloat32;  // of listed blocks; SelfAttention's own are float32

  size_t HeadsPerGroup() const { return num_heads / num_kv_heads; }
  // kv head by kv head a block of kv_format (kernels/kv_block.h).
  size_t BytesPerBlock() const { return num_kv_heads * KvHeadBytes(kv_format, head_dim); }
  // Summaries of 64 blocks: kv head by kv head a panel (kernels/block_summary.h), whatever kv_format is.
  size_t BytesPerPanel() const { return num_kv_heads * NumbersPerPanel(head_dim) * sizeof(uint16_t); }
  // Columns of qkv where a kv head's group of query heads, its key and its value begin. The first is also
  // that of the group's outputs.
  size_t QueryColumn(size_t kv_head) const { return kv_head * HeadsPerGroup() * head_dim; }
  size_t KeyColumn(size_t kv_head) const { return (num_heads + kv_head) * head_dim; }
  size_t ValueColumn(size_t kv_head) const { return (num_heads + num_kv_heads + kv_head) * head_dim; }
};

// Cosines and sines of the rotary angles, in the half-split convention of Hugging Face: pair i is
// (x[i], x[i + D/2]). Angles are computed in double. Source: arXiv:2104.09864.
class RotaryTable {
 public:
  // `inverse_frequencies` [D/2]: radians per position, any scaling (YaRN, linear) already applied. Distances
  // up to `max_positions` (rounded up to whole blocks) are prepared, in either direction. With `clamps` what
  // lies farther away may be attended, too, and is seen at the greatest distance, block by block (as InfLLM
  // sees what left its window, arXiv:2402.04617): a model then meets no distance that it was not trained for.
  RotaryTable(std::vector<double> inverse_frequencies, size_t max_positions, bool clamps = false);

  size_t head_dim() const { return 2 * inverse_frequencies_.size(); }
  size_t max_blocks() const { return num_blocks_; }
  bool clamps() const { return clamps_; }
  const std::vector<double>& inverse_frequencies() const { return inverse_frequencies_; }
  // The tables, for the kernels. Valid while this object is.
  RotaryAngles angles() const {
    return {.head_dim = head_dim(),
            .offset_cos = offset_cos_.data(),
            .offset_sin = offset_sin_.data(),
            .block_cos = block_cos_.data(),
            .block_sin = block_sin_.data(),
            .descending_cos = descending_cos_.data(),
            .descending_sin = descending_sin_.data(),
            .descending_stride = descending_cos_.size() / inverse_frequencies_.size(),
            .max_distance = num_blocks_};
  }
  // [D/2] for an offset inside a block, 0..63.
  const float* OffsetCos(size_t offset) const {
    return offset_cos_.data() + offset * inverse_frequencies_.size();
  }
  const float* OffsetSin(size_t offset) const {
    return offset_sin_.data() + offset * inverse_frequencies_.size();
  }
  // [D/2] for a distance of `blocks` whole blocks, 0..max_blocks(); for a negative distance negate the sine.
  const float* BlockCos(size_t blocks) const {
    return block_cos_.data() + blocks * inverse_frequencies_.size();
  }
  const float* BlockSin(size_t blocks) const {
    return block_sin_.data() + blocks * inverse_frequencies_.size();
  }

 private:
  std::vector<double> inverse_frequencies_;
  size_t num_blocks_;
  bool clamps_;
  std::vector<float> offset_cos_, offset_sin_;          // [64, D/2]
  std::vector<float> block_cos_, block_sin_;            // [num_blocks_ + 1, D/2]
  std::vector<float> descending_cos_, descending_sin_;  // RotaryAngles
};

// inverse_frequencies of plain rotary embedding: base^(-2 i / D).
std::vector<double> InverseFrequencies(size_t head_dim, double base);

// Blocks of other sequences, from wherever they are kept.
class BlockSource {
 public:
  virtual ~BlockSource() = default;
  // One layer of a block of a list, BytesPerBlock() bytes that stay as they are during the call that asks;
  // null where it cannot be had: it is then left out. Called from several threads.
  virtual const std::byte* Block(size_t layer, size_t block) const = 0;
};

// A file in which blocks lie that are mapped into memory.
class BlockFile {
 public:
  virtual ~BlockFile() = default;
  // Copies `num_bytes` at an address of the mapping, read from the file, so that its pages do not come into
  // this process's RAM. False where the file cannot be read: the mapping may still. Called from several
  // threads.
  virtual bool Read(const std::byte* from, size_t num_bytes, std::byte* to) const = 0;
};

// The KV blocks that the queries of one sequence may read, in ascending order of position. Block i of the
// list holds positions [64 i, 64 i + 64); only the last one may be partly filled.
struct SequenceKv {
  std::span<std::byte* const> blocks;  // each AttentionShape::BytesPerBlock() bytes, 64-byte aligned
  size_t num_tokens = 0;               // tokens of the sequence held in the blocks, the batch's own included
  size_t prefix_length = 0;            // for AttentionMask::kPrefix
  // Summaries of these blocks, 64 of them in each panel of AttentionShape::BytesPerPanel() bytes. Filled by
  // AppendKv as blocks become full. Empty: no routing.
  std::span<std::byte* const> summaries = {};
  // Summaries of parts of panels, 64 of them in each, for rotary tables that clamp
  // (ops/routing/tile_choice.h). Filled likewise. Empty: every block is scored.
  std::span<std::byte* const> super_summaries = {};
  // The first blocks of the list come from `source` and are of other sequences: they are read where a router
  // chooses them, at the distance that the list gives them, which rotary tables that clamp keep in bounds.
  // What stands for them in `blocks` does not matter.
  size_t num_recalled = 0;
  const BlockSource* source = nullptr;
  // [num_recalled] tokens of these blocks that are attended to, the first 1 to kBlockTokens; empty: all.
  std::span<const uint8_t> recalled_tokens = {};
  size_t layer = 0;  // as `source` counts
  // Where `blocks` lie, if in a file: those at the greatest distance of rotary tables that clamp are read
  // from it. They may be many times the memory that there is.
  const BlockFile* file = nullptr;
};

// Writes the keys and values of a batch into the blocks of its sequences, keys rotated by their offset.
//   qkv [T, (H + 2 K) * D]: query heads, then key heads, then value heads, all unrotated
//   kv  [S]: blocks i of a sequence holds positions [64 i, 64 i + 64); all blocks up to the batch's last
//   position
//            must be there, and slots behind the last written token are zeroed by whoever made the block.
void AppendKv(Execution& execution, const AttentionShape& shape, const RotaryTable& rotary,
              MatrixView<const float> qkv, const TokenBatch& batch, std::span<const SequenceKv> kv);

// Fills the summaries of one sequence's blocks [first, end), which are full and came from elsewhere, and
// those of the panels that they complete: the same as where AppendKv had filled them. The blocks before
// `first` have theirs.
void SummarizeBlocks(Execution& execution, const AttentionShape& shape, const SequenceKv& kv, size_t first,
                     size_t end);

// Inference: out [T, H * D] = attention of each row's queries (rotated here) over its sequence's blocks.
// AppendKv must have run for this batch. The result of a row is bit-identical for any other rows in the batch
// and any chunking of the sequence, as long as the tokens that see later ones (all of a bidirectional
// sequence, the prefix of a prefix one) come in one batch. With float32 blocks it is the result of
// SelfAttention, too, bit for bit. Records nothing; allocates only scratch. Positions must be below 64 *
// rotary.max_blocks().
//   routing  null: every row reads all blocks that it sees. Otherwise causal rows of sequences with summaries
//            read what its policy chooses; a policy that leaves no choice gives the bits of none.
//   head_weights  [T, K] or empty: the query heads of a kv head do not run for tokens with weight 0, and
//   their
//            outputs are 0 (ops/routing/head_gate.h). Other weights do not matter here.
Tensor AttendBlocks(Execution& execution, const AttentionShape& shape, const RotaryTable& rotary,
                    AttentionMask mask, const Tensor& qkv, const TokenBatch& batch,
                    std::span<const SequenceKv> kv, const LayerRouting* routing = nullptr,
                    const Tensor& head_weights = {});

// Training and scoring without a cache: the batch's sequences are whole (positions start at 0) and attend to
// themselves only. Fills temporary blocks from qkv, attends, and records backward where there is a tape: it
// adds to qkv's gradient from the gradient of the output. Never holds T x T numbers: it saves the output and
// one logarithm per row and head, and backward computes scores and blocks again. `prefix_lengths` [S], or
// empty. `routing` and `head_weights` as in AttendBlocks, with the same choices for float32 blocks; backward
// passes through the blocks that were read, and not to head_weights. The arrays behind `batch` and
// `prefix_lengths`, and `rotary`, must outlive the tape.
Tensor SelfAttention(Execution& execution, const AttentionShape& shape, const RotaryTable& rotary,
                     AttentionMask mask, const Tensor& qkv, const TokenBatch& batch,
                     std::span<const int32_t> prefix_lengths = {}, const LayerRouting* routing = nullptr,
                     const Tensor& head_weights = {});

}  // namespace qwen25
