// KV blocks in RAM: the working tier of memory (DESIGN §6).
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "ops/block_attention.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {

// Hands out blocks that each hold 64 tokens of one sequence for every layer. Memory is taken from
// the system in slabs as blocks are first used, and kept for reuse. Not thread-safe.
class BlockPool {
 public:
  using BlockId = uint32_t;

  // At most `max_blocks` blocks.
  BlockPool(const AttentionShape& shape, size_t num_layers, size_t max_blocks);

  // A zeroed block; kResourceExhausted, with the sizes, when all are in use.
  Result<BlockId> Take();
  void Give(BlockId id);

  // One layer of a block: AttentionShape::BytesPerBlock() bytes.
  std::byte* Data(BlockId id, size_t layer) const { return blocks_[id] + layer * bytes_per_layer_; }

  size_t num_used() const { return blocks_.size() - free_.size(); }
  size_t max_blocks() const { return max_blocks_; }
  size_t bytes_per_block() const { return num_layers_ * bytes_per_layer_; }

 private:
  void AddSlab();

  size_t num_layers_;
  size_t bytes_per_layer_;
  size_t max_blocks_;
  // Several blocks each, so that they lie in huge pages: a long context is more small pages than the TLB
  // holds, and the hardware prefetches none of the next one.
  std::vector<AlignedBuffer<std::byte>> slabs_;
  std::vector<std::byte*> blocks_;
  std::vector<BlockId> free_;
};

}  // namespace qwen25
