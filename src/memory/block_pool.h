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

// Hands out blocks that each hold 64 tokens of one sequence for every layer. Memory is taken from
// the system in slabs as blocks are first used, and kept for reuse. One thread uses it; others may Hold and
// Give what that thread holds.
//
// Blocks are counted: sequences with the same beginning hold the same ones. A block that is full can be
// published under its name (block_id.h); whoever needs the same then shares it. A published block that nobody
// holds any more stays until its memory is needed, the one that has been unused for longest going first.
class BlockPool {
 public:
  using BlockId = uint32_t;

  // At most `max_blocks` blocks of `bytes_per_layer`, a multiple of 64, in each layer. With a
  // `spill_directory` they lie in a file there (spill_file.h), which is made when the first is taken;
  // otherwise in RAM.
  BlockPool(size_t bytes_per_layer, size_t num_layers, size_t max_blocks,
            std::filesystem::path spill_directory = {});

  // A zeroed block, held once; kResourceExhausted, with the sizes, when all are held, or an error of the
  // spill file.
  Result<BlockId> Take();
  // Ends one holding.
  void Give(BlockId id);
  // Holds a block that somebody holds once more.
  void Hold(BlockId id);

  // Publishes a block that its holder will not write to any more. Where another block has the name already,
  // nothing changes. `owner` stands for whose it is: what is erased together.
  void Publish(BlockId id, const Hash128& name, std::span<const int32_t> tokens, const Hash128& owner = {});
  // No block that an owner has now is found from now on; those that nobody holds are free.
  void Forget(const Hash128& owner);
  // The published block of that name and these tokens, now held once more.
  std::optional<BlockId> Find(const Hash128& name, std::span<const int32_t> tokens);
  // A block with the same content that its holder may write to: `id` itself where nobody else holds it (it is
  // no longer published then), or a copy, for which one holding of `id` ends. Errors as Take.
  Result<BlockId> MakeWritable(BlockId id);

  // One layer of a block: bytes_per_layer() bytes, 64-byte aligned.
  std::byte* Data(BlockId id, size_t layer) const { return blocks_[id].data + layer * bytes_per_layer_; }

  // OK, or that what lies in the file cannot be read back any more, since the disk fails or somebody cut the
  // file short. Blocks then hold nonsense, and Take gives none.
  Status status() const { return spill_ ? spill_->status() : Status(); }

  // The file that all blocks lie in; null where they lie in RAM, and before the first is taken.
  const BlockFile* file() const { return spill_ ? &*spill_ : nullptr; }
  // Gives the RAM of a pool that lies in a file back to the system; what is in the blocks stays.
  void ReleaseRam() {
    if (spill_) spill_->Release();
    zeroed_bytes_ = 0;
  }

  // Blocks that somebody holds, and published ones that nobody does.
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
    std::list<BlockId>::iterator unheld = {};  // its place, while published and not held
  };

  // These hold the mutex.
  Result<BlockId> TakeLocked();
  void GiveLocked(BlockId id);
  Status AddSlab();
  void Unpublish(Block& block);

  mutable std::mutex mutex_;
  size_t num_layers_;
  size_t bytes_per_layer_;
  size_t max_blocks_;
  // Several blocks each, so that they lie in huge pages: a long context is more small pages than the TLB
  // holds, and the hardware prefetches none of the next one.
  std::vector<AlignedBuffer<std::byte>> slabs_;
  std::filesystem::path spill_directory_;
  std::optional<SpillFile> spill_;
  std::vector<Block> blocks_;
  std::vector<BlockId> free_;
  std::list<BlockId> unheld_;  // published, longest unused first
  std::unordered_map<Hash128, BlockId, Hash128Hasher> published_;
  size_t num_ever_taken_ = 0;  // blocks [0, num_ever_taken_)
  size_t zeroed_bytes_ = 0;    // since RAM was given back, in a file
};

}  // namespace qwen25
