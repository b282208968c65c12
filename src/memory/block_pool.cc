#include "memory/block_pool.h"

#include <cstring>

namespace qwen25 {

BlockPool::BlockPool(const AttentionShape& shape, size_t num_layers, size_t max_blocks)
    : num_layers_(num_layers), bytes_per_layer_(shape.BytesPerBlock()), max_blocks_(max_blocks) {}

Result<BlockPool::BlockId> BlockPool::Take() {
  if (free_.empty()) {
    if (blocks_.size() == max_blocks_) {
      return ResourceExhausted(
          "all {} KV blocks ({} tokens, {} MiB) are in use; end a conversation or raise the "
          "context limit",
          max_blocks_, max_blocks_ * kBlockTokens, max_blocks_ * bytes_per_block() >> 20);
    }
    blocks_.emplace_back(num_layers_ * bytes_per_layer_);
    free_.reserve(blocks_.size());
    free_.push_back(static_cast<BlockId>(blocks_.size() - 1));
  }
  const BlockId id = free_.back();
  free_.pop_back();
  std::memset(blocks_[id].data(), 0, bytes_per_block());
  return id;
}

void BlockPool::Give(BlockId id) {
  QWEN25_CHECK(id < blocks_.size() && num_used() > 0);
  free_.push_back(id);
}

}  // namespace qwen25
