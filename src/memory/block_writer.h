// Writes blocks of a pool to a store, in a background thread.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "memory/block_pool.h"
#include "memory/block_store.h"
#include "ops/attention/sequence_kv.h"

namespace qwen25 {

// A full block of a pool that nobody writes to any more, with the fields of NewBlock.
struct BlockToWrite {
  BlockPool::BlockId block = 0;
  Hash128 id, parent;
  uint32_t position = 0;
  std::span<const int32_t> tokens;  // [kBlockTokens]; copied
};

// Adding blocks does not wait for the disk. The writer holds the blocks in the pool until they are written,
// so their sequence may end meanwhile. Batches are written in the order in which they were added, each in one
// transaction, with summaries; blocks that the store already has only count as used. One thread may add. If
// the system refuses to start the background thread, Add and TryAdd write the batch themselves.
class BlockWriter {
 public:
  // The result of BlockStore::Put. Once it is OK, the batch is on disk.
  using Written = std::shared_future<Status>;
  using Put = std::function<Status(std::string_view name_space, const BlockFormat& format,
                                   std::span<const NewBlock> blocks, uint64_t num_erasures)>;

  struct Options {
    size_t max_queued_blocks = 1024;  // those being written included
    Put put = nullptr;                // replaces BlockStore::Put; for tests
  };

  // For blocks of `shape`, stored in `format`. `store` and `pool` must outlive the writer.
  BlockWriter(BlockStore& store, BlockPool& pool, const BlockFormat& format, const AttentionShape& shape,
              Options options);
  // Waits until all queued batches are written.
  ~BlockWriter();
  BlockWriter(const BlockWriter&) = delete;
  BlockWriter& operator=(const BlockWriter&) = delete;

  // Adds a batch; `num_erasures` is BlockStore::NumErasures of the namespace when the blocks were computed.
  // Returns nothing if the queue has no room; an empty queue has room for a batch of any size. `fingerprint`:
  // of the format in which they are stored, if it is another one than the writer's.
  std::optional<Written> TryAdd(std::string_view name_space, std::span<const BlockToWrite> blocks,
                                uint64_t num_erasures, const std::optional<Hash128>& fingerprint = {});
  // As TryAdd, but waits for room.
  Written Add(std::string_view name_space, std::span<const BlockToWrite> blocks, uint64_t num_erasures,
              const std::optional<Hash128>& fingerprint = {});

  // Number of blocks stored so far, without those that the store already had.
  uint64_t num_written() const;

 private:
  struct Block {
    BlockPool::BlockId block;
    Hash128 id, parent;
    uint32_t position;
    std::array<int32_t, kBlockTokens> tokens;
    std::vector<const std::byte*> layers;  // addresses in the pool, which do not change
  };
  struct Batch {
    std::string name_space;
    BlockFormat format;
    uint64_t num_erasures;
    std::vector<Block> blocks;
    std::promise<Status> done;
  };

  bool HasRoom(size_t num_blocks) const { return queued_ == 0 || queued_ + num_blocks <= max_queued_; }
  Written Push(std::string_view name_space, std::span<const BlockToWrite> blocks, uint64_t num_erasures,
               const std::optional<Hash128>& fingerprint);
  void Run();
  // Writes a batch and gives its blocks back.
  Status Finish(const Batch& batch);
  Status Write(const Batch& batch);

  BlockStore& store_;
  BlockPool& pool_;
  const BlockFormat format_;
  const AttentionShape shape_;
  const size_t max_queued_;
  const Put put_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batch> batches_;
  size_t queued_ = 0;  // blocks, those being written included
  uint64_t num_written_ = 0;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace qwen25
