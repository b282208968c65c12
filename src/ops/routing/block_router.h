// Dynamic attention routing: which KV blocks a token reads is chosen by content (DESIGN §5).
//
// Letters as in kernels/block_summary.h. A token of block n ("its own") always reads the first `sink_blocks`
// of its sequence, its own block and the `local_blocks` before it. Of the rest, the candidates, it reads
// those that its policy picks by their estimated share of the attention, averaged over the query heads of a
// kv head, which choose together so that each block is read once for all of them:
//   top_k: the k with the greatest shares
//   top_p: the fewest without which the output changes by at most a share of 1 - p, by estimate. The
//          probe_blocks best ones are read first; what is left out then counts by how much they differed
//          from what had been read: where further blocks say nothing new, as in a repetitive text, they
//          stay unread. Easy tokens read less, hard ones more. Without probes it is the share of the
//          attention alone that counts.
// Ties go to the earlier block. What was read has exact attention; the choice has no gradient. Nothing is
// learned for it, so that any checkpoint can use it, and training passes through the blocks that were read.
//
// A choice depends on the token's own sequence alone: not on its company in the batch and not on how the
// prompt was cut into chunks.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kernels/block_summary.h"

namespace qwen25 {

struct RoutingPolicy {
  enum class Kind : uint8_t { kDense, kTopK, kTopP };

  Kind kind = Kind::kDense;
  BlockScore score = BlockScore::kOutlier;
  uint32_t max_blocks = 16;     // top_k: how many; top_p: at most
  float top_p = 0.95f;          // 0 to 1
  uint32_t probe_blocks = 2;    // of top_p, the first of max_blocks
  uint32_t sink_blocks = 1;     // at least 1
  uint32_t local_blocks = 4;    // before the own one
  uint32_t dense_below = 2048;  // tokens: earlier positions read everything, since choosing would not pay
  // The token reads everything after all where the blocks that were left out may hold more than this share of
  // its attention, by their bounds. 1: never.
  float max_missed = 1;
  uint32_t dense_layers = 0;  // of a model, the first ones, which are always dense
  // Where a history goes far beyond the recall window: how many times 64 blocks of it are looked at, in
  // groups of kPartBlocks (ops/routing/tile_choice.h).
  uint32_t far_panels = 4;

  // Errors name field, value and range.
  Status Validate() const;
  // "dense", or "top_p:0.95,max_blocks=16,probe=2,score=outlier,sink=1,local=4,dense_below=2048,
  // max_missed=1,dense_layers=0,far_panels=4", with "top_k:16" for the other kind; what is left out keeps its
  // default.
  // ToString() is the whole of it.
  static Result<RoutingPolicy> Parse(std::string_view text);
  std::string ToString() const;

  // Where a sequence's list begins with `num_recalled` blocks of other sequences, its own first block is the
  // one behind them. Blocks [0, CandidatesEnd) but for the sinks [num_recalled, SinkEnd) are candidates of
  // the tokens of block `own_block`; where there is no choice between them, CandidatesEnd is 0 and the tokens
  // read everything.
  size_t CandidatesEnd(size_t own_block, size_t num_recalled) const {
    if (kind == Kind::kDense || own_block * kBlockTokens < dense_below) return 0;
    const bool all_own = own_block - num_recalled <= size_t{sink_blocks} + local_blocks;
    const size_t end = all_own ? num_recalled : own_block - local_blocks;
    const size_t count = all_own ? end : end - sink_blocks;
    return count == 0 || (kind == Kind::kTopK && count <= max_blocks) ? 0 : end;
  }
  size_t SinkEnd(size_t candidates_end, size_t num_recalled) const {
    return std::min(num_recalled + sink_blocks, candidates_end);
  }

  bool operator==(const RoutingPolicy&) const = default;
};

// What routing did in one layer. Sums of integers: threads may add in any order.
struct RoutingCounts {
  std::atomic<uint64_t> rows{0};            // tokens times kv heads that attended
  std::atomic<uint64_t> routed_rows{0};     // of these, that had a choice
  std::atomic<uint64_t> dense_again{0};     // of these, that read everything since too much might be missed
  std::atomic<uint64_t> blocks_visible{0};  // summed over rows
  std::atomic<uint64_t> blocks_read{0};
  // Shares of the attention in units of 2^-20, summed over routed rows: what was read by the estimate, and
  // what it is at least by the bounds (where these were computed).
  std::atomic<uint64_t> estimated_share{0}, certain_share{0};
  std::atomic<uint64_t> nanoseconds{0};  // of attention, choosing included

  static constexpr double kShareUnit = 1.0 / (1 << 20);
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

// Routing of one layer, as attention is given it.
struct LayerRouting {
  RoutingPolicy policy;
  size_t layer = 0;                 // its row in `trace`
  RoutingCounts* counts = nullptr;  // may be null, as the next
  RoutingTrace* trace = nullptr;    // of the batch's first sequence
};

// The routing of every layer of a model: `policy`, but dense in its dense_layers. `counts` [num_layers] or
// null.
std::vector<LayerRouting> RouteLayers(const RoutingPolicy& policy, size_t num_layers, RoutingCounts* counts);

}  // namespace qwen25
