#include "memory/block_writer.h"

#include <algorithm>
#include <system_error>

#include "base/check.h"
#include "base/stop_signals.h"
#include "ops/attention/stored_summary.h"

namespace qwen25 {

BlockWriter::BlockWriter(BlockStore& store, BlockPool& pool, const BlockFormat& format,
                         const AttentionShape& shape, Options options)
    : store_(store),
      pool_(pool),
      format_(format),
      shape_(shape),
      max_queued_(options.max_queued_blocks),
      put_(options.put ? std::move(options.put)
                       : [this](std::string_view name_space, const BlockFormat& of_blocks,
                                std::span<const NewBlock> blocks, uint64_t num_erasures) {
                           return store_.Put(name_space, of_blocks, blocks, num_erasures);
                         }) {
  QWEN25_CHECK(format.num_layers == pool.num_layers() && format.layer_bytes == pool.bytes_per_layer() &&
               format.summary_bytes == SummaryBytes(shape));
  try {
    const StopSignalsBlocked blocked;
    thread_ = std::thread([this] { Run(); });
  } catch (const std::system_error&) {
    // No thread: Push writes.
  }
}

BlockWriter::~BlockWriter() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::optional<BlockWriter::Written> BlockWriter::TryAdd(std::string_view name_space,
                                                        std::span<const BlockToWrite> blocks,
                                                        uint64_t num_erasures,
                                                        const std::optional<Hash128>& fingerprint) {
  {
    const std::lock_guard lock(mutex_);
    if (!HasRoom(blocks.size())) return std::nullopt;
  }
  return Push(name_space, blocks, num_erasures, fingerprint);
}

BlockWriter::Written BlockWriter::Add(std::string_view name_space, std::span<const BlockToWrite> blocks,
                                      uint64_t num_erasures, const std::optional<Hash128>& fingerprint) {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return HasRoom(blocks.size()); });
  }
  return Push(name_space, blocks, num_erasures, fingerprint);
}

BlockWriter::Written BlockWriter::Push(std::string_view name_space, std::span<const BlockToWrite> blocks,
                                       uint64_t num_erasures, const std::optional<Hash128>& fingerprint) {
  Batch batch = {.name_space = std::string(name_space),
                 .format = format_,
                 .num_erasures = num_erasures,
                 .blocks = {},
                 .done = {}};
  if (fingerprint) batch.format.fingerprint = *fingerprint;
  for (const BlockToWrite& block : blocks) {
    QWEN25_CHECK(block.tokens.size() == kBlockTokens);
    Block& held =
        batch.blocks.emplace_back(Block{block.block, block.id, block.parent, block.position, {}, {}});
    std::ranges::copy(block.tokens, held.tokens.begin());
    for (size_t layer = 0; layer < format_.num_layers; ++layer) {
      held.layers.push_back(pool_.Data(block.block, layer));
    }
    pool_.Hold(block.block);
  }
  Written written = batch.done.get_future().share();
  if (!thread_.joinable()) {
    batch.done.set_value(Finish(batch));
    return written;
  }
  {
    const std::lock_guard lock(mutex_);
    queued_ += batch.blocks.size();
    batches_.push_back(std::move(batch));
  }
  changed_.notify_all();
  return written;
}

void BlockWriter::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return ends_ || !batches_.empty(); });
    if (batches_.empty()) return;
    Batch batch = std::move(batches_.front());
    batches_.pop_front();
    lock.unlock();
    Status status = Finish(batch);
    lock.lock();
    queued_ -= batch.blocks.size();
    // After `queued_` has fallen: a caller that waited for this batch finds room in the queue.
    batch.done.set_value(std::move(status));
    changed_.notify_all();
  }
}

Status BlockWriter::Finish(const Batch& batch) {
  const Status status = Write(batch);
  for (const Block& block : batch.blocks) pool_.Give(block.block);
  return status;
}

Status BlockWriter::Write(const Batch& batch) {
  std::vector<const Block*> missing;
  for (const Block& block : batch.blocks) {
    if (!store_.Use(batch.name_space, batch.format, block.id)) missing.push_back(&block);
  }
  if (missing.empty()) return {};
  const size_t layer_bytes = format_.summary_bytes, block_bytes = format_.num_layers * layer_bytes;
  std::vector<std::byte> summaries(missing.size() * block_bytes);
  std::vector<NewBlock> blocks;
  for (size_t i = 0; i < missing.size(); ++i) {
    const Block& block = *missing[i];
    const std::span<std::byte> of_block = std::span(summaries).subspan(i * block_bytes, block_bytes);
    for (size_t layer = 0; layer < format_.num_layers; ++layer) {
      SummarizeStoredBlock(shape_, block.layers[layer], of_block.subspan(layer * layer_bytes, layer_bytes));
    }
    blocks.push_back({.id = block.id,
                      .parent = block.parent,
                      .position = block.position,
                      .tokens = block.tokens,
                      .layers = block.layers,
                      .summaries = of_block});
  }
  const Status status = put_(batch.name_space, batch.format, blocks, batch.num_erasures);
  if (status.ok()) {
    const std::lock_guard lock(mutex_);
    num_written_ += blocks.size();
  }
  return status;
}

uint64_t BlockWriter::num_written() const {
  const std::lock_guard lock(mutex_);
  return num_written_;
}

}  // namespace qwen25
