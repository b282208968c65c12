#include "ops/routing/tile_choice.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>

#include "base/check.h"
#include "ops/routing/choose_blocks.h"

namespace qwen25 {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr float kLog2PartBlocks = 4;
static_assert(size_t{1} << 4 == kPartBlocks);

size_t DivideUp(size_t a, size_t b) {
  return (a + b - 1) / b;
}

// The share of the attention from which on a token reads nothing more; above 1: no share is enough.
float EnoughShare(const RoutingPolicy& policy) {
  return policy.kind == RoutingPolicy::Kind::kTopP ? policy.top_p : 2;
}

uint64_t ShareUnits(float share) {
  const float known = share >= 0 && share <= 1 ? share : 1.0f;
  return static_cast<uint64_t>(known / RoutingCounts::kShareUnit);
}

// The first `count` bits of a word, 0 to 64.
uint64_t BitsBelow(size_t count) {
  return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

bool Bit(const uint64_t* words, size_t i) {
  return words[i / 64] >> (i % 64) & 1;
}

// Of far panels, that are scored.
size_t NumFarParts(const RoutingPolicy& policy) {
  return size_t{policy.far_panels} * kPanelParts;
}

// Panels of candidates of which every block is at the greatest distance from a tile or farther.
size_t NumFarPanels(const RoutingPolicy& policy, const RotaryAngles& rotary, const QueryTile& tile,
                    const SequencePanels& panels) {
  const size_t own = tile.block(), nearest = rotary.max_distance + kPanelBlocks - 1;
  if (!panels.has_supers || own < nearest || tile.window != kNoWindow) return 0;
  return std::min((own - nearest) / kPanelBlocks + 1,
                  policy.RangesOf(own, 0, panels.num_recalled).end / kPanelBlocks);
}

}  // namespace

ChoiceSizes::ChoiceSizes(const RoutingPolicy& policy, size_t head_dim, size_t heads, size_t tokens,
                         size_t max_positions, size_t max_distance)
    : head_dim(head_dim),
      heads(heads),
      tokens(tokens),
      rows(heads * tokens),
      slots(DivideUp(max_positions, kPanelBlocks * kBlockTokens)),
      supers(0),
      reranks(policy.rerank > 1) {
  if (max_distance == kNoGreatestDistance) return;
  supers = DivideUp(slots * kPanelParts, kPanelBlocks) * kPanelBlocks;
  slots = std::min(slots, max_distance / kPanelBlocks + 3 + NumFarParts(policy));
}

size_t ChoiceSizes::NumFloats() const {
  const size_t longest = std::max(blocks(), supers);
  return BlockScoreState::NumFloats(head_dim, rows) + AttendSnapshot::NumFloats(head_dim, rows) + tokens +
         (reranks ? 3 : 2) * rows * blocks() + rows * supers + 2 * longest + 2 * rows + slots +
         4 * tokens * slots + 2 * (supers / 64) + 2;
}

TileChoice::TileChoice(const ChoiceSizes& sizes, float* memory)
    : sizes_(sizes),
      score_(memory, sizes.head_dim, sizes.rows),
      snapshot_(memory + BlockScoreState::NumFloats(sizes.head_dim, sizes.rows), sizes.head_dim, sizes.rows) {
  const size_t longest = std::max(sizes.blocks(), sizes.supers);
  token_shares_ = snapshot_.logs + sizes.rows;
  scores_ = token_shares_ + sizes.tokens;
  bounds_ = scores_ + sizes.rows * sizes.blocks();
  super_scores_ = bounds_ + sizes.rows * sizes.blocks();
  again_ = super_scores_ + sizes.rows * sizes.supers;
  masses_ = again_ + (sizes.reranks ? sizes.rows * sizes.blocks() : 0);
  shares_ = masses_ + sizes.rows;
  order_ = reinterpret_cast<uint32_t*>(shares_ + longest);
  read_logs_ = shares_ + 2 * longest;
  panels_ = reinterpret_cast<uint32_t*>(read_logs_ + sizes.rows);
  chosen_ = reinterpret_cast<uint64_t*>((reinterpret_cast<uintptr_t>(panels_ + sizes.slots) + 7) / 8 * 8);
  rest_ = chosen_ + sizes.tokens * sizes.slots;
  far_ = rest_ + sizes.tokens * sizes.slots;
}

size_t TileChoice::ColumnsOf(size_t slot) const {
  return std::min(kPanelBlocks, candidates_end_ - size_t{panels_[slot]} * kPanelBlocks);
}

size_t TileChoice::ColumnsBefore(size_t slot, size_t token) const {
  const size_t first = size_t{panels_[slot]} * kPanelBlocks;
  const size_t begin = std::max(candidates_begin_, tile_.Hidden(token) / kBlockTokens);
  return std::clamp(begin, first, first + kPanelBlocks) - first;
}

std::pair<size_t, size_t> TileChoice::SinkColumns(size_t slot) const {
  const size_t first = size_t{panels_[slot]} * kPanelBlocks;
  const auto column = [&](size_t block) { return std::clamp(block, first, first + kPanelBlocks) - first; };
  return {column(sink_begin_), column(sink_end_)};
}

size_t TileChoice::Start(const RoutingPolicy& policy, const RotaryAngles& rotary, const QueryTile& tile,
                         const AttendState& state, const SequencePanels& panels) {
  num_heads_ = tile.num_heads;
  num_far_ = NumFarPanels(policy, rotary, tile, panels);
  if (num_far_ <= policy.far_panels) num_far_ = 0;
  const size_t num_parts = num_far_ * kPanelParts;
  if (num_parts == 0) return tile.num_tokens;
  LoadScoreQueries(tile.head_dim, tile.num_rows(), state.queries, score_);
  for (size_t first = 0; first < num_parts; first += kPanelBlocks) {
    // From so far that every column is at the greatest distance.
    const ScoredPanel panel = {.data = panels.supers[first / kPanelBlocks],
                               .first_block = first,
                               .num_blocks = std::min(kPanelBlocks, num_parts - first),
                               .blocks_per_column = kPartBlocks};
    ScorePanel(rotary, tile.num_rows(), first + rotary.max_distance + 2 * kPanelBlocks, panel, policy.score,
               state.queries, score_, {super_scores_ + first, sizes_.supers}, {nullptr, 0});
  }
  return 1;
}

void TileChoice::ChooseFarParts(const RoutingPolicy& policy, size_t token, const AttendState& state) {
  const size_t num_parts = num_far_ * kPanelParts;
  RoutingPolicy few = policy;
  few.kind = RoutingPolicy::Kind::kTopK;
  few.max_blocks = static_cast<uint32_t>(NumFarParts(policy));
  ReadLogs(state, 0, num_heads_, read_logs_);
  for (size_t g = 0; g < num_heads_; ++g) read_logs_[g] -= kLog2PartBlocks;  // blocks of a column
  const ScoreRows scores = {super_scores_ + token * num_heads_ * sizes_.supers, sizes_.supers};
  BlockShares(num_heads_, num_parts, scores, read_logs_, shares_);
  ChooseBlocks(few, {shares_, num_parts}, 0, {order_, num_parts}, {far_, DivideUp(num_parts, 64)});
}

uint64_t TileChoice::ScoredColumns(size_t panel) const {
  if (panel >= num_far_) return ~uint64_t{0};
  uint64_t columns = 0;
  for (size_t part = 0; part < kPanelParts; ++part) {
    if (Bit(far_, panel * kPanelParts + part)) columns |= BitsBelow(kPartBlocks) << part * kPartBlocks;
  }
  return columns;
}

// Calls function(slot, first column, columns) for what is scored together: chosen parts
// of far panels, and others whole.
template <typename Function>
void TileChoice::ForScoredParts(const Function& function) const {
  for (size_t slot = 0; slot < num_slots_; ++slot) {
    const size_t panel = panels_[slot];
    if (panel >= num_far_) {
      function(slot, size_t{0}, ColumnsOf(slot));
      continue;
    }
    for (size_t part = 0; part < kPanelParts; ++part) {
      if (Bit(far_, panel * kPanelParts + part)) function(slot, part * kPartBlocks, kPartBlocks);
    }
  }
}

void TileChoice::Choose(const RoutingPolicy& policy, const RotaryAngles& rotary, const QueryTile& tile,
                        size_t first_token, const AttendState& state, const SequencePanels& panels,
                        bool with_bounds) {
  num_tokens_ = tile.num_tokens;
  tile_ = tile;
  const RoutingPolicy::Ranges ranges =
      policy.RangesOf(tile.block(), tile.FirstBlockOfOwn(), panels.num_recalled);
  candidates_begin_ = ranges.begin;
  candidates_end_ = ranges.end;
  sink_begin_ = ranges.sink_begin;
  sink_end_ = ranges.sink_end;
  certain_ = dense_again_ = 0;
  const size_t rows = tile.num_rows(), num_panels = DivideUp(candidates_end_, kPanelBlocks);
  LoadScoreQueries(tile.head_dim, rows, state.queries, score_);

  if (num_far_ > 0) {
    QWEN25_CHECK(num_tokens_ == 1);
    ChooseFarParts(policy, first_token, state);
  }
  num_slots_ = 0;
  for (size_t panel = candidates_begin_ / kPanelBlocks; panel < num_panels; ++panel) {
    if (ScoredColumns(panel) != 0) panels_[num_slots_++] = static_cast<uint32_t>(panel);
  }
  QWEN25_CHECK(num_slots_ <= sizes_.slots);
  ScoreSlots(policy, rotary, tile, state, panels.blocks, with_bounds);
  if (!panels.recalled_tokens.empty()) {
    WeighByTokens(panels.recalled_tokens, scores_);
    if (with_bounds) WeighByTokens(panels.recalled_tokens, bounds_);
  }
  keys_scored_ = 0;
  // Far blocks lie in a file: to read the keys of several times as many would cost more than the choice.
  reranks_ = policy.rerank > 1 && num_far_ == 0;
  if (!reranks_) return ChooseByScores(policy, EnoughShare(policy), state);
  for (size_t row = 0; row < rows; ++row) {
    std::fill_n(again_ + row * sizes_.blocks(), num_slots_ * kPanelBlocks, kNever);
  }
  RoutingPolicy more = policy;
  more.kind = RoutingPolicy::Kind::kTopK;
  more.max_blocks *= policy.rerank;
  ChooseByScores(more, EnoughShare(policy), state);
  for (const uint64_t word : chosen()) keys_scored_ += static_cast<uint64_t>(std::popcount(word));
}

void TileChoice::UseMasses(size_t block, size_t first_token, size_t num_tokens) {
  const auto panel = static_cast<uint32_t>(block / kPanelBlocks);
  const auto slot = static_cast<size_t>(std::ranges::lower_bound(panels(), panel) - panels().begin());
  float* to =
      again_ + first_token * num_heads_ * sizes_.blocks() + slot * kPanelBlocks + block % kPanelBlocks;
  const float log2_keys = std::log2(static_cast<float>(kBlockTokens));
  for (size_t row = 0; row < num_tokens * num_heads_; ++row, to += sizes_.blocks()) {
    // In the units of ScorePanel: the mean exponential of a key. What is not a number is read.
    const float score = masses_[row] - log2_keys;
    *to = score < kGreatestScore ? score : kGreatestScore;
  }
}

void TileChoice::ChooseReranked(const RoutingPolicy& policy, const AttendState& state) {
  std::swap(scores_, again_);
  ChooseByScores(policy, EnoughShare(policy), state);
}

void TileChoice::ChooseByScores(const RoutingPolicy& policy, float enough, const AttendState& state) {
  probes_ = policy.kind == RoutingPolicy::Kind::kTopP && policy.probe_blocks < policy.max_blocks
                ? policy.probe_blocks
                : 0;
  RoutingPolicy first = policy;
  if (probes_ > 0) {
    first.kind = RoutingPolicy::Kind::kTopK;
    first.max_blocks = static_cast<uint32_t>(probes_);
    SaveOutputs(sizes_.head_dim, num_tokens_ * num_heads_, state, snapshot_);
  }
  for (size_t t = 0; t < num_tokens_; ++t) {
    Forbid(scores_, t);
    ReadLogs(state, t * num_heads_, num_heads_, read_logs_);
    const size_t count = num_slots_ * kPanelBlocks;
    const float read_share = BlockShares(num_heads_, count, RowsOf(scores_, t), read_logs_, shares_);
    ForOthers(t, [&](size_t begin, size_t end) { std::fill(shares_ + begin, shares_ + end, -1.0f); });
    const std::span<uint64_t> chosen = {chosen_ + t * num_slots_, num_slots_};
    if (read_share >= enough) {
      std::ranges::fill(chosen, 0);
      token_shares_[t] = read_share;
    } else {
      token_shares_[t] = ChooseBlocks(first, {shares_, count}, read_share, {order_, count}, chosen);
    }
  }
}

void TileChoice::WeighByTokens(std::span<const uint8_t> recalled_tokens, float* scores) const {
  for (size_t slot = 0; slot < num_slots_; ++slot) {
    const size_t first = size_t{panels_[slot]} * kPanelBlocks;
    for (size_t column = 0; first + column < recalled_tokens.size() && column < kPanelBlocks; ++column) {
      const uint8_t count = recalled_tokens[first + column];
      if (count == kBlockTokens) continue;
      const float less = std::log2(static_cast<float>(count) / kBlockTokens);
      float* score = scores + slot * kPanelBlocks + column;
      for (size_t row = 0; row < num_tokens_ * num_heads_; ++row) score[row * sizes_.blocks()] += less;
    }
  }
}

void TileChoice::ScoreSlots(const RoutingPolicy& policy, const RotaryAngles& rotary, const QueryTile& tile,
                            const AttendState& state, const PanelList& blocks, bool with_bounds) {
  const size_t stride = sizes_.blocks();
  // One behind the other, since each is told what follows.
  std::optional<ScoredPanel> waiting;
  size_t at = 0;
  const auto score = [&] {
    ScorePanel(rotary, tile.num_rows(), tile.block(), *waiting, policy.score, state.queries, score_,
               {scores_ + at, stride}, {with_bounds ? bounds_ + at : nullptr, stride});
  };
  ForScoredParts([&](size_t slot, size_t first_column, size_t num_columns) {
    const ScoredPanel part = {.data = blocks[panels_[slot]] + first_column,
                              .first_block = panels_[slot] * kPanelBlocks + first_column,
                              .num_blocks = num_columns};
    if (waiting) {
      waiting->next = part.data;
      waiting->next_blocks = num_columns;
      score();
    }
    waiting = part;
    at = slot * kPanelBlocks + first_column;
  });
  if (waiting) score();
}

// The share of the blocks in `bits`, by the shares of each head.
float TileChoice::ShareOf(ScoreRows shares, const uint64_t* bits) const {
  float sum = 0;
  for (size_t slot = 0; slot < num_slots_; ++slot) {
    for (uint64_t word = bits[slot]; word != 0; word &= word - 1) {
      const size_t i = slot * kPanelBlocks + static_cast<size_t>(std::countr_zero(word));
      for (size_t g = 0; g < num_heads_; ++g) sum += shares.data[g * shares.stride + i];
    }
  }
  return sum;
}

std::span<const uint64_t> TileChoice::AddToProbes(const RoutingPolicy& policy, const AttendState& state) {
  if (probes_ == 0) return {};
  RoutingPolicy others = policy;
  others.max_blocks = policy.max_blocks - probes_;
  const size_t count = num_slots_ * kPanelBlocks;
  for (size_t t = 0; t < num_tokens_; ++t) {
    uint64_t *chosen = chosen_ + t * num_slots_, *added = rest_ + t * num_slots_;
    std::fill_n(added, num_slots_, 0);
    if (std::all_of(chosen, chosen + num_slots_, [](uint64_t word) { return word == 0; })) continue;
    Novelties(sizes_.head_dim, t * num_heads_, num_heads_, snapshot_, state, read_logs_);
    WeighShares(num_heads_, count, RowsOf(scores_, t), read_logs_, shares_);
    ForOthers(t, [&](size_t begin, size_t end) { std::fill(shares_ + begin, shares_ + end, -1.0f); });
    float left = 0;  // by which the output may still change
    for (size_t i = 0; i < count; ++i) {
      if (Bit(chosen, i)) shares_[i] = -1;
      if (!(shares_[i] < 0)) left += shares_[i];
    }
    ChooseBlocks(others, {shares_, count}, 1 - left, {order_, count}, {added, num_slots_});
    token_shares_[t] += ShareOf(RowsOf(scores_, t), added);
    for (size_t i = 0; i < num_slots_; ++i) chosen[i] |= added[i];
  }
  return {rest_, num_tokens_ * num_slots_};
}

// Calls function(begin, end) for the ranges of scored blocks that are no candidates of a token.
template <typename Function>
void TileChoice::ForOthers(size_t token, const Function& function) const {
  for (size_t slot = 0; slot < num_slots_; ++slot) {
    const size_t at = slot * kPanelBlocks, columns = ColumnsOf(slot);
    const uint64_t scored = ScoredColumns(panels_[slot]);
    for (size_t column = 0; column < kPanelBlocks; column += kPartBlocks) {
      if ((scored >> column & 1) == 0) function(at + column, at + column + kPartBlocks);
    }
    if (const size_t before = ColumnsBefore(slot, token); before > 0) function(at, at + before);
    if (const auto [begin, end] = SinkColumns(slot); begin < end) function(at + begin, at + end);
    if (columns < kPanelBlocks) function(at + columns, at + kPanelBlocks);
  }
}

void TileChoice::Forbid(float* scores, size_t token) const {
  const ScoreRows rows = RowsOf(scores, token);
  ForOthers(token, [&](size_t begin, size_t end) {
    for (size_t g = 0; g < num_heads_; ++g) {
      std::fill(rows.data + g * rows.stride + begin, rows.data + g * rows.stride + end, kNever);
    }
  });
}

float TileChoice::CertainShare(size_t token, const AttendState& state) {
  Forbid(bounds_, token);
  const ScoreRows rows = RowsOf(bounds_, token);
  for (size_t i = 0; i < num_slots_ * kPanelBlocks; ++i) {
    if (!Bit(chosen_ + token * num_slots_, i)) continue;
    for (size_t g = 0; g < num_heads_; ++g) rows.data[g * rows.stride + i] = kNever;
  }
  ReadLogs(state, token * num_heads_, num_heads_, read_logs_);
  return BlockShares(num_heads_, num_slots_ * kPanelBlocks, rows, read_logs_, shares_);
}

uint64_t TileChoice::estimated_share() const {
  uint64_t sum = 0;
  for (size_t t = 0; t < num_tokens_; ++t) sum += ShareUnits(token_shares_[t]);
  return sum;
}

std::span<const uint64_t> TileChoice::AddRestWhereNeeded(const RoutingPolicy& policy,
                                                         const AttendState& state) {
  const size_t num_words = num_tokens_ * num_slots_;
  std::fill_n(rest_, num_words, 0);
  bool any = false;
  for (size_t t = 0; t < num_tokens_; ++t) {
    const float certain = CertainShare(t, state);
    if (policy.max_missed >= 1 || 1 - certain <= policy.max_missed) {
      certain_ += ShareUnits(certain);
      continue;
    }
    any = true;
    ++dense_again_;
    certain_ += ShareUnits(1);
    for (size_t slot = 0; slot < num_slots_; ++slot) {
      uint64_t& chosen = chosen_[t * num_slots_ + slot];
      const auto [sink_begin, sink_end] = SinkColumns(slot);
      const uint64_t all = ScoredColumns(panels_[slot]) & BitsBelow(ColumnsOf(slot)) &
                           ~BitsBelow(ColumnsBefore(slot, t)) &
                           ~(BitsBelow(sink_end) & ~BitsBelow(sink_begin));
      rest_[t * num_slots_ + slot] = all & ~chosen;
      chosen |= all;
    }
  }
  return any ? std::span<const uint64_t>(rest_, num_words) : std::span<const uint64_t>();
}

}  // namespace qwen25
