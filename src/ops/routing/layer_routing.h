// Routing as attention is given it, layer by layer, and what it did: counts, and a trace of the blocks that
// were read.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ops/routing/routing_policy.h"

namespace qwen25 {

// What routing did in one layer. Sums of integers: threads may add in any order.
struct RoutingCounts {
  std::atomic<uint64_t> rows{0};            // tokens times kv heads that attended
  std::atomic<uint64_t> routed_rows{0};     // of these, that had a choice
  std::atomic<uint64_t> dense_again{0};     // of these, that read everything since too much might be missed
  std::atomic<uint64_t> blocks_visible{0};  // summed over rows
  std::atomic<uint64_t> blocks_read{0};
  std::atomic<uint64_t> keys_scored{0};  // blocks that were reranked by their keys, read afterwards or not
  // Shares of the attention in units of 2^-20, summed over routed rows: what was read by the estimate, and
  // what it is at least by the bounds (where these were computed).
  std::atomic<uint64_t> estimated_share{0}, certain_share{0};
  std::atomic<uint64_t> nanoseconds{0};  // of attention, choosing included

  static constexpr double kShareUnit = 1.0 / (1 << 20);
};

// Sums over layers, and over whatever else has counts.
struct RoutingTotals {
  uint64_t blocks_visible = 0, blocks_read = 0, keys_scored = 0;
  double seconds = 0;  // of attention

  void Add(std::span<const RoutingCounts> layers) {
    for (const RoutingCounts& counts : layers) {
      blocks_visible += counts.blocks_visible;
      blocks_read += counts.blocks_read;
      keys_scored += counts.keys_scored;
      seconds += static_cast<double>(counts.nanoseconds) * 1e-9;
    }
  }
  // Of the blocks that tokens could have read, those that they did; 1 without routing.
  double ReadShare() const {
    return blocks_visible == 0 ? 1 : static_cast<double>(blocks_read) / static_cast<double>(blocks_visible);
  }
  // Those that were reranked by their keys; 0 without routing.
  double RerankedShare() const {
    return blocks_visible == 0 ? 0 : static_cast<double>(keys_scored) / static_cast<double>(blocks_visible);
  }
};

// The blocks that each token read, for whoever wants to see them: bit b of a row's words is block b.
class RoutingTrace {
 public:
  // For tokens of positions [0, num_tokens) of one sequence.
  RoutingTrace(size_t num_layers, size_t num_kv_heads, size_t num_tokens);

  size_t num_tokens() const { return num_tokens_; }
  size_t num_layers() const { return num_layers_; }
  size_t num_kv_heads() const { return num_kv_heads_; }
  size_t words_per_row() const { return words_; }
  std::span<uint64_t> Row(size_t layer, size_t kv_head, size_t position);
  std::span<const uint64_t> Row(size_t layer, size_t kv_head, size_t position) const;
  bool Read(size_t layer, size_t kv_head, size_t position, size_t block) const {
    return Row(layer, kv_head, position)[block / 64] >> (block % 64) & 1;
  }
  size_t NumRead(size_t layer, size_t kv_head, size_t position) const;

 private:
  size_t num_layers_, num_kv_heads_, num_tokens_, words_;
  std::vector<uint64_t> bits_;
};

// The blocks that the rows of a batch read: `words` numbers per row and kv head, bit b is block b of the
// row's sequence.
struct ReadBlocks {
  uint64_t* data = nullptr;
  size_t num_kv_heads = 0, words = 0;

  std::span<uint64_t> Row(size_t row, size_t kv_head) const {
    return {data + (row * num_kv_heads + kv_head) * words, words};
  }
};

// Routing of one layer, as attention is given it: one for each sequence of a batch, or one for all of them.
struct LayerRouting {
  RoutingPolicy policy;
  size_t layer = 0;                 // its row in `trace`
  RoutingCounts* counts = nullptr;  // may be null, as the next
  RoutingTrace* trace = nullptr;    // of the sequence; of the first one where this is for all
};

// The routing of one sequence; null where there is none at all.
inline const LayerRouting* RoutingOf(std::span<const LayerRouting> routing, size_t sequence) {
  if (routing.empty()) return nullptr;
  return &routing[routing.size() == 1 ? 0 : sequence];
}

// The routing of every layer of a model: `policy`, but dense in its dense_layers. `counts` [num_layers] or
// null.
std::vector<LayerRouting> RouteLayers(const RoutingPolicy& policy, size_t num_layers, RoutingCounts* counts);

}  // namespace qwen25
