// The blocks of keys and values that the queries of one sequence may read, and their shapes: all that the
// memory needs to know of attention.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/attention.h"
#include "kernels/block_summary.h"
#include "ops/attention/kv_format.h"

namespace qwen25 {

// Shapes of one attention layer and of its KV blocks.
struct AttentionShape {
  size_t num_heads = 0;
  size_t num_kv_heads = 0;
  size_t head_dim = 0;
  float scale = 0;  // of the scores: 1/sqrt(head_dim), times the square of YaRN's attention factor
  KvFormat kv_format = KvFormat::kFloat32;  // of listed blocks; SelfAttention's own are float32
  // Tokens at this distance or farther do not see each other, whatever the mask; kNoWindow: all do.
  size_t window = kNoWindow;

  size_t HeadsPerGroup() const { return num_heads / num_kv_heads; }
  // kv head by kv head a block of kv_format (kernels/kv_block.h).
  size_t BytesPerBlock() const { return num_kv_heads * KvHeadBytes(kv_format, head_dim); }
  // Summaries of 64 blocks: kv head by kv head a panel (kernels/block_summary.h), whatever kv_format is.
  size_t BytesPerPanel() const { return num_kv_heads * NumbersPerPanel(head_dim) * sizeof(uint16_t); }
  // Columns of qkv at which a kv head's group of query heads, its key and its value begin. The first is also
  // the column of the group's outputs.
  size_t QueryColumn(size_t kv_head) const { return kv_head * HeadsPerGroup() * head_dim; }
  size_t KeyColumn(size_t kv_head) const { return (num_heads + kv_head) * head_dim; }
  size_t ValueColumn(size_t kv_head) const { return (num_heads + num_kv_heads + kv_head) * head_dim; }
};

// Blocks of other sequences, from wherever they are kept.
class BlockSource {
 public:
  virtual ~BlockSource() = default;
  // One layer of a block of a list: BytesPerBlock() bytes that do not change during the call of attention.
  // Null if the block cannot be read: it is then left out. Called from several threads.
  virtual const std::byte* Block(size_t layer, size_t block) const = 0;
};

// A file of blocks that are mapped into memory.
class BlockFile {
 public:
  virtual ~BlockFile() = default;
  // Copies `num_bytes` at an address of the mapping, read from the file, so that its pages do not come into
  // this process's RAM. False if the file cannot be read: the mapping may still. Called from several
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
  // The first blocks of the list come from `source` and are of other sequences: they are read if a router
  // chooses them, at the distance that follows from the list, which rotary tables that clamp keep in bounds.
  // Their entries in `blocks` do not matter.
  size_t num_recalled = 0;
  const BlockSource* source = nullptr;
  // [num_recalled] how many first tokens of these blocks are attended to, 1 to kBlockTokens; empty: all.
  std::span<const uint8_t> recalled_tokens = {};
  size_t layer = 0;  // as `source` counts
  // The file of `blocks`, if they lie in one: blocks at the greatest distance of rotary tables that clamp are
  // read from it. They may be many times larger than memory.
  const BlockFile* file = nullptr;
};

}  // namespace qwen25
