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
  // Adds a block that the pool gave to the caller, who holds it no longer.
  void Add(BlockPool::BlockId id);
  // Makes the last block one that may be written to: a copy where others hold it, too. Errors as
  // BlockPool::Take.
  Status MakeLastWritable();

  // Puts addresses before all blocks of a layer; the list must hold no blocks yet, and they do not count.
  void Prepend(size_t layer, std::span<std::byte* const> addresses);

  size_t size() const { return ids_.size(); }
  BlockPool::BlockId operator[](size_t i) const { return ids_[i]; }
  // Addresses in a layer: those put before, then [size()] of the blocks.
  std::span<std::byte* const> Layer(size_t layer) const { return layers_[layer]; }

 private:
  BlockPool* pool_;
  std::vector<BlockPool::BlockId> ids_;
  std::vector<std::vector<std::byte*>> layers_;
};

}  // namespace qwen25
