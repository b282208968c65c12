#include "memory/block_list.h"

namespace qwen25 {

BlockList::BlockList(BlockPool* pool, size_t num_layers, size_t max_blocks)
    : pool_(pool), layers_(num_layers) {
  if (pool == nullptr) return;
  ids_.reserve(max_blocks);
  for (auto& layer : layers_) layer.reserve(max_blocks);
}

Status BlockList::Grow(size_t count) {
  while (pool_ != nullptr && ids_.size() < count) {
    QWEN25_TRY(const BlockPool::BlockId id, pool_->Take());
    Add(id);
  }
  return {};
}

void BlockList::Add(BlockPool::BlockId id) {
  ids_.push_back(id);
  for (size_t layer = 0; layer < layers_.size(); ++layer) layers_[layer].push_back(pool_->Data(id, layer));
}

Status BlockList::MakeLastWritable() {
  if (ids_.empty()) return {};
  QWEN25_TRY(const BlockPool::BlockId id, pool_->MakeWritable(ids_.back()));
  if (id == ids_.back()) return {};
  ids_.back() = id;
  for (size_t layer = 0; layer < layers_.size(); ++layer) layers_[layer].back() = pool_->Data(id, layer);
  return {};
}

void BlockList::Prepend(size_t layer, std::span<std::byte* const> addresses) {
  QWEN25_CHECK(ids_.empty());
  layers_[layer].insert(layers_[layer].begin(), addresses.begin(), addresses.end());
}

void BlockList::Shrink(size_t count) {
  while (ids_.size() > count) {
    pool_->Give(ids_.back());
    ids_.pop_back();
    for (auto& layer : layers_) layer.pop_back();
  }
}

}  // namespace qwen25
