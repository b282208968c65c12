// One tile of queries over the blocks that a router chooses for each of its tokens.
#pragma once

#include <bit>
#include <cstdint>
#include <span>

#include "ops/attention/attention_tasks.h"
#include "ops/routing/layer_routing.h"
#include "ops/routing/tile_choice.h"

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

// Calls function(block, first_token, num_tokens) for every block of `chosen` [num_tokens, panels], ascending,
// and every run of tokens that have it.
template <typename Function>
void ForChosenBlocks(std::span<const uint64_t> chosen, std::span<const uint32_t> panels, size_t num_tokens,
                     const Function& function) {
  const size_t words = panels.size();
  for (size_t word = 0; word < words; ++word) {
    uint64_t any = 0;
    for (size_t t = 0; t < num_tokens; ++t) any |= chosen[t * words + word];
    for (; any != 0; any &= any - 1) {
      const int bit = std::countr_zero(any);
      ForRuns(
          num_tokens, [&](size_t t) { return chosen[t * words + word] >> bit & 1; },
          [&](size_t begin, size_t count) {
            function(panels[word] * kPanelBlocks + static_cast<size_t>(bit), begin, count);
          });
    }
  }
}

// The same with function(block, next block or kNoBlock, first_token, num_tokens).
template <typename Function>
void ForChosenBlocksAndNext(std::span<const uint64_t> chosen, std::span<const uint32_t> panels,
                            size_t num_tokens, const Function& function) {
  size_t block = kNoBlock, begin = 0, count = 0;
  ForChosenBlocks(chosen, panels, num_tokens, [&](size_t next, size_t next_begin, size_t next_count) {
    if (block != kNoBlock) function(block, next, begin, count);
    block = next, begin = next_begin, count = next_count;
  });
  if (block != kNoBlock) function(block, kNoBlock, begin, count);
}

// `num_tokens` tokens of a tile, from its token `first_token` on.
inline QueryTile TileOfRun(const QueryTile& tile, size_t first_token, size_t num_tokens) {
  QueryTile run = tile;
  run.first_position += first_token;
  run.num_tokens = num_tokens;
  return run;
}

// Adds a choice for `num_tokens` tokens, and the blocks that each of them always reads, to the counts.
inline void CountRouted(const TileChoice& choice, size_t num_tokens, uint64_t always, RoutingCounts& counts) {
  uint64_t read = 0;
  for (const uint64_t word : choice.chosen()) read += static_cast<uint64_t>(std::popcount(word));
  counts.routed_rows += num_tokens;
  counts.dense_again += choice.dense_again();
  counts.blocks_read += read + always * num_tokens;
  counts.keys_scored += choice.keys_scored();
  counts.estimated_share += choice.estimated_share();
  counts.certain_share += choice.certain_share();
}

// Attends a tile, whose queries are loaded, by a policy that leaves a choice. Each row walks its blocks in a
// fixed order: the blocks that are always read, ascending; then the probes, or all chosen blocks, ascending;
// then the blocks that are chosen after the probes; and, if too much may be missed, the rest.
// `attend_to(tile, block, next, state)` adds one block to a tile, after which `next` (or kNoBlock) follows;
// `score_keys(tile, block, next, state, masses)` writes the KeyMasses of one block.
// `note(first_token)` is called for each part of the tile that chooses together, one after the other;
// `choice` then holds the candidates that were read.
template <typename AttendTo, typename ScoreKeys, typename Note>
void AttendRouted(const LayerRouting& routing, const RotaryAngles& rotary, const QueryTile& tile,
                  const AttendState& state, const SequencePanels& panels, const AttendTo& attend_to,
                  const ScoreKeys& score_keys, const Note& note, TileChoice& choice) {
  const RoutingPolicy& policy = routing.policy;
  const RoutingPolicy::Ranges ranges =
      policy.RangesOf(tile.block(), tile.FirstBlockOfOwn(), panels.num_recalled);
  for (size_t block = ranges.sink_begin; block < ranges.sink_end; ++block) {
    attend_to(tile, block, block + 1 < ranges.sink_end ? block + 1 : ranges.end, state);
  }
  for (size_t block = ranges.end; block <= tile.block(); ++block) {
    attend_to(tile, block, block < tile.block() ? block + 1 : kNoBlock, state);
  }
  const bool with_bounds = policy.max_missed < 1 || routing.trace != nullptr;
  const size_t together = choice.Start(policy, rotary, tile, state, panels);
  for (size_t begin = 0; begin < tile.num_tokens; begin += together) {
    const QueryTile part = TileOfRun(tile, begin, together);
    const AttendState part_state = state.FromRow(begin * tile.num_heads, tile.head_dim);
    choice.Choose(policy, rotary, part, begin, part_state, panels, with_bounds);
    if (choice.reranks()) {
      const auto score_run = [&](size_t block, size_t next, size_t first, size_t count) {
        score_keys(TileOfRun(part, first, count), block, next,
                   part_state.FromRow(first * tile.num_heads, tile.head_dim), choice.masses());
        choice.UseMasses(block, first, count);
      };
      ForChosenBlocksAndNext(choice.chosen(), choice.panels(), together, score_run);
      choice.ChooseReranked(policy, part_state);
    }
    const auto attend_to_run = [&](size_t block, size_t next, size_t first, size_t count) {
      attend_to(TileOfRun(part, first, count), block, next,
                part_state.FromRow(first * tile.num_heads, tile.head_dim));
    };
    const auto attend_to_all = [&](std::span<const uint64_t> blocks) {
      if (!blocks.empty()) ForChosenBlocksAndNext(blocks, choice.panels(), together, attend_to_run);
    };
    attend_to_all(choice.chosen());
    attend_to_all(choice.AddToProbes(policy, part_state));
    if (with_bounds) attend_to_all(choice.AddRestWhereNeeded(policy, part_state));
    note(begin);
    if (routing.counts != nullptr) {
      CountRouted(choice, together, ranges.sink_end - ranges.sink_begin + tile.block() + 1 - ranges.end,
                  *routing.counts);
    }
  }
}

}  // namespace qwen25
