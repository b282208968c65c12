// Blocks of a pool on their way to a store, written by a thread of their own.
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

// A full block of a pool that nobody writes to any more, and what NewBlock says of it.
struct BlockToWrite {
  BlockPool::BlockId block = 0;
  Hash128 id, parent;
  uint32_t position = 0;
  std::span<const int32_t> tokens;  // kBlockTokens; copied
};

// Whoever adds blocks goes on at once: they are held in the pool until they are written, so that their
// sequence may end meanwhile. Batches are written in the order in which they were added, each in one
// transaction with the summaries of its blocks; what the store has already only counts as used. One thread
// adds; if the system gives no thread for writing, it also writes.
class BlockWriter {
 public:
  // When it is set, the batch is on disk, or the error of BlockStore::Put that kept it from there.
  using Written = std::shared_future<Status>;
  using Put = std::function<Status(std::string_view name_space, std::span<const NewBlock> blocks,
                                   uint64_t num_erasures)>;

  struct Options {
    size_t max_queued_blocks = 1024;
    Put put = nullptr;  // in the place of the store's
  };

  // Blocks of `shape` in the store's `format`. `store` and `pool` must outlive the writer.
  BlockWriter(BlockStore& store, BlockPool& pool, const BlockFormat& format, const AttentionShape& shape,
              Options options);
  // Writes what is queued.
  ~BlockWriter();
  BlockWriter(const BlockWriter&) = delete;
  BlockWriter& operator=(const BlockWriter&) = delete;

  // `num_erasures`: BlockStore::NumErasures of the namespace when the blocks were made. Nothing if the queue
  // has no room; a batch always fits into an empty one.
  std::optional<Written> TryAdd(std::string_view name_space, std::span<const BlockToWrite> blocks,
                                uint64_t num_erasures);
  // Waits for room.
  Written Add(std::string_view name_space, std::span<const BlockToWrite> blocks, uint64_t num_erasures);

  // Blocks that were given to the store so far: those that it did not have.
  uint64_t num_written() const;

 private:
  struct Block {
    BlockPool::BlockId block;
    Hash128 id, parent;
    uint32_t position;
    std::array<int32_t, kBlockTokens> tokens;
    std::vector<const std::byte*> layers;  // addresses of a pool stay
  };
  struct Batch {
    std::string name_space;
    uint64_t num_erasures;
    std::vector<Block> blocks;
    std::promise<Status> done;
  };

  bool HasRoom(size_t num_blocks) const { return queued_ == 0 || queued_ + num_blocks <= max_queued_; }
  Written Push(std::string_view name_space, std::span<const BlockToWrite> blocks, uint64_t num_erasures);
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
  size_t queued_ = 0;  // blocks, those that are being written included
  uint64_t num_written_ = 0;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace qwen25
