#include "ops/attention/self_attention.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "kernels/attention.h"
#include "kernels/elementwise.h"
#include "ops/attention/attention_tasks.h"
#include "ops/attention/batch_attention.h"
#include "ops/attention/fill_blocks.h"
#include "ops/attention/temporary_blocks.h"
#include "ops/row_tasks.h"

namespace qwen25 {
namespace {

size_t LongestSequence(const TokenBatch& batch) {
  int32_t longest = 1;
  for (size_t s = 0; s < batch.num_sequences(); ++s) {
    longest = std::max(longest, batch.sequence_starts[s + 1] - batch.sequence_starts[s]);
  }
  return static_cast<size_t>(longest);
}

void CheckWholeSequences(const SelfAttentionCall& call) {
  const TokenBatch& batch = call.batch;
  QWEN25_CHECK(call.prefix_lengths.empty() || call.prefix_lengths.size() == batch.num_sequences());
  for (size_t s = 0; s < batch.num_sequences(); ++s) {
    const size_t begin = static_cast<size_t>(batch.sequence_starts[s]);
    const size_t end = static_cast<size_t>(batch.sequence_starts[s + 1]);
    QWEN25_CHECK(begin == end || batch.positions[begin] == 0);
    QWEN25_CHECK(end - begin <= call.rotary.max_blocks() * kBlockTokens);
  }
}

// Routing that reads everything and that nobody watches is none.
std::span<const LayerRouting> UsefulRouting(std::span<const LayerRouting> routing) {
  const auto is_useful = [](const LayerRouting& one) {
    return one.counts != nullptr || one.trace != nullptr || one.policy.kind != RoutingPolicy::Kind::kDense;
  };
  return std::ranges::any_of(routing, is_useful) ? routing : std::span<const LayerRouting>();
}

// Fills temporary blocks, which are gone when this returns, and attends to them.
void AttendToTemporaryBlocks(Execution& execution, const SelfAttentionCall& call,
                             const AttendOutput& output) {
  const AttentionShape& shape = call.shape;
  const Tensor memory =
      execution.tensors.New(TemporaryBlocks::NumRows(call.batch), 2 * shape.num_kv_heads * shape.head_dim);
  Tensor panels;
  if (!call.routing.empty()) {
    panels =
        execution.tensors.New(TemporaryBlocks::NumPanels(call.batch), shape.BytesPerPanel() / sizeof(float));
  }
  const TemporaryBlocks blocks(shape, call.batch, memory.data(),
                               panels ? reinterpret_cast<uint16_t*>(panels.data()) : nullptr);
  FillBlocks(execution, call, blocks);
  const auto always_visible = [&](size_t s) {
    return AlwaysVisible(call.mask, call.batch, s, call.prefix_lengths);
  };
  BatchAttention(execution, call, blocks, always_visible, output).Run();
}

// The gradients of one batch. Sums over queries (dk, dv) run over tiles in ascending order, sums over keys
// (dq) over blocks in ascending order, in one pass as in two, so that the bits do not depend on the number of
// threads.
class SelfAttentionBackward {
 public:
  SelfAttentionBackward(Execution& execution, const SelfAttentionRecord& record,
                        MatrixView<const float> deltas, MatrixView<float> dqkv)
      : execution_(execution),
        record_(record),
        shape_(record.call.shape),
        batch_(record.call.batch),
        angles_(record.call.rotary.angles()),
        deltas_(deltas),
        dqkv_(dqkv),
        key_floats_(KeyGradState::NumFloats(shape_.head_dim)),
        rows_(RowsPerTile(shape_.HeadsPerGroup())),
        tokens_per_tile_(TokensPerTile(shape_.HeadsPerGroup())) {
    execution.scratch.ReservePerThread(key_floats_ + QueryGradState::NumFloats(shape_.head_dim, rows_));
  }

  void Run() {
    if (SharesWellByHead()) {
      const size_t num_heads = shape_.num_kv_heads;
      execution_.threads.ParallelFor(batch_.num_sequences() * num_heads, [&](size_t task, size_t thread) {
        const size_t sequence = task / num_heads;
        for (size_t block = 0; block * kBlockTokens < Length(sequence); ++block) {
          KeyPass(sequence, task % num_heads, block, PartsOf(block, true, true), thread);
        }
      });
      return;
    }
    const size_t list_floats = AttentionTasks::NumFloats(batch_.num_sequences());
    float* memory = execution_.scratch.Shared(2 * list_floats);
    const AttentionTasks key_blocks(memory, batch_, shape_.num_kv_heads, kBlockTokens,
                                    AttentionTasks::Order::kAscending);
    const AttentionTasks query_tiles(memory + list_floats, batch_, shape_.num_kv_heads, tokens_per_tile_,
                                     AttentionTasks::Order::kDescending);
    // Blocks before tiles: their tasks are larger.
    execution_.threads.ParallelFor(key_blocks.size() + query_tiles.size(), [&](size_t index, size_t thread) {
      if (index < key_blocks.size()) {
        const AttentionTask task = key_blocks[index];
        KeyPass(task.sequence, task.kv_head, task.first_position / kBlockTokens, PartsOf(0, true, false),
                thread);
      } else {
        QueryPass(query_tiles[index - key_blocks.size()], thread);
      }
    });
  }

 private:
  bool HasWindow() const { return shape_.window != kNoWindow; }
  // Block 0 writes the gradients of queries and further blocks add to them. With a window not every row sees
  // block 0, so that their gradients are zeroed before the first block of their tile.
  BackwardParts PartsOf(size_t block, bool keys, bool queries) const {
    return {.keys = keys, .queries = queries, .writes_queries = block == 0 && !HasWindow()};
  }
  size_t Start(size_t sequence) const { return static_cast<size_t>(batch_.sequence_starts[sequence]); }
  size_t Length(size_t sequence) const { return Start(sequence + 1) - Start(sequence); }
  size_t AlwaysVisibleIn(size_t sequence) const {
    return AlwaysVisible(record_.call.mask, batch_, sequence, record_.call.prefix_lengths);
  }

  // One pass shares the work by sequence and kv head. Two passes share it by blocks and tiles, and compute
  // the scores and do v^T twice: 7 products instead of 5. One pass is faster where no task is larger than
  // 7/5 of a thread's share.
  bool SharesWellByHead() const {
    double total = 0, greatest = 0;
    for (size_t s = 0; s < batch_.num_sequences(); ++s) {
      const double work = static_cast<double>(Length(s)) * static_cast<double>(Length(s));
      total += work * static_cast<double>(shape_.num_kv_heads);
      greatest = std::max(greatest, work);
    }
    return greatest * static_cast<double>(execution_.threads.num_threads()) <= 1.4 * total;
  }

  QueryTile TileAt(size_t sequence, size_t first_position) const {
    return {.head_dim = shape_.head_dim,
            .num_heads = shape_.HeadsPerGroup(),
            .num_tokens = std::min(tokens_per_tile_, Length(sequence) - first_position),
            .first_position = first_position,
            .always_visible = AlwaysVisibleIn(sequence),
            .window = shape_.window};
  }
  KeyGradState KeyState(size_t thread) const {
    return KeyGradState(execution_.scratch.PerThread(thread), shape_.head_dim);
  }
  QueryGradState QueryState(size_t thread) const {
    return QueryGradState(execution_.scratch.PerThread(thread) + key_floats_, shape_.head_dim, rows_);
  }

  size_t LoadBlock(size_t sequence, size_t kv_head, size_t block, const KeyGradState& state) const {
    const size_t num_tokens = std::min(kBlockTokens, Length(sequence) - block * kBlockTokens);
    const MatrixView<float> qkv = record_.call.qkv.view();
    const float* row = qkv.Row(Start(sequence) + block * kBlockTokens);
    LoadKeyBlock(angles_, {row + shape_.KeyColumn(kv_head), qkv.stride},
                 {row + shape_.ValueColumn(kv_head), qkv.stride}, num_tokens, state);
    return num_tokens;
  }
  void LoadTile(const QueryTile& tile, size_t row, size_t kv_head, const QueryGradState& state) const {
    const MatrixView<float> qkv = record_.call.qkv.view(), dout = record_.out.grad_view(),
                            log_sums = record_.log_sums.view();
    const size_t column = shape_.QueryColumn(kv_head), head = kv_head * shape_.HeadsPerGroup();
    LoadQueryGradients(tile, angles_, {qkv.Row(row) + column, qkv.stride}, shape_.scale,
                       {dout.Row(row) + column, dout.stride}, {log_sums.Row(row) + head, log_sums.stride},
                       {deltas_.Row(row) + head, deltas_.stride}, state);
  }
  HeadRows<float> QueryGradients(size_t row, size_t kv_head) const {
    return {dqkv_.Row(row) + shape_.QueryColumn(kv_head), dqkv_.stride};
  }

  // Calls function(first_token, num_tokens) for the runs of a tile's tokens that read a block.
  template <typename Function>
  void ForReaders(const QueryTile& tile, size_t row, size_t kv_head, size_t block,
                  const Function& function) const {
    const ReadBlocks& read = record_.read;
    if (read.data == nullptr && !record_.call.head_weights) {
      function(0, tile.num_tokens);
      return;
    }
    ForRuns(
        tile.num_tokens,
        [&](size_t t) {
          if (!Runs(row + t, kv_head)) return false;
          return read.data == nullptr || (read.Row(row + t, kv_head)[block / 64] >> (block % 64) & 1) != 0;
        },
        function);
  }
  bool Runs(size_t row, size_t kv_head) const {
    return !record_.call.head_weights || record_.call.head_weights.view().Row(row)[kv_head] != 0;
  }
  // Zeroes dq of the tokens that no block writes it of: of heads that did not run, or with a window all.
  void ClearOthers(const QueryTile& tile, size_t row, size_t kv_head) const {
    const HeadRows<float> gradients = QueryGradients(row, kv_head);
    for (size_t t = 0; t < tile.num_tokens; ++t) {
      if (!HasWindow() && Runs(row + t, kv_head)) continue;
      std::fill_n(gradients.data + t * gradients.stride, tile.num_heads * tile.head_dim, 0.0f);
    }
  }

  // One key block against all tiles that see it.
  void KeyPass(size_t sequence, size_t kv_head, size_t block, BackwardParts parts, size_t thread) const {
    const KeyGradState key_state = KeyState(thread);
    const QueryGradState query_state = QueryState(thread);
    const size_t num_tokens = LoadBlock(sequence, kv_head, block, key_state);
    const size_t first_key = block * kBlockTokens;
    const size_t first_query = first_key < AlwaysVisibleIn(sequence) ? 0 : first_key;
    for (size_t position = first_query; position < Length(sequence); position += tokens_per_tile_) {
      const QueryTile tile = TileAt(sequence, position);
      if (block < tile.FirstBlock()) break;     // nor do later tiles see it
      if (block >= tile.NumBlocks()) continue;  // with a window alone
      const size_t row = Start(sequence) + position;
      if (parts.queries && block == tile.FirstBlock()) ClearOthers(tile, row, kv_head);
      ForReaders(tile, row, kv_head, block, [&](size_t first, size_t count) {
        const QueryTile run = TileOfRun(tile, first, count);
        LoadTile(run, row + first, kv_head, query_state);
        BackwardBlock(run, angles_, block, parts, key_state, query_state,
                      QueryGradients(row + first, kv_head));
      });
      if (parts.queries && block + 1 == tile.NumBlocks()) {
        FinishQueryGradients(tile, angles_, shape_.scale, QueryGradients(row, kv_head));
      }
    }
    float* row = dqkv_.Row(Start(sequence) + first_key);
    StoreKeyGradients(angles_, num_tokens, key_state, {row + shape_.KeyColumn(kv_head), dqkv_.stride},
                      {row + shape_.ValueColumn(kv_head), dqkv_.stride});
  }

  // One tile against all blocks that it sees, for dq only.
  void QueryPass(const AttentionTask& task, size_t thread) const {
    const KeyGradState key_state = KeyState(thread);
    const QueryGradState query_state = QueryState(thread);
    const QueryTile tile = TileAt(task.sequence, task.first_position);
    const HeadRows<float> dqueries = QueryGradients(task.first_row, task.kv_head);
    ClearOthers(tile, task.first_row, task.kv_head);
    LoadTile(tile, task.first_row, task.kv_head, query_state);
    for (size_t block = tile.FirstBlock(); block < tile.NumBlocks(); ++block) {
      bool loaded = false;
      ForReaders(tile, task.first_row, task.kv_head, block, [&](size_t first, size_t count) {
        if (!std::exchange(loaded, true)) LoadBlock(task.sequence, task.kv_head, block, key_state);
        BackwardBlock(TileOfRun(tile, first, count), angles_, block, PartsOf(block, false, true), key_state,
                      query_state.FromRow(first * tile.num_heads, tile.head_dim),
                      QueryGradients(task.first_row + first, task.kv_head));
      });
    }
    FinishQueryGradients(tile, angles_, shape_.scale, dqueries);
  }

  Execution& execution_;
  const SelfAttentionRecord& record_;
  const AttentionShape& shape_;
  const TokenBatch& batch_;
  const RotaryAngles angles_;
  const MatrixView<const float> deltas_;  // [T, H] sum over d of out * dout
  const MatrixView<float> dqkv_;          // written, every element once
  const size_t key_floats_;
  const size_t rows_, tokens_per_tile_;
};

}  // namespace

Tensor SelfAttention(Execution& execution, const SelfAttentionCall& given) {
  CheckCall(given);
  CheckWholeSequences(given);
  SelfAttentionCall call = given;
  call.routing = UsefulRouting(given.routing);
  const AttentionShape& shape = call.shape;
  const size_t num_tokens = call.batch.num_tokens();
  const bool records = execution.tape != nullptr;
  Tensor out = execution.tensors.New(num_tokens, shape.num_heads * shape.head_dim);
  Tensor log_sums = records ? execution.tensors.New(num_tokens, shape.num_heads) : Tensor();
  ReadBlocks read = {.num_kv_heads = shape.num_kv_heads,
                     .words = (LongestSequence(call.batch) + 64 * kBlockTokens - 1) / (64 * kBlockTokens)};
  Tensor read_memory;
  if (records && !call.routing.empty()) {
    read_memory = execution.tensors.New(num_tokens, 2 * read.num_kv_heads * read.words);
    read.data = reinterpret_cast<uint64_t*>(read_memory.data());
    std::fill_n(read.data, num_tokens * read.num_kv_heads * read.words, 0);
  }
  AttendToTemporaryBlocks(
      execution, call,
      {.out = out.view(), .log_sums = log_sums ? log_sums.view() : MatrixView<float>(), .read = read});
  if (records) {
    execution.tape->Push(SelfAttentionRecord{std::move(call), out, log_sums, read_memory, read});
  }
  return out;
}

void SelfAttentionRecord::Backward(Execution& execution) {
  QWEN25_CHECK(out.grad() != nullptr);
  const AttentionShape& shape = call.shape;
  const Tensor& qkv = call.qkv;
  const size_t num_rows = qkv.rows();
  const Tensor deltas = execution.tensors.New(num_rows, shape.num_heads);
  ForRows(execution.threads, num_rows, [&](size_t begin, size_t end, size_t) {
    for (size_t t = begin; t < end; ++t) {
      OutputDots(shape.head_dim, shape.num_heads, out.view().Row(t), out.grad_view().Row(t),
                 deltas.view().Row(t));
    }
  });
  const bool add = !qkv.MakeGrad();
  const Tensor fresh = add ? execution.tensors.New(num_rows, qkv.cols()) : Tensor();
  SelfAttentionBackward(execution, *this, deltas.view(), add ? fresh.view() : qkv.grad_view()).Run();
  if (add) {
    ForRows(execution.threads, num_rows, [&](size_t begin, size_t end, size_t) {
      AddOrCopy(fresh.view().Row(begin), (end - begin) * qkv.cols(), true, qkv.grad_view().Row(begin));
    });
  }
  out.FreeGrad();
}

}  // namespace qwen25
