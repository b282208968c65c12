// The ordered blocks of one session.
#pragma once

#include <span>
#include <vector>

#include "base/status.h"
#include "memory/block_pool.h"

namespace qwen25 {

// The blocks of a pool that one session holds, and their addresses in each layer. The destructor gives them
// back.
class BlockList {
 public:
  // Reserves room for `max_blocks` blocks, so that growing to that size does not allocate. With a null `pool`
  // the list stays empty.
  BlockList(BlockPool* pool, size_t num_layers, size_t max_blocks);
  ~BlockList() { Shrink(0); }
  BlockList(const BlockList&) = delete;
  BlockList& operator=(const BlockList&) = delete;

  // Takes blocks until the list holds `count`. On an error (of BlockPool::Take), it keeps those already
  // taken.
  Status Grow(size_t count);
  // Gives back all blocks but the first `count`.
  void Shrink(size_t count);
  // Appends a block that the caller holds; the list takes over that holding.
  void Add(BlockPool::BlockId id);
  // Makes the last block writable: replaces it by a copy if others hold it, too. Errors: as BlockPool::Take.
  Status MakeLastWritable();

  // Puts addresses before the blocks of a layer. The list must still be empty; size() does not count them.
  void Prepend(size_t layer, std::span<std::byte* const> addresses);

  size_t size() const { return ids_.size(); }
  BlockPool::BlockId operator[](size_t i) const { return ids_[i]; }
  // Addresses in a layer: the prepended ones, then [size()] of the blocks.
  std::span<std::byte* const> Layer(size_t layer) const { return layers_[layer]; }

 private:
  BlockPool* pool_;
  std::vector<BlockPool::BlockId> ids_;
  std::vector<std::vector<std::byte*>> layers_;
};

}  // namespace qwen25
