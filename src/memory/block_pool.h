// KV blocks in RAM: the working tier of memory (DESIGN §6).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/status.h"
#include "memory/spill_file.h"
#include "ops/block_attention.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {

// Hands out blocks that each hold 64 tokens of one sequence for every layer. Memory is taken from
// the system in slabs as blocks are first used, and kept for reuse. Not thread-safe.
class BlockPool {
 public:
  using BlockId = uint32_t;

  // At most `max_blocks` blocks. With a `spill_directory` they lie in a file there (spill_file.h), which is
  // made when the first is taken; otherwise in RAM.
  BlockPool(const AttentionShape& shape, size_t num_layers, size_t max_blocks,
            std::filesystem::path spill_directory = {});

  // A zeroed block; kResourceExhausted, with the sizes, when all are in use, or an error of the spill file.
  Result<BlockId> Take();
  void Give(BlockId id);

  // One layer of a block: AttentionShape::BytesPerBlock() bytes.
  std::byte* Data(BlockId id, size_t layer) const { return blocks_[id] + layer * bytes_per_layer_; }

  // Gives the RAM of a pool that lies in a file back to the system; what is in the blocks stays.
  void ReleaseRam() {
    if (spill_) spill_->Release();
    zeroed_bytes_ = 0;
  }

  size_t num_used() const { return blocks_.size() - free_.size(); }
  size_t max_blocks() const { return max_blocks_; }
  size_t bytes_per_block() const { return num_layers_ * bytes_per_layer_; }

 private:
  Status AddSlab();

  size_t num_layers_;
  size_t bytes_per_layer_;
  size_t max_blocks_;
  // Several blocks each, so that they lie in huge pages: a long context is more small pages than the TLB
  // holds, and the hardware prefetches none of the next one.
  std::vector<AlignedBuffer<std::byte>> slabs_;
  std::filesystem::path spill_directory_;
  std::optional<SpillFile> spill_;
  std::vector<std::byte*> blocks_;
  std::vector<BlockId> free_;
  size_t num_ever_taken_ = 0;  // blocks [0, num_ever_taken_)
  size_t zeroed_bytes_ = 0;    // since RAM was given back, in a file
};

}  // namespace qwen25
