#include "memory/block_pool.h"

#include <algorithm>
#include <cstring>

namespace qwen25 {
namespace {

constexpr size_t kSlabBytes = size_t{8} << 20;
// A pool in a file gives its RAM back after zeroing this many bytes: taking the blocks of a long history must
// not bring all of them into RAM.
constexpr size_t kZeroedAtOnce = size_t{16} << 20;
constexpr size_t kSpillUnit = size_t{64} << 10;  // a multiple of every page size of Linux

}  // namespace

BlockPool::BlockPool(size_t bytes_per_layer, size_t num_layers, size_t max_blocks,
                     std::filesystem::path spill_directory)
    : num_layers_(num_layers),
      bytes_per_layer_(bytes_per_layer),
      max_blocks_(max_blocks),
      spill_directory_(std::move(spill_directory)) {}

Result<BlockPool::BlockId> BlockPool::Take() {
  const std::lock_guard lock(mutex_);
  return TakeLocked();
}

Result<BlockPool::BlockId> BlockPool::TakeLocked() {
  QWEN25_RETURN_IF_ERROR(status());
  if (free_.empty()) {
    if (blocks_.size() < max_blocks_) {
      QWEN25_RETURN_IF_ERROR(AddSlab());
    } else if (!unheld_.empty()) {
      const BlockId oldest = unheld_.front();
      unheld_.pop_front();
      Unpublish(blocks_[oldest]);
      free_.push_back(oldest);
    } else {
      return ResourceExhausted(
          "all {} KV blocks ({} tokens, {} MiB) are in use; end a conversation or raise the "
          "context limit",
          max_blocks_, max_blocks_ * kBlockTokens, max_blocks_ * bytes_per_block() >> 20);
    }
  }
  const BlockId id = free_.back();
  free_.pop_back();
  blocks_[id].num_holders = 1;
  // First takes go in ascending order of ids. New blocks of a file are zero already; zeroing would bring them
  // into RAM.
  const bool is_new = id == num_ever_taken_;
  num_ever_taken_ += is_new;
  if (is_new && spill_) return id;
  std::memset(blocks_[id].data, 0, bytes_per_block());
  if (spill_ && (zeroed_bytes_ += bytes_per_block()) > kZeroedAtOnce) ReleaseRam();
  return id;
}

void BlockPool::Give(BlockId id) {
  const std::lock_guard lock(mutex_);
  GiveLocked(id);
}

void BlockPool::Hold(BlockId id) {
  const std::lock_guard lock(mutex_);
  QWEN25_CHECK(id < blocks_.size() && blocks_[id].num_holders > 0);
  ++blocks_[id].num_holders;
}

void BlockPool::GiveLocked(BlockId id) {
  QWEN25_CHECK(id < blocks_.size() && blocks_[id].num_holders > 0);
  Block& block = blocks_[id];
  if (--block.num_holders > 0) return;
  if (block.published) {
    block.unheld = unheld_.insert(unheld_.end(), id);
  } else {
    free_.push_back(id);
  }
}

void BlockPool::Publish(BlockId id, const Hash128& name, std::span<const int32_t> tokens,
                        const Hash128& owner) {
  const std::lock_guard lock(mutex_);
  QWEN25_CHECK(id < blocks_.size() && blocks_[id].num_holders > 0);
  Block& block = blocks_[id];
  if (block.published || !published_.emplace(name, id).second) return;
  block.published = true;
  block.name = name;
  block.owner = owner;
  block.tokens.assign(tokens.begin(), tokens.end());
}

void BlockPool::Forget(const Hash128& owner) {
  const std::lock_guard lock(mutex_);
  for (BlockId id = 0; id < blocks_.size(); ++id) {
    Block& block = blocks_[id];
    if (!block.published || block.owner != owner) continue;
    Unpublish(block);
    if (block.num_holders > 0) continue;
    unheld_.erase(block.unheld);
    free_.push_back(id);
  }
}

std::optional<BlockPool::BlockId> BlockPool::Find(const Hash128& name, std::span<const int32_t> tokens) {
  const std::lock_guard lock(mutex_);
  const auto found = published_.find(name);
  if (found == published_.end()) return std::nullopt;
  Block& block = blocks_[found->second];
  if (!std::ranges::equal(block.tokens, tokens)) return std::nullopt;
  if (block.num_holders++ == 0) unheld_.erase(block.unheld);
  return found->second;
}

Result<BlockPool::BlockId> BlockPool::MakeWritable(BlockId id) {
  const std::lock_guard lock(mutex_);
  QWEN25_CHECK(id < blocks_.size() && blocks_[id].num_holders > 0);
  if (blocks_[id].num_holders == 1) {
    if (blocks_[id].published) Unpublish(blocks_[id]);
    return id;
  }
  QWEN25_TRY(const BlockId copy, TakeLocked());
  std::memcpy(blocks_[copy].data, blocks_[id].data, bytes_per_block());
  GiveLocked(id);
  return copy;
}

void BlockPool::Unpublish(Block& block) {
  published_.erase(block.name);
  block.published = false;
  block.tokens.clear();
}

size_t BlockPool::num_used() const {
  const std::lock_guard lock(mutex_);
  return blocks_.size() - free_.size() - unheld_.size();
}

size_t BlockPool::num_unheld() const {
  const std::lock_guard lock(mutex_);
  return unheld_.size();
}

Status BlockPool::AddSlab() {
  const size_t count = std::clamp<size_t>(kSlabBytes / bytes_per_block(), 1, max_blocks_ - blocks_.size());
  std::byte* data = nullptr;
  if (spill_directory_.empty()) {
    slabs_.emplace_back(count * bytes_per_block());
    data = slabs_.back().data();
  } else {
    if (!spill_) {
      QWEN25_TRY(spill_, SpillFile::Create(spill_directory_));
    }
    const size_t num_bytes = (count * bytes_per_block() + kSpillUnit - 1) / kSpillUnit * kSpillUnit;
    QWEN25_TRY(data, spill_->Grow(num_bytes));
  }
  free_.reserve(blocks_.size() + count);
  // In descending order: Take pops from the end, so the lowest id is taken first.
  for (size_t i = 0; i < count; ++i) {
    free_.push_back(static_cast<BlockId>(blocks_.size() + count - 1 - i));
  }
  for (size_t i = 0; i < count; ++i) blocks_.push_back({.data = data + i * bytes_per_block()});
  return {};
}

}  // namespace qwen25
