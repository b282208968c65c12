// Blocks of a pool in an order of their own.
#pragma once

#include <span>
#include <vector>

#include "base/status.h"
#include "memory/block_pool.h"

namespace qwen25 {

// The blocks that one session holds of a pool, and where they lie in each layer. Gives them back at its end.
class BlockList {
 public:
  // Makes room for `max_blocks` places, so that growing up to there allocates nothing here. `pool` may be
  // null: the list then stays empty.
  BlockList(BlockPool* pool, size_t num_layers, size_t max_blocks);
  ~BlockList() { Shrink(0); }
  BlockList(const BlockList&) = delete;
  BlockList& operator=(const BlockList&) = delete;

  // Takes blocks until there are `count`. On an error, those that were taken stay.
  Status Grow(size_t count);
  // Gives back all but the first `count`.
  void Shrink(size_t count);

  size_t size() const { return ids_.size(); }
  // [size()] addresses in a layer.
  std::span<std::byte* const> Layer(size_t layer) const { return layers_[layer]; }

 private:
  BlockPool* pool_;
  std::vector<BlockPool::BlockId> ids_;
  std::vector<std::vector<std::byte*>> layers_;
};

}  // namespace qwen25
