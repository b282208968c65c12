// Dynamic attention routing: which KV blocks a token reads is chosen by content.
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
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

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

}  // namespace qwen25
