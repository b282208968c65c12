#include "eval/window_blocks.h"

namespace qwen25 {
namespace {

AttentionShape ShapeOf(const Model& model, KvFormat format) {
  AttentionShape shape = model.attention_shape();
  shape.kv_format = format;
  return shape;
}

}  // namespace

WindowBlocks::WindowBlocks(const Model& model, KvFormat format, size_t max_tokens)
    : num_blocks_(BlocksFor(max_tokens)),
      num_panels_((num_blocks_ + kPanelBlocks - 1) / kPanelBlocks),
      block_pool_(ShapeOf(model, format).BytesPerBlock(), model.layers.size(), num_blocks_),
      panel_pool_(ShapeOf(model, format).BytesPerPanel(), model.layers.size(), num_panels_),
      blocks_(&block_pool_, model.layers.size(), num_blocks_),
      panels_(&panel_pool_, model.layers.size(), num_panels_),
      kv_(model.layers.size()) {}

Result<std::span<const SequenceKv>> WindowBlocks::Kv(size_t num_tokens) {
  QWEN25_RETURN_IF_ERROR(blocks_.Grow(num_blocks_));
  QWEN25_RETURN_IF_ERROR(panels_.Grow(num_panels_));
  for (size_t layer = 0; layer < kv_.size(); ++layer) {
    kv_[layer] = {
        .blocks = blocks_.Layer(layer), .num_tokens = num_tokens, .summaries = panels_.Layer(layer)};
  }
  return std::span<const SequenceKv>(kv_);
}

}  // namespace qwen25
