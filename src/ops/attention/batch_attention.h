// Attention of a batch: tiles of queries over the blocks of their sequences, shared among threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "kernels/attention.h"
#include "ops/attention/attention_tasks.h"
#include "ops/attention/rotary_table.h"
#include "ops/attention/routed_attention.h"
#include "ops/attention/sequence_kv.h"
#include "ops/execution.h"

namespace qwen25 {

// Aborts if the parts of a call do not fit together. Call: BlockAttentionCall or SelfAttentionCall.
template <typename Call>
void CheckCall(const Call& call) {
  const AttentionShape& shape = call.shape;
  QWEN25_CHECK(shape.num_kv_heads > 0 && shape.num_heads % shape.num_kv_heads == 0);
  QWEN25_CHECK(shape.head_dim > 0 && shape.head_dim == call.rotary.head_dim());
  QWEN25_CHECK(call.qkv.cols() == (shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim);
  QWEN25_CHECK(call.qkv.rows() == call.batch.num_tokens());
  QWEN25_CHECK(call.batch.positions.size() == call.batch.num_tokens());
  QWEN25_CHECK(call.routing.size() <= 1 || call.routing.size() == call.batch.num_sequences());
  if (!call.head_weights) return;
  QWEN25_CHECK(call.head_weights.rows() == call.batch.num_tokens());
  QWEN25_CHECK(call.head_weights.cols() == shape.num_kv_heads);
}

// Results of attention: out [T, H D], log_sums [T, H] or empty, and the blocks that each routed row read.
struct AttendOutput {
  MatrixView<float> out;
  MatrixView<float> log_sums;
  ReadBlocks read = {};  // zeros, or without memory
};

// One batch that attends to its sequences' blocks. Call as in CheckCall; Blocks as in FillBlocks.
// always_visible(sequence): keys that every row sees. All that the constructor is given is used until Run()
// ends.
template <typename Call, typename Blocks, typename AlwaysVisible>
class BatchAttention {
 public:
  BatchAttention(Execution& execution, const Call& call, const Blocks& blocks,
                 const AlwaysVisible& always_visible, const AttendOutput& output)
      : execution_(execution),
        shape_(call.shape),
        angles_(call.rotary.angles()),
        qkv_(call.qkv.view()),
        batch_(call.batch),
        blocks_(blocks),
        always_visible_(always_visible),
        routing_(call.routing),
        head_weights_(call.head_weights),
        output_(output),
        rows_(RowsPerTile(shape_.HeadsPerGroup())),
        state_floats_(AttendState::NumFloats(shape_.head_dim, rows_)),
        sizes_(Widest(routing_), shape_.head_dim, shape_.HeadsPerGroup(),
               TokensPerTile(shape_.HeadsPerGroup()), PositionsOfChoice(), GreatestDistance(call.rotary)) {}

  void Run() {
    const size_t group = shape_.HeadsPerGroup();
    const AttentionTasks tasks(execution_.scratch.Shared(AttentionTasks::NumFloats(batch_.num_sequences())),
                               batch_, shape_.num_kv_heads, TokensPerTile(group),
                               AttentionTasks::Order::kDescending);
    const size_t routed_floats = routing_.empty() ? 0 : sizes_.NumFloats();
    execution_.scratch.ReservePerThread(state_floats_ + blocks_.ScratchFloats() + routed_floats);
    execution_.threads.ParallelFor(tasks.size(),
                                   [&](size_t index, size_t thread) { AttendTask(tasks[index], thread); });
  }

 private:
  // The policy whose choices need the most room.
  static RoutingPolicy Widest(std::span<const LayerRouting> routing) {
    RoutingPolicy widest = {.far_panels = 0};
    for (const LayerRouting& one : routing) {
      widest.far_panels = std::max(widest.far_panels, one.policy.far_panels);
      widest.rerank = std::max(widest.rerank, one.policy.rerank);
    }
    return widest;
  }

  // Positions that the candidates of a tile span at most. Those of a window begin and end within a panel.
  size_t PositionsOfChoice() const {
    constexpr size_t kPanelTokens = kPanelBlocks * kBlockTokens;
    const size_t all =
        batch_.positions.empty() ? 1 : static_cast<size_t>(*std::ranges::max_element(batch_.positions)) + 1;
    return shape_.window >= all ? all : std::min(all, shape_.window + 2 * kPanelTokens);
  }

  // The distance from which on panels are chosen by super summaries; none if a sequence lacks these, or if a
  // window bounds the choice anyway.
  size_t GreatestDistance(const RotaryTable& rotary) const {
    if (!rotary.clamps() || shape_.window != kNoWindow) return kNoGreatestDistance;
    for (size_t s = 0; s < batch_.num_sequences(); ++s) {
      if (blocks_.HasPanels(s) && !blocks_.Panels(s, 0).has_supers) return kNoGreatestDistance;
    }
    return rotary.max_blocks();
  }

  QueryTile TileOf(const AttentionTask& task) const {
    return {.head_dim = shape_.head_dim,
            .num_heads = shape_.HeadsPerGroup(),
            .num_tokens = task.num_tokens,
            .first_position = task.first_position,
            .always_visible = always_visible_(task.sequence),
            .window = shape_.window};
  }

  // The tokens of a task for which its heads run.
  void AttendTask(const AttentionTask& task, size_t thread) const {
    if (!head_weights_) return Attend(task, thread);
    const auto runs = [&](size_t t) {
      return head_weights_.view().Row(task.first_row + t)[task.kv_head] != 0;
    };
    const auto part = [&](size_t first, size_t count) {
      AttentionTask run = task;
      run.first_row += first;
      run.first_position += first;
      run.num_tokens = count;
      return run;
    };
    ForRuns(task.num_tokens, runs, [&](size_t first, size_t count) { Attend(part(first, count), thread); });
    ForRuns(
        task.num_tokens, [&](size_t t) { return !runs(t); },
        [&](size_t first, size_t count) { Skip(part(first, count)); });
  }

  void Skip(const AttentionTask& task) const {
    const size_t width = shape_.HeadsPerGroup() * shape_.head_dim, column = shape_.QueryColumn(task.kv_head);
    for (size_t t = 0; t < task.num_tokens; ++t) {
      const size_t row = task.first_row + t;
      std::fill_n(output_.out.Row(row) + column, width, 0.0f);
      if (output_.log_sums.data == nullptr) continue;
      std::fill_n(output_.log_sums.Row(row) + task.kv_head * shape_.HeadsPerGroup(), shape_.HeadsPerGroup(),
                  0.0f);
    }
    const QueryTile tile = TileOf(task);
    Count(task, tile, NumSeen(tile));
  }

  void Attend(const AttentionTask& task, size_t thread) const {
    const size_t group = shape_.HeadsPerGroup(), column = shape_.QueryColumn(task.kv_head);
    const QueryTile tile = TileOf(task);
    float* scratch = execution_.scratch.PerThread(thread);
    const AttendState state(scratch, shape_.head_dim, rows_);
    LoadQueries(tile, angles_, {qkv_.Row(task.first_row) + column, qkv_.stride}, shape_.scale, state);
    float* block_scratch = scratch + state_floats_;
    blocks_.StartTask(block_scratch);
    if (!Routes(task, tile)) {
      for (size_t block = tile.FirstBlock(), end = tile.NumBlocks(); block < end; ++block) {
        const size_t next = block + 1 < end ? block + 1 : kNoBlock;
        blocks_.AttendTo(task, tile, angles_, block, next, block_scratch, state);
      }
      NoteDense(task, tile);
    } else {
      TileChoice choice(sizes_, block_scratch + blocks_.ScratchFloats());
      AttendRouted(
          *RoutingOf(routing_, task.sequence), angles_, tile, state,
          blocks_.Panels(task.sequence, task.kv_head),
          [&](const QueryTile& part, size_t block, size_t next, const AttendState& part_state) {
            blocks_.AttendTo(task, part, angles_, block, next, block_scratch, part_state);
          },
          [&](const QueryTile& part, size_t block, size_t next, const AttendState& part_state,
              float* masses) {
            blocks_.ScoreKeys(task, part, angles_, block, next, block_scratch, part_state, masses);
          },
          [&](size_t first_token) { NoteRouted(task, tile, first_token, choice); }, choice);
      Count(task, tile, NumSeen(tile));
    }
    HeadRows<float> log_sums = {nullptr, 0};
    if (output_.log_sums.data != nullptr) {
      log_sums = {output_.log_sums.Row(task.first_row) + task.kv_head * group, output_.log_sums.stride};
    }
    StoreOutputs(tile, state, {output_.out.Row(task.first_row) + column, output_.out.stride}, log_sums);
  }

  bool Routes(const AttentionTask& task, const QueryTile& tile) const {
    const LayerRouting* routing = RoutingOf(routing_, task.sequence);
    return routing != nullptr && tile.always_visible == 0 && blocks_.HasPanels(task.sequence) &&
           routing->policy.RangesOf(tile.block(), tile.FirstBlockOfOwn(), blocks_.NumRecalled(task.sequence))
               .HasChoice();
  }
  // Blocks that the tokens of a tile see, summed over them.
  static uint64_t NumSeen(const QueryTile& tile) {
    uint64_t count = tile.NumBlocks() * tile.num_tokens;
    if (tile.window == kNoWindow) return count;
    for (size_t t = 0; t < tile.num_tokens; ++t) count -= tile.Hidden(t) / kBlockTokens;
    return count;
  }

  // Tells counts, trace and output what a tile read.
  void NoteDense(const AttentionTask& task, const QueryTile& tile) const {
    const LayerRouting* routing = RoutingOf(routing_, task.sequence);
    if (routing == nullptr) return;
    const uint64_t blocks = NumSeen(tile);
    Count(task, tile, blocks);
    if (routing->counts != nullptr) routing->counts->blocks_read += blocks;
    ForReadRows(task, tile, [&](size_t, std::span<uint64_t> row) {
      AddBlocks(tile.FirstBlock(), tile.NumBlocks(), row);
    });
  }
  // The same for the tokens from `first_token` on that chose together.
  void NoteRouted(AttentionTask task, const QueryTile& tile, size_t first_token,
                  const TileChoice& choice) const {
    const std::span<const uint32_t> panels = choice.panels();
    task.first_row += first_token;
    const QueryTile part = TileOfRun(tile, first_token, choice.num_tokens());
    const RoutingPolicy& policy = RoutingOf(routing_, task.sequence)->policy;
    ForReadRows(task, part, [&](size_t t, std::span<uint64_t> row) {
      for (size_t i = 0; i < panels.size(); ++i) row[panels[i]] = choice.chosen()[t * panels.size() + i];
      const RoutingPolicy::Ranges ranges =
          policy.RangesOf(tile.block(), tile.FirstBlockOfOwn(), blocks_.NumRecalled(task.sequence));
      AddBlocks(ranges.sink_begin, ranges.sink_end, row);
      AddBlocks(ranges.end, tile.NumBlocks(), row);
    });
  }
  void Count(const AttentionTask& task, const QueryTile& tile, uint64_t blocks_visible) const {
    const LayerRouting* routing = RoutingOf(routing_, task.sequence);
    if (routing == nullptr || routing->counts == nullptr) return;
    routing->counts->rows += tile.num_tokens;
    routing->counts->blocks_visible += blocks_visible;
  }
  static void AddBlocks(size_t begin, size_t end, std::span<uint64_t> row) {
    for (size_t block = begin; block < end; ++block) row[block / 64] |= uint64_t{1} << (block % 64);
  }
  // Calls function(token of the tile, row) for each row of bits that output or trace want.
  template <typename Function>
  void ForReadRows(const AttentionTask& task, const QueryTile& tile, const Function& function) const {
    const LayerRouting& routing = *RoutingOf(routing_, task.sequence);
    const bool traces = routing.trace != nullptr && (routing_.size() > 1 || task.sequence == 0);
    for (size_t t = 0; t < tile.num_tokens; ++t) {
      if (output_.read.data != nullptr) function(t, output_.read.Row(task.first_row + t, task.kv_head));
      if (traces) function(t, routing.trace->Row(routing.layer, task.kv_head, tile.first_position + t));
    }
  }

  Execution& execution_;
  const AttentionShape& shape_;
  const RotaryAngles angles_;
  const MatrixView<const float> qkv_;
  const TokenBatch& batch_;
  const Blocks& blocks_;
  const AlwaysVisible& always_visible_;
  const std::span<const LayerRouting> routing_;
  const Tensor& head_weights_;
  const AttendOutput& output_;
  const size_t rows_, state_floats_;
  const ChoiceSizes sizes_;
};

}  // namespace qwen25
