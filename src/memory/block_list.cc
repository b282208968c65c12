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
    ids_.push_back(id);
    for (size_t layer = 0; layer < layers_.size(); ++layer) layers_[layer].push_back(pool_->Data(id, layer));
  }
  return {};
}

void BlockList::Shrink(size_t count) {
  while (ids_.size() > count) {
    pool_->Give(ids_.back());
    ids_.pop_back();
    for (auto& layer : layers_) layer.pop_back();
  }
}

}  // namespace qwen25
