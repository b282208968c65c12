// How the keys and values of a batch come into blocks.
#pragma once

#include <cstddef>

#include "kernels/attention.h"
#include "ops/attention/attention_tasks.h"
#include "ops/attention/rotary_table.h"
#include "ops/attention/sequence_kv.h"
#include "ops/execution.h"

namespace qwen25 {

// Writes the keys and values of a batch to their blocks. Call: BlockAttentionCall or SelfAttentionCall.
// Blocks: ListedBlocks, ListedNarrowBlocks or TemporaryBlocks.
template <typename Call, typename Blocks>
void FillBlocks(Execution& execution, const Call& call, const Blocks& blocks) {
  const AttentionShape& shape = call.shape;
  const TokenBatch& batch = call.batch;
  const MatrixView<const float> qkv = call.qkv.view();
  const AttentionTasks tasks(execution.scratch.Shared(AttentionTasks::NumFloats(batch.num_sequences())),
                             batch, shape.num_kv_heads, kBlockTokens, AttentionTasks::Order::kAscending);
  execution.scratch.ReservePerThread(kBlockTokens * shape.head_dim + blocks.ScratchFloats());
  const RotaryAngles angles = call.rotary.angles();
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

}  // namespace qwen25
