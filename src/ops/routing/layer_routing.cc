#include "ops/routing/layer_routing.h"

#include <bit>

#include "base/check.h"

namespace qwen25 {

RoutingTrace::RoutingTrace(size_t num_layers, size_t num_kv_heads, size_t num_tokens)
    : num_layers_(num_layers),
      num_kv_heads_(num_kv_heads),
      num_tokens_(num_tokens),
      words_((num_tokens + 64 * kBlockTokens - 1) / (64 * kBlockTokens)),
      bits_(num_layers * num_kv_heads * num_tokens * words_) {}

std::span<uint64_t> RoutingTrace::Row(size_t layer, size_t kv_head, size_t position) {
  QWEN25_CHECK(layer < num_layers_ && kv_head < num_kv_heads_ && position < num_tokens_);
  return std::span(bits_).subspan(((layer * num_kv_heads_ + kv_head) * num_tokens_ + position) * words_,
                                  words_);
}
std::span<const uint64_t> RoutingTrace::Row(size_t layer, size_t kv_head, size_t position) const {
  return const_cast<RoutingTrace*>(this)->Row(layer, kv_head, position);
}

size_t RoutingTrace::NumRead(size_t layer, size_t kv_head, size_t position) const {
  size_t count = 0;
  for (const uint64_t word : Row(layer, kv_head, position)) count += static_cast<size_t>(std::popcount(word));
  return count;
}

std::vector<LayerRouting> RouteLayers(const RoutingPolicy& policy, size_t num_layers, RoutingCounts* counts) {
  std::vector<LayerRouting> layers(num_layers);
  for (size_t i = 0; i < num_layers; ++i) {
    if (i >= policy.dense_layers) layers[i].policy = policy;
    layers[i].layer = i;
    if (counts != nullptr) layers[i].counts = &counts[i];
  }
  return layers;
}

}  // namespace qwen25
