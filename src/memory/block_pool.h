// KV blocks in RAM: the working tier of memory (docs/memory.md, "Four kinds of memory").
#pragma once

#include <cstdint>
#include <filesystem>
#include <list>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "memory/spill_file.h"
#include "ops/attention/sequence_kv.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {

// Hands out blocks, each of which holds 64 tokens of one sequence in every layer. Memory is taken from the
// system in slabs when blocks are first used, and kept for reuse. One thread uses the pool; others may only
// Hold and Give blocks that this thread holds.
//
// Blocks are reference-counted: sequences that begin alike hold the same blocks. A full block can be
// published under its name (block_id.h), and Find then shares it. A published block without holders stays
// until its memory is needed; the one unused for longest is reused first.
class BlockPool {
 public:
  using BlockId = uint32_t;

  // At most `max_blocks` blocks of `bytes_per_layer` bytes, a multiple of 64, in each layer. Blocks lie in
  // RAM or, with a `spill_directory`, in a file there (spill_file.h), which the first Take creates.
  BlockPool(size_t bytes_per_layer, size_t num_layers, size_t max_blocks,
            std::filesystem::path spill_directory = {});

  // A zeroed block, held once. kResourceExhausted, with the sizes, if all blocks are held, or an error of the
  // spill file.
  Result<BlockId> Take();
  // Ends one holding.
  void Give(BlockId id);
  // Adds one holding to a block that somebody holds.
  void Hold(BlockId id);

  // Publishes a block that its holder will no longer write to. Does nothing if the name is already published.
  // `owner` identifies the blocks that are erased together.
  void Publish(BlockId id, const Hash128& name, std::span<const int32_t> tokens, const Hash128& owner = {});
  // Unpublishes all blocks of an owner, so that Find no longer finds them; those without holders become free.
  void Forget(const Hash128& owner);
  // The published block of that name with these tokens, with one more holding; nothing if there is none.
  std::optional<BlockId> Find(const Hash128& name, std::span<const int32_t> tokens);
  // A block with the same content that its holder may write to: `id` itself, unpublished, if nobody else
  // holds it; otherwise a copy, and one holding of `id` ends. Errors: as Take.
  Result<BlockId> MakeWritable(BlockId id);

  // One layer of a block: bytes_per_layer() bytes, 64-byte aligned.
  std::byte* Data(BlockId id, size_t layer) const { return blocks_[id].data + layer * bytes_per_layer_; }

  // kIo if the spill file could not be read back, because the disk fails or the file was cut short. Contents
  // of blocks are then invalid, and Take fails.
  Status status() const { return spill_ ? spill_->status() : Status(); }

  // The file that holds all blocks; null if they lie in RAM, and before the first Take.
  const BlockFile* file() const { return spill_ ? &*spill_ : nullptr; }
  // Gives the RAM of a pool in a file back to the system; the blocks keep their contents.
  void ReleaseRam() {
    if (spill_) spill_->Release();
    zeroed_bytes_ = 0;
  }

  // Blocks with holders, and published blocks without.
  size_t num_used() const;
  size_t num_unheld() const;
  size_t max_blocks() const { return max_blocks_; }
  size_t num_layers() const { return num_layers_; }
  size_t bytes_per_layer() const { return bytes_per_layer_; }
  size_t bytes_per_block() const { return num_layers_ * bytes_per_layer_; }

 private:
  struct Block {
    std::byte* data = nullptr;
    uint32_t num_holders = 0;
    bool published = false;
    Hash128 name = {};
    Hash128 owner = {};
    std::vector<int32_t> tokens;               // while published
    std::list<BlockId>::iterator unheld = {};  // in unheld_, while published and not held
  };

  // The caller holds the mutex.
  Result<BlockId> TakeLocked();
  void GiveLocked(BlockId id);
  Status AddSlab();
  void Unpublish(Block& block);

  mutable std::mutex mutex_;
  size_t num_layers_;
  size_t bytes_per_layer_;
  size_t max_blocks_;
  // Several blocks each, so that huge pages can hold them: a long context has more small pages than the TLB
  // has entries, and hardware prefetching stops at the end of a page.
  std::vector<AlignedBuffer<std::byte>> slabs_;
  std::filesystem::path spill_directory_;
  std::optional<SpillFile> spill_;
  std::vector<Block> blocks_;
  std::vector<BlockId> free_;
  std::list<BlockId> unheld_;  // published, longest unused first
  std::unordered_map<Hash128, BlockId, Hash128Hasher> published_;
  size_t num_ever_taken_ = 0;  // blocks [0, num_ever_taken_)
  size_t zeroed_bytes_ = 0;    // of a pool in a file, since ReleaseRam
};

}  // namespace qwen25
