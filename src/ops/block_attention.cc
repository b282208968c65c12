#include "ops/block_attention.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/attention.h"
#include "ops/attention_tasks.h"
#include "ops/self_attention_backward.h"

namespace qwen25 {
namespace {

void CheckShape(const AttentionShape& shape, const RotaryTable& rotary, size_t qkv_rows, size_t qkv_cols,
                const TokenBatch& batch) {
  QWEN25_CHECK(shape.num_kv_heads > 0 && shape.num_heads % shape.num_kv_heads == 0);
  QWEN25_CHECK(shape.head_dim > 0 && shape.head_dim == rotary.head_dim());
  QWEN25_CHECK(qkv_cols == (shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim);
  QWEN25_CHECK(qkv_rows == batch.num_tokens() && batch.positions.size() == batch.num_tokens());
}

// Where keys and values are kept, as FillBlocks and Attend see it: a float32 block to write slots into, which
// Stored() then takes over, and AttendTo() for reading one. `scratch` has room for one (ScratchFloats).

// One kv head of a block, in scratch memory.
KvBlock ScratchBlock(const AttentionShape& shape, float* scratch) {
  return {scratch, kBlockTokens, scratch + shape.head_dim * kBlockTokens};
}

// Float32 blocks that the caller owns.
struct ListedBlocks {
  const AttentionShape& shape;
  std::span<const SequenceKv> kv;

  size_t ScratchFloats() const { return 0; }
  KvBlock Target(size_t sequence, size_t kv_head, size_t block, float*) const {
    auto* data = reinterpret_cast<float*>(kv[sequence].blocks[block]);
    return {data + shape.KeyOffset(kv_head), kBlockTokens, data + shape.ValueOffset(kv_head)};
  }
  void Stored(size_t, size_t, size_t, size_t, size_t, const KvBlock&) const {}
  void AttendTo(const AttentionTask& task, const QueryTile& tile, const RotaryAngles& rotary, size_t block,
                float*, const AttendState& state) const {
    AttendToBlock(tile, rotary, Target(task.sequence, task.kv_head, block, nullptr), block, state);
  }
};

// Float16 blocks that the caller owns.
struct ListedHalfBlocks {
  const AttentionShape& shape;
  std::span<const SequenceKv> kv;

  size_t ScratchFloats() const { return 2 * shape.head_dim * kBlockTokens; }
  KvBlock Target(size_t, size_t, size_t, float* scratch) const { return ScratchBlock(shape, scratch); }
  void Stored(size_t sequence, size_t kv_head, size_t block, size_t first_offset, size_t num_tokens,
              const KvBlock& target) const {
    NarrowSlots(shape.head_dim, first_offset, num_tokens, target, Block(sequence, kv_head, block));
  }
  void AttendTo(const AttentionTask& task, const QueryTile& tile, const RotaryAngles& rotary, size_t block,
                float* scratch, const AttendState& state) const {
    AttendToBlock(tile, rotary, Block(task.sequence, task.kv_head, block), ScratchBlock(shape, scratch),
                  block, state);
  }

 private:
  HalfKvBlock Block(size_t sequence, size_t kv_head, size_t block) const {
    auto* data = reinterpret_cast<uint16_t*>(kv[sequence].blocks[block]);
    return {data + shape.KeyOffset(kv_head), data + shape.ValueOffset(kv_head)};
  }
};

// Calls function(blocks) with the kind of blocks that the shape names.
template <typename Function>
void WithListedBlocks(const AttentionShape& shape, std::span<const SequenceKv> kv, const Function& function) {
  if (shape.kv_format == KvFormat::kFloat32) {
    function(ListedBlocks{shape, kv});
  } else {
    function(ListedHalfBlocks{shape, kv});
  }
}

// Blocks of SelfAttention: those of a sequence one behind the other, the last one cut to 16 tokens, so that
// many short sequences take little memory.
class TemporaryBlocks {
 public:
  // Rows of [2 K D] floats that a batch needs.
  static size_t NumRows(const TokenBatch& batch) {
    return Round(batch.num_tokens()) + kUnit * batch.num_sequences();
  }

  TemporaryBlocks(const AttentionShape& shape, const TokenBatch& batch, float* data)
      : shape_(shape), batch_(batch), data_(data) {}

  size_t ScratchFloats() const { return 0; }
  void Stored(size_t, size_t, size_t, size_t, size_t, const KvBlock&) const {}
  void AttendTo(const AttentionTask& task, const QueryTile& tile, const RotaryAngles& rotary, size_t block,
                float*, const AttendState& state) const {
    AttendToBlock(tile, rotary, Target(task.sequence, task.kv_head, block, nullptr), block, state);
  }
  KvBlock Target(size_t sequence, size_t kv_head, size_t block, float*) const {
    const size_t begin = Start(sequence), length = Start(sequence + 1) - begin;
    const size_t first_token = block * kBlockTokens;
    const size_t stride = Round(std::min(kBlockTokens, length - first_token));
    // Enough behind the sequence before: Round(begin) + Round(length) <= Round(begin + length) + kUnit.
    const size_t first_row = Round(begin) + kUnit * sequence + first_token;
    float* keys = data_ + 2 * shape_.head_dim * (first_row * shape_.num_kv_heads + kv_head * stride);
    return {keys, stride, keys + shape_.head_dim * stride};
  }

 private:
  static constexpr size_t kUnit = 16;
  static size_t Round(size_t tokens) { return (tokens + kUnit - 1) / kUnit * kUnit; }
  size_t Start(size_t sequence) const { return static_cast<size_t>(batch_.sequence_starts[sequence]); }

  const AttentionShape& shape_;
  const TokenBatch& batch_;
  float* data_;
};

// Writes the keys and values of a batch to their blocks.
template <typename Blocks>
void FillBlocks(Execution& execution, const AttentionShape& shape, const RotaryTable& rotary,
                MatrixView<const float> qkv, const TokenBatch& batch, const Blocks& blocks) {
  const AttentionTasks tasks(execution.scratch.Shared(AttentionTasks::NumFloats(batch.num_sequences())),
                             batch, shape.num_kv_heads, kBlockTokens, AttentionTasks::Order::kAscending);
  execution.scratch.ReservePerThread(kBlockTokens * shape.head_dim + blocks.ScratchFloats());
  const RotaryAngles angles = rotary.angles();
  execution.threads.ParallelFor(tasks.size(), [&](size_t index, size_t thread) {
    const AttentionTask task = tasks[index];
    const float* row = qkv.Row(task.first_row);
    float* scratch = execution.scratch.PerThread(thread);
    const size_t block = task.first_position / kBlockTokens,
                 first_offset = task.first_position % kBlockTokens;
    const KvBlock target =
        blocks.Target(task.sequence, task.kv_head, block, scratch + kBlockTokens * shape.head_dim);
    StoreKeysAndValues(angles, {row + shape.KeyColumn(task.kv_head), qkv.stride},
                       {row + shape.ValueColumn(task.kv_head), qkv.stride}, task.num_tokens, first_offset,
                       target, scratch);
    blocks.Stored(task.sequence, task.kv_head, block, first_offset, task.num_tokens, target);
  });
}

// Where attention goes: out [T, H D], log_sums [T, H] or empty.
struct AttendOutput {
  MatrixView<float> out;
  MatrixView<float> log_sums;
};

// Each row of the batch attends to its sequence's blocks. always_visible(sequence): keys that every row sees.
template <typename Blocks, typename AlwaysVisible>
void Attend(Execution& execution, const AttentionShape& shape, const RotaryTable& rotary,
            MatrixView<const float> qkv, const TokenBatch& batch, const Blocks& blocks,
            const AlwaysVisible& always_visible, const AttendOutput& output) {
  const size_t group = shape.HeadsPerGroup(), head_dim = shape.head_dim, rows = RowsPerTile(group);
  const AttentionTasks tasks(execution.scratch.Shared(AttentionTasks::NumFloats(batch.num_sequences())),
                             batch, shape.num_kv_heads, TokensPerTile(group),
                             AttentionTasks::Order::kDescending);
  const size_t state_floats = AttendState::NumFloats(head_dim, rows);
  execution.scratch.ReservePerThread(state_floats + blocks.ScratchFloats());
  const RotaryAngles angles = rotary.angles();
  execution.threads.ParallelFor(tasks.size(), [&](size_t index, size_t thread) {
    const AttentionTask task = tasks[index];
    const QueryTile tile = {.head_dim = head_dim,
                            .num_heads = group,
                            .num_tokens = task.num_tokens,
                            .first_position = task.first_position,
                            .always_visible = always_visible(task.sequence)};
    float* scratch = execution.scratch.PerThread(thread);
    const AttendState state(scratch, head_dim, rows);
    const size_t column = shape.QueryColumn(task.kv_head);
    LoadQueries(tile, angles, {qkv.Row(task.first_row) + column, qkv.stride}, shape.scale, state);
    for (size_t block = 0; block < tile.NumBlocks(); ++block) {
      blocks.AttendTo(task, tile, angles, block, scratch + state_floats, state);
    }
    HeadRows<float> log_sums = {nullptr, 0};
    if (output.log_sums.data != nullptr) {
      log_sums = {output.log_sums.Row(task.first_row) + task.kv_head * group, output.log_sums.stride};
    }
    StoreOutputs(tile, state, {output.out.Row(task.first_row) + column, output.out.stride}, log_sums);
  });
}

}  // namespace

void AppendKv(Execution& execution, const AttentionShape& shape, const RotaryTable& rotary,
              MatrixView<const float> qkv, const TokenBatch& batch, std::span<const SequenceKv> kv) {
  CheckShape(shape, rotary, qkv.rows, qkv.cols, batch);
  QWEN25_CHECK(kv.size() == batch.num_sequences());
  for (size_t s = 0; s < kv.size(); ++s) {
    const size_t end = static_cast<size_t>(batch.sequence_starts[s + 1]);
    if (end == static_cast<size_t>(batch.sequence_starts[s])) continue;
    QWEN25_CHECK(static_cast<size_t>(batch.positions[end - 1]) < kv[s].blocks.size() * kBlockTokens);
  }
  WithListedBlocks(shape, kv,
                   [&](const auto& blocks) { FillBlocks(execution, shape, rotary, qkv, batch, blocks); });
}

Tensor AttendBlocks(Execution& execution, const AttentionShape& shape, const RotaryTable& rotary,
                    AttentionMask mask, const Tensor& qkv, const TokenBatch& batch,
                    std::span<const SequenceKv> kv) {
  CheckShape(shape, rotary, qkv.rows(), qkv.cols(), batch);
  QWEN25_CHECK(kv.size() == batch.num_sequences());
  for (size_t s = 0; s < kv.size(); ++s) {
    const size_t end = static_cast<size_t>(batch.sequence_starts[s + 1]);
    if (end == static_cast<size_t>(batch.sequence_starts[s])) continue;
    QWEN25_CHECK(static_cast<size_t>(batch.positions[end - 1]) < kv[s].num_tokens);
    QWEN25_CHECK(kv[s].num_tokens <= kv[s].blocks.size() * kBlockTokens);
    QWEN25_CHECK(kv[s].num_tokens <= rotary.max_blocks() * kBlockTokens);
  }
  Tensor out = execution.tensors.New(batch.num_tokens(), shape.num_heads * shape.head_dim);
  const auto always_visible = [&](size_t s) {
    return AlwaysVisible(mask, kv[s].num_tokens, kv[s].prefix_length);
  };
  WithListedBlocks(shape, kv, [&](const auto& blocks) {
    Attend(execution, shape, rotary, qkv.view(), batch, blocks, always_visible,
           {.out = out.view(), .log_sums = {}});
  });
  return out;
}

Tensor SelfAttention(Execution& execution, const AttentionShape& shape, const RotaryTable& rotary,
                     AttentionMask mask, const Tensor& qkv, const TokenBatch& batch,
                     std::span<const int32_t> prefix_lengths) {
  CheckShape(shape, rotary, qkv.rows(), qkv.cols(), batch);
  QWEN25_CHECK(prefix_lengths.empty() || prefix_lengths.size() == batch.num_sequences());
  for (size_t s = 0; s < batch.num_sequences(); ++s) {
    const size_t begin = static_cast<size_t>(batch.sequence_starts[s]);
    const size_t end = static_cast<size_t>(batch.sequence_starts[s + 1]);
    QWEN25_CHECK(begin == end || batch.positions[begin] == 0);
    QWEN25_CHECK(end - begin <= rotary.max_blocks() * kBlockTokens);
  }
  Tensor out = execution.tensors.New(batch.num_tokens(), shape.num_heads * shape.head_dim);
  Tensor log_sums =
      execution.tape == nullptr ? Tensor() : execution.tensors.New(batch.num_tokens(), shape.num_heads);
  {
    const Tensor memory =
        execution.tensors.New(TemporaryBlocks::NumRows(batch), 2 * shape.num_kv_heads * shape.head_dim);
    const TemporaryBlocks blocks(shape, batch, memory.data());
    FillBlocks(execution, shape, rotary, qkv.view(), batch, blocks);
    Attend(execution, shape, rotary, qkv.view(), batch, blocks,
           [&](size_t s) { return AlwaysVisible(mask, batch, s, prefix_lengths); },
           {.out = out.view(), .log_sums = log_sums ? log_sums.view() : MatrixView<float>()});
  }
  if (execution.tape != nullptr) {
    execution.tape->Push(
        SelfAttentionRecord{qkv, out, log_sums, shape, &rotary, mask, batch, prefix_lengths});
  }
  return out;
}

}  // namespace qwen25
