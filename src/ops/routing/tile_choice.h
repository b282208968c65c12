// The blocks that the tokens of one tile read: scores, shares and choice, without the attention itself.
//
// Letters as in kernels/block_summary.h. A panel is the summaries of 64 consecutive blocks. A sequence may
// also have summaries of parts of panels (super panels: column j of one is part j of 64). Parts of which
// every block lies at the greatest distance are then chosen first, by these summaries, and only blocks of
// chosen parts are scored: the cost of a choice hardly grows with the length of the history.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "kernels/block_score.h"
#include "ops/routing/layer_routing.h"

namespace qwen25 {

inline constexpr size_t kNoGreatestDistance = SIZE_MAX;

// Panels of one kv head of one sequence: at `pointers` (each at its panel's first kv head), or back to back
// from `base`.
struct PanelList {
  const std::byte* const* pointers = nullptr;
  const uint16_t* base = nullptr;
  size_t offset = 0;  // numbers from a panel's beginning to the kv head
  size_t stride = 0;  // numbers from one panel to the next, from `base`

  const uint16_t* operator[](size_t panel) const {
    return (pointers != nullptr ? reinterpret_cast<const uint16_t*>(pointers[panel])
                                : base + panel * stride) +
           offset;
  }
};

struct SequencePanels {
  PanelList blocks;
  PanelList supers;  // of complete parts
  bool has_supers = false;
  size_t num_recalled = 0;                        // blocks of other sequences, at the list's beginning
  std::span<const uint8_t> recalled_tokens = {};  // as in SequenceKv
};

// The memory that the choices of one call need.
struct ChoiceSizes {
  size_t head_dim;
  size_t heads;         // query heads of a kv head
  size_t tokens, rows;  // of a tile, at most
  size_t slots;         // panels whose blocks are scored for one tile, at most
  size_t supers;        // columns of super panels of a sequence, rounded up to 64; 0: no super panels
  bool reranks;         // whether choices may be reranked

  // `max_distance` in blocks, kNoGreatestDistance without super panels.
  ChoiceSizes(const RoutingPolicy& policy, size_t head_dim, size_t heads, size_t tokens, size_t max_positions,
              size_t max_distance);
  size_t blocks() const { return slots * kPanelBlocks; }
  size_t NumFloats() const;
};

// The choice for one tile, in scratch memory of ChoiceSizes::NumFloats.
class TileChoice {
 public:
  TileChoice(const ChoiceSizes& sizes, float* memory);

  // Starts a tile whose policy leaves a choice; `state` has attended to the blocks that are always read.
  // Returns how many of its tokens choose together: all of them, or one if each looks into parts of far
  // panels of its own choice (together, every part that one of them wants would be scored for all).
  size_t Start(const RoutingPolicy& policy, const RotaryAngles& rotary, const QueryTile& tile,
               const AttendState& state, const SequencePanels& panels);

  // Chooses for that many tokens of the tile that was started, from its token `first_token` on; `tile` and
  // `state` are those of these tokens.
  void Choose(const RoutingPolicy& policy, const RotaryAngles& rotary, const QueryTile& tile,
              size_t first_token, const AttendState& state, const SequencePanels& panels, bool with_bounds);

  // If so, the blocks that Choose left are the best of them by their summaries: the caller scores each by its
  // keys for the tokens that have it, in any order, and calls ChooseReranked before anything is read.
  bool reranks() const { return reranks_; }
  float* masses() { return masses_; }  // [R] for KeyMasses of such tokens
  // Takes over masses() of tokens [first_token, first_token + num_tokens) in `block`.
  void UseMasses(size_t block, size_t first_token, size_t num_tokens);
  void ChooseReranked(const RoutingPolicy& policy, const AttendState& state);
  uint64_t keys_scored() const { return keys_scored_; }  // blocks, summed over the tile's tokens

  size_t num_tokens() const { return num_tokens_; }
  // Panels of the chosen blocks, ascending: bit b of word s of a token is block 64 * panels()[s] + b.
  std::span<const uint32_t> panels() const { return {panels_, num_slots_}; }
  // [tokens, panels().size()]
  std::span<const uint64_t> chosen() const { return {chosen_, num_tokens_ * num_slots_}; }

  // Called after attention over the chosen blocks, which are only the probes if the policy has probes: adds
  // the blocks that it chooses after these. Returns the added blocks, [tokens, panels().size()], or nothing
  // if the policy has no probes.
  std::span<const uint64_t> AddToProbes(const RoutingPolicy& policy, const AttendState& state);

  // Called after attention over the chosen blocks, if Choose was given `with_bounds`: adds the rest to the
  // choice of tokens whose unread blocks may hold more than policy.max_missed. Blocks of far parts that were
  // not scored are not among them. Returns the added blocks, [tokens, panels().size()], or nothing.
  std::span<const uint64_t> AddRestWhereNeeded(const RoutingPolicy& policy, const AttendState& state);

  // Sums over the tile's tokens, for RoutingCounts.
  uint64_t estimated_share() const;
  uint64_t certain_share() const { return certain_; }
  uint64_t dense_again() const { return dense_again_; }

 private:
  void ChooseFarParts(const RoutingPolicy& policy, size_t token, const AttendState& state);
  // Chooses by the scores, which become shares. A token whose share of the attention read so far is at least
  // `enough` gets no block.
  void ChooseByScores(const RoutingPolicy& policy, float enough, const AttendState& state);
  void ScoreSlots(const RoutingPolicy& policy, const RotaryAngles& rotary, const QueryTile& tile,
                  const AttendState& state, const PanelList& blocks, bool with_bounds);
  // The columns of a panel that are scored, as bits.
  uint64_t ScoredColumns(size_t panel) const;
  template <typename Function>
  void ForScoredParts(const Function& function) const;
  // Corrects scores for blocks of which fewer than 64 tokens count, which summaries do not know.
  void WeighByTokens(std::span<const uint8_t> recalled_tokens, float* scores) const;
  size_t ColumnsOf(size_t slot) const;  // of a panel, up to the last candidate
  // Columns of a panel before the first candidate of a token, whose window may begin behind that of others.
  size_t ColumnsBefore(size_t slot, size_t token) const;
  // Sinks among a panel's columns: [first, second).
  std::pair<size_t, size_t> SinkColumns(size_t slot) const;
  template <typename Function>
  void ForOthers(size_t token, const Function& function) const;
  void Forbid(float* scores, size_t token) const;  // blocks that are not candidates of a token
  float ShareOf(ScoreRows shares, const uint64_t* bits) const;
  float CertainShare(size_t token, const AttendState& state);
  ScoreRows RowsOf(float* scores, size_t token) const {
    return {scores + token * num_heads_ * sizes_.blocks(), sizes_.blocks()};
  }

  const ChoiceSizes sizes_;
  BlockScoreState score_;
  AttendSnapshot snapshot_;
  float* token_shares_;       // [tokens] of what is read, by estimate
  float *scores_, *bounds_;   // [R, blocks]
  float* super_scores_;       // [R, supers]
  float* again_;              // [R, blocks] scores by keys, of reranked blocks
  float* masses_;             // [R]
  float* shares_;             // [blocks or supers]
  float* read_logs_;          // [G]
  uint32_t* order_;           // [blocks or supers]
  uint32_t* panels_;          // [slots]
  uint64_t *chosen_, *rest_;  // [tokens, slots]
  uint64_t* far_;             // [supers / 64] chosen parts of far panels

  size_t num_tokens_ = 0, num_heads_ = 0, num_slots_ = 0;
  QueryTile tile_ = {};
  size_t candidates_begin_ = 0, candidates_end_ = 0;
  size_t num_far_ = 0;  // the first panels, of which chosen parts are scored
  size_t sink_begin_ = 0, sink_end_ = 0;
  size_t probes_ = 0;
  bool reranks_ = false;
  uint64_t keys_scored_ = 0;
  uint64_t certain_ = 0, dense_again_ = 0;
};

}  // namespace qwen25
