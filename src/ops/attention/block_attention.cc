#include "ops/attention/block_attention.h"

#include "base/check.h"
#include "base/clock.h"
#include "ops/attention/batch_attention.h"
#include "ops/attention/fill_blocks.h"
#include "ops/attention/listed_blocks.h"

namespace qwen25 {
namespace {

// Summarises the parts of panels whose last block is one of [first_block, end_block).
void SummarizeParts(const AttentionShape& shape, const SequenceKv& kv, size_t first_block, size_t end_block) {
  if (kv.super_summaries.empty()) return;
  const ListedKv listed = {shape, {&kv, 1}};
  for (size_t part = first_block / kPartBlocks; part < end_block / kPartBlocks; ++part) {
    for (size_t kv_head = 0; kv_head < shape.num_kv_heads; ++kv_head) {
      SummarizePart(shape.head_dim, listed.Panel(kv.summaries, kv_head, part / kPanelParts),
                    part % kPanelParts * kPartBlocks, part % kPanelBlocks,
                    listed.Panel(kv.super_summaries, kv_head, part / kPanelBlocks));
    }
  }
}

// Summarises the parts of panels that the batch completed. Rare and small: one in 1,024 tokens.
void FillSuperPanels(const AttentionShape& shape, const TokenBatch& batch, std::span<const SequenceKv> kv) {
  for (size_t s = 0; s < kv.size(); ++s) {
    const size_t begin = static_cast<size_t>(batch.sequence_starts[s]);
    const size_t end = static_cast<size_t>(batch.sequence_starts[s + 1]);
    if (begin == end) continue;
    SummarizeParts(shape, kv[s], static_cast<size_t>(batch.positions[begin]) / kBlockTokens,
                   (static_cast<size_t>(batch.positions[end - 1]) + 1) / kBlockTokens);
  }
}

// The time of a call, shared among its sequences by their tokens.
void CountTime(std::span<const LayerRouting> routing, const TokenBatch& batch, double seconds) {
  for (size_t s = 0; s < batch.num_sequences(); ++s) {
    RoutingCounts* const counts = RoutingOf(routing, s)->counts;
    if (counts == nullptr) continue;
    const double share = static_cast<double>(batch.sequence_starts[s + 1] - batch.sequence_starts[s]) /
                         static_cast<double>(batch.num_tokens());
    counts->nanoseconds += static_cast<uint64_t>(seconds * share * 1e9);
  }
}

}  // namespace

void AppendKv(Execution& execution, const BlockAttentionCall& call) {
  CheckCall(call);
  QWEN25_CHECK(call.kv.size() == call.batch.num_sequences());
  for (size_t s = 0; s < call.kv.size(); ++s) {
    const size_t end = static_cast<size_t>(call.batch.sequence_starts[s + 1]);
    if (end == static_cast<size_t>(call.batch.sequence_starts[s])) continue;
    QWEN25_CHECK(static_cast<size_t>(call.batch.positions[end - 1]) <
                 call.kv[s].blocks.size() * kBlockTokens);
  }
  WithListedBlocks(call.shape, call.kv, [&](const auto& blocks) { FillBlocks(execution, call, blocks); });
  FillSuperPanels(call.shape, call.batch, call.kv);
}

void SummarizeBlocks(Execution& execution, const AttentionShape& shape, const SequenceKv& kv, size_t first,
                     size_t end) {
  if (kv.summaries.empty() || first >= end) return;
  QWEN25_CHECK(end <= kv.blocks.size() && end <= kv.summaries.size() * kPanelBlocks);
  WithListedBlocks(shape, {&kv, 1}, [&](const auto& blocks) {
    execution.threads.ParallelFor((end - first) * shape.num_kv_heads, [&](size_t index, size_t) {
      blocks.Summarize(0, index % shape.num_kv_heads, first + index / shape.num_kv_heads);
    });
  });
  SummarizeParts(shape, kv, first, end);
}

Tensor AttendBlocks(Execution& execution, const BlockAttentionCall& call) {
  CheckCall(call);
  const AttentionShape& shape = call.shape;
  const RotaryTable& rotary = call.rotary;
  const TokenBatch& batch = call.batch;
  const std::span<const SequenceKv> kv = call.kv;
  QWEN25_CHECK(kv.size() == batch.num_sequences());
  for (size_t s = 0; s < kv.size(); ++s) {
    const size_t end = static_cast<size_t>(batch.sequence_starts[s + 1]);
    if (end == static_cast<size_t>(batch.sequence_starts[s])) continue;
    QWEN25_CHECK(kv[s].num_recalled == 0 || (kv[s].source != nullptr && rotary.clamps()));
    QWEN25_CHECK(kv[s].summaries.empty() ||
                 kv[s].summaries.size() * kPanelBlocks >= kv[s].num_tokens / kBlockTokens);
    QWEN25_CHECK(static_cast<size_t>(batch.positions[end - 1]) < kv[s].num_tokens);
    QWEN25_CHECK(kv[s].num_tokens <= kv[s].blocks.size() * kBlockTokens);
    QWEN25_CHECK(rotary.clamps() || kv[s].num_tokens <= rotary.max_blocks() * kBlockTokens);
  }
  Tensor out = execution.tensors.New(batch.num_tokens(), shape.num_heads * shape.head_dim);
  const bool counts =
      std::ranges::any_of(call.routing, [](const auto& one) { return one.counts != nullptr; });
  const double start = counts ? NowSeconds() : 0;
  const auto always_visible = [&](size_t s) {
    return AlwaysVisible(call.mask, kv[s].num_tokens, kv[s].prefix_length);
  };
  WithListedBlocks(shape, kv, [&](const auto& blocks) {
    BatchAttention(execution, call, blocks, always_visible, {.out = out.view(), .log_sums = {}}).Run();
  });
  if (counts) CountTime(call.routing, batch, NowSeconds() - start);
  return out;
}

}  // namespace qwen25
