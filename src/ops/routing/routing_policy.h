// Dynamic attention routing: a token chooses by content which KV blocks it reads. docs/routing.md has the
// reasons and the measurements.
//
// The map, in the order in which a token meets the files:
//   summary    kernels/block_summary.h       what is kept of a full block, and of a group of 16
//              attention/stored_summary.h    the same for blocks that come from a store
//   score      kernels/block_score.h         estimates and bounds of a block's share, from its summary
//   policy     routing_policy.h              blocks that are always read, candidates, and limits
//   choice     choose_blocks.h               the candidates with the greatest shares
//              tile_choice.h                 of a tile: far groups, reranking, probes, back to dense
//   attention  attention/routed_attention.h  exact attention over the chosen blocks
//   counts     layer_routing.h               what a layer is given, and its counts and trace
// head_gate.h is the other kind of routing: which heads run at all.
//
// Letters as in kernels/block_summary.h. A token of block n (its own block) always reads the first
// `sink_blocks` of its sequence, its own block and the `local_blocks` before it. All other blocks are
// candidates. The policy picks some of them by their estimated share of the attention, averaged over the
// query heads of a kv head. These heads choose together, so that each block is read once for all of them.
//   top_k: the k candidates with the greatest shares
//   top_p: the fewest candidates that leave at most a share of 1 - p of the output unread, by estimate. The
//          best probe_blocks are read first. How much they differ from the blocks read before them says how
//          much unread blocks would still change: if further blocks say nothing new, as in a repetitive text,
//          they stay unread. Easy tokens read less, hard ones more. Without probes, only shares count.
// Of equal shares, the earlier block is read. Attention over the chosen blocks is exact, and the choice has
// no gradient. Nothing is learned for it: any checkpoint can use it, and training passes through the blocks
// that were read.
//
// A choice depends on the token's own sequence alone: not on its company in the batch, and not on how the
// prompt was cut into chunks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "kernels/block_score.h"

namespace qwen25 {

// "mean", "bound" or "outlier", as policies spell it.
std::string_view BlockScoreName(BlockScore score);

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
  // The token reads everything after all if the unread blocks may hold more than this share of its attention,
  // by their bounds. 1: never.
  float max_missed = 1;
  uint32_t dense_layers = 0;  // number of first layers of the model that are always dense
  // For a history far longer than the recall window: how many times 64 of its blocks are scored, in groups of
  // kPartBlocks (ops/routing/tile_choice.h).
  uint32_t far_panels = 4;
  // The best of this many times max_blocks candidates by their summaries are scored again by their keys, and
  // max_blocks of these are read. 1: summaries decide alone, as they do beyond a recall window in any case.
  uint32_t rerank = 1;

  // Errors name field, value and range.
  Status Validate() const;
  // "dense", or "top_p:0.95,max_blocks=16,probe=2,score=outlier,sink=1,local=4,dense_below=2048,
  // max_missed=1,dense_layers=0,far_panels=4", with "top_k:16" for the other kind; an option that is left
  // out keeps its default. ToString() writes all options, and rerank if it is not 1.
  static Result<RoutingPolicy> Parse(std::string_view text);
  std::string ToString() const;

  // How the tokens of a block read the blocks before it: [begin, end) are candidates, except the sinks
  // [sink_begin, sink_end) among them; the sinks and all from `end` on are always read.
  struct Ranges {
    size_t begin = 0, end = 0;
    size_t sink_begin = 0, sink_end = 0;

    // If false, the tokens read everything that they see.
    bool HasChoice() const { return end > 0; }
  };
  // Of the tokens of block `own_block`, none of which sees a block before `first_block`. If a sequence's list
  // begins with `num_recalled` blocks of other sequences, its own first block is the one after them.
  Ranges RangesOf(size_t own_block, size_t first_block, size_t num_recalled) const {
    if (kind == Kind::kDense || own_block * kBlockTokens < dense_below) return {};
    const bool all_own = own_block - num_recalled <= size_t{sink_blocks} + local_blocks;
    Ranges ranges = {.begin = first_block, .end = all_own ? num_recalled : own_block - local_blocks};
    if (ranges.end <= ranges.begin) return {};
    ranges.sink_begin = std::clamp(num_recalled, ranges.begin, ranges.end);
    ranges.sink_end = std::clamp(num_recalled + sink_blocks, ranges.begin, ranges.end);
    const size_t count = ranges.end - ranges.begin - (ranges.sink_end - ranges.sink_begin);
    return count == 0 || (kind == Kind::kTopK && count <= max_blocks) ? Ranges() : ranges;
  }

  bool operator==(const RoutingPolicy&) const = default;
};

}  // namespace qwen25
