// One tile of queries over the blocks that a router chooses for each of its tokens.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <span>

#include "kernels/block_summary.h"
#include "ops/attention_tasks.h"
#include "ops/block_router.h"

namespace qwen25 {

// Calls function(first_token, num_tokens) for the longest runs of tokens whose bit is set.
template <typename Bit, typename Function>
void ForRuns(size_t num_tokens, const Bit& bit, const Function& function) {
  for (size_t t = 0; t < num_tokens; ++t) {
    if (!bit(t)) continue;
    const size_t begin = t;
    while (t + 1 < num_tokens && bit(t + 1)) ++t;
    function(begin, t + 1 - begin);
  }
}

// Calls function(block, first_token, num_tokens) for every block, ascending, and every run of tokens that
// have it in `chosen` [num_tokens, words].
template <typename Function>
void ForChosenBlocks(std::span<const uint64_t> chosen, size_t num_tokens, const Function& function) {
  const size_t words = chosen.size() / num_tokens;
  for (size_t word = 0; word < words; ++word) {
    uint64_t any = 0;
    for (size_t t = 0; t < num_tokens; ++t) any |= chosen[t * words + word];
    for (; any != 0; any &= any - 1) {
      const int bit = std::countr_zero(any);
      ForRuns(
          num_tokens, [&](size_t t) { return chosen[t * words + word] >> bit & 1; },
          [&](size_t begin, size_t count) { function(word * 64 + static_cast<size_t>(bit), begin, count); });
    }
  }
}

// `num_tokens` tokens of a tile, and their part of its state.
inline QueryTile TileOfRun(const QueryTile& tile, size_t first_token, size_t num_tokens) {
  QueryTile run = tile;
  run.first_position += first_token;
  run.num_tokens = num_tokens;
  return run;
}

// The greatest choice that tasks of one call have to hold.
struct RoutedSizes {
  size_t words;   // of 64 blocks
  size_t blocks;  // 64 * words

  explicit RoutedSizes(size_t max_tokens)
      : words((max_tokens + 64 * kBlockTokens - 1) / (64 * kBlockTokens)), blocks(64 * words) {}
};

// Scratch memory of AttendRouted.
struct RoutedScratch {
  BlockScoreState score;
  float* scores;     // [R, blocks]
  float* bounds;     // [R, blocks]
  float* shares;     // [blocks]
  uint32_t* order;   // [blocks]
  float* read_logs;  // [G]
  uint64_t* chosen;  // [tokens, words], aligned for uint64_t
  uint64_t* rest;    // [tokens, words]

  static size_t NumFloats(size_t head_dim, size_t rows, const RoutedSizes& sizes) {
    return BlockScoreState::NumFloats(head_dim, rows) + (2 * rows + 2) * sizes.blocks + rows + 2 +
           4 * rows * sizes.words;
  }
  RoutedScratch(float* memory, size_t head_dim, size_t rows, const RoutedSizes& sizes)
      : score(memory, head_dim, rows),
        scores(memory + BlockScoreState::NumFloats(head_dim, rows)),
        bounds(scores + rows * sizes.blocks),
        shares(bounds + rows * sizes.blocks),
        order(reinterpret_cast<uint32_t*>(shares + sizes.blocks)),
        read_logs(shares + 2 * sizes.blocks),
        chosen(AlignUp(read_logs + rows)),
        rest(chosen + rows * sizes.words) {}

 private:
  static uint64_t* AlignUp(float* p) {
    return reinterpret_cast<uint64_t*>((reinterpret_cast<uintptr_t>(p) + 7) / 8 * 8);
  }
};

// Attention of one tile by a policy. Blocks are walked in a fixed order for each row: those that are always
// read, ascending, then the chosen ones, ascending, then, where too much may be missed, the rest.
template <typename Blocks>
class RoutedTile {
 public:
  // `candidates_end` is the policy's for the tile's block, above 0.
  RoutedTile(const LayerRouting& routing, const RotaryAngles& rotary, const Blocks& blocks,
             const AttentionTask& task, const QueryTile& tile, const AttendState& state, float* block_scratch,
             const RoutedScratch& scratch, const RoutedSizes& sizes)
      : routing_(routing),
        policy_(routing.policy),
        rotary_(rotary),
        blocks_(blocks),
        task_(task),
        tile_(tile),
        state_(state),
        block_scratch_(block_scratch),
        scratch_(scratch),
        stride_(sizes.blocks),
        candidates_end_(policy_.CandidatesEnd(tile.block())),
        words_((candidates_end_ + 63) / 64),
        wants_bounds_(policy_.max_missed < 1 || routing.trace != nullptr) {}

  // The queries are loaded. `chosen` (RoutedScratch) then holds what was read of the candidates.
  void Attend() {
    for (size_t block = 0; block < policy_.sink_blocks; ++block) AttendTo(block, 0, tile_.num_tokens);
    for (size_t block = candidates_end_; block <= tile_.block(); ++block)
      AttendTo(block, 0, tile_.num_tokens);
    Score();
    for (size_t t = 0; t < tile_.num_tokens; ++t) Choose(t);
    AttendToChosen(Chosen());
    if (wants_bounds_) ReadRestWhereNeeded();
    Count();
  }

  // Which candidates were read, [num_tokens, words].
  std::span<uint64_t> Chosen() const { return {scratch_.chosen, tile_.num_tokens * words_}; }

 private:
  void AttendTo(size_t block, size_t first_token, size_t num_tokens) const {
    blocks_.AttendTo(task_, TileOfRun(tile_, first_token, num_tokens), rotary_, block, block_scratch_,
                     state_.FromRow(first_token * tile_.num_heads, tile_.head_dim));
  }
  void AttendToChosen(std::span<const uint64_t> chosen) const {
    ForChosenBlocks(chosen, tile_.num_tokens,
                    [&](size_t block, size_t first, size_t count) { AttendTo(block, first, count); });
  }

  void Score() const {
    const size_t rows = tile_.num_rows();
    LoadScoreQueries(tile_.head_dim, rows, state_.queries, scratch_.score);
    for (size_t first = 0; first < candidates_end_; first += kPanelBlocks) {
      ScorePanel(rotary_, rows, tile_.block(), first, std::min(kPanelBlocks, candidates_end_ - first),
                 blocks_.Panel(task_.sequence, task_.kv_head, first / kPanelBlocks), policy_.score,
                 state_.queries, scratch_.score, {scratch_.scores + first, stride_},
                 {wants_bounds_ ? scratch_.bounds + first : nullptr, stride_});
    }
  }

  ScoreRows RowsOf(float* scores, size_t token) const {
    return {scores + token * tile_.num_heads * stride_, stride_};
  }
  void Choose(size_t token) {
    const ScoreRows scores = RowsOf(scratch_.scores, token);
    for (size_t g = 0; g < tile_.num_heads; ++g) {
      std::fill_n(scores.data + g * stride_, policy_.sink_blocks, -std::numeric_limits<float>::infinity());
    }
    ReadLogs(state_, token * tile_.num_heads, tile_.num_heads, scratch_.read_logs);
    const float read_share =
        BlockShares(tile_.num_heads, candidates_end_, scores, scratch_.read_logs, scratch_.shares);
    const float share = ChooseBlocks(policy_, {scratch_.shares, candidates_end_}, read_share,
                                     {scratch_.order, stride_}, Chosen().subspan(token * words_, words_));
    estimated_ += Units(share);
  }

  // A token whose left-out blocks may hold too much reads them as well.
  void ReadRestWhereNeeded() {
    const std::span<uint64_t> rest = {scratch_.rest, tile_.num_tokens * words_};
    std::ranges::fill(rest, 0);
    bool any = false;
    for (size_t t = 0; t < tile_.num_tokens; ++t) {
      const float certain = CertainShare(t);
      if (1 - certain <= policy_.max_missed) {
        certain_ += Units(certain);
        continue;
      }
      any = true;
      ++dense_again_;
      certain_ += Units(1);
      for (size_t block = policy_.sink_blocks; block < candidates_end_; ++block) {
        const uint64_t bit = uint64_t{1} << (block % 64);
        uint64_t& chosen = Chosen()[t * words_ + block / 64];
        if ((chosen & bit) == 0) rest[t * words_ + block / 64] |= bit;
        chosen |= bit;
      }
    }
    if (any) AttendToChosen(rest);
  }

  // What was read is at least this share of the token's attention.
  float CertainShare(size_t token) const {
    const ScoreRows bounds = RowsOf(scratch_.bounds, token);
    for (size_t g = 0; g < tile_.num_heads; ++g) {
      float* row = bounds.data + g * stride_;
      std::fill_n(row, policy_.sink_blocks, -std::numeric_limits<float>::infinity());
      for (size_t block = policy_.sink_blocks; block < candidates_end_; ++block) {
        if (Chosen()[token * words_ + block / 64] >> (block % 64) & 1) {
          row[block] = -std::numeric_limits<float>::infinity();
        }
      }
    }
    ReadLogs(state_, token * tile_.num_heads, tile_.num_heads, scratch_.read_logs);
    return BlockShares(tile_.num_heads, candidates_end_, bounds, scratch_.read_logs, scratch_.shares);
  }

  static uint64_t Units(float share) {
    return share >= 0 && share <= 1 ? static_cast<uint64_t>(share / RoutingCounts::kShareUnit)
                                    : static_cast<uint64_t>(1 / RoutingCounts::kShareUnit);
  }

  void Count() const {
    if (routing_.counts == nullptr) return;
    uint64_t read = 0;
    for (const uint64_t word : Chosen()) read += static_cast<uint64_t>(std::popcount(word));
    const uint64_t always = policy_.sink_blocks + tile_.block() + 1 - candidates_end_;
    RoutingCounts& counts = *routing_.counts;
    counts.routed_rows += tile_.num_tokens;
    counts.dense_again += dense_again_;
    counts.blocks_read += read + always * tile_.num_tokens;
    counts.estimated_share += estimated_;
    counts.certain_share += certain_;
  }

  const LayerRouting& routing_;
  const RoutingPolicy& policy_;
  const RotaryAngles& rotary_;
  const Blocks& blocks_;
  const AttentionTask& task_;
  const QueryTile& tile_;
  const AttendState& state_;
  float* block_scratch_;
  const RoutedScratch& scratch_;
  const size_t stride_, candidates_end_, words_;
  const bool wants_bounds_;
  uint64_t estimated_ = 0, certain_ = 0, dense_again_ = 0;
};

}  // namespace qwen25
