// Summaries of stored blocks are those that AppendKv writes.
#include "ops/attention/stored_summary.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "kernels/block_summary.h"
#include "ops/attention/block_attention.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {
namespace {

struct Blocks {
  AttentionShape shape;
  std::vector<AlignedBuffer<std::byte>> memory;
  std::vector<std::byte*> blocks;
  AlignedBuffer<std::byte> panel;
  SequenceKv kv;

  Blocks(KvFormat format, size_t count) : shape{4, 2, 8, 1, format}, panel(Bytes(kPanelBlocks)) {
    for (size_t i = 0; i < count; ++i) blocks.push_back(memory.emplace_back(shape.BytesPerBlock()).data());
    std::memset(panel.data(), 0, panel.size());
    panels_[0] = panel.data();
    kv = {.blocks = blocks, .num_tokens = count * kBlockTokens, .summaries = panels_};
  }
  size_t Bytes(size_t count) const { return SummaryBytes(shape) * count; }

  // Fills blocks and panel with random tokens.
  void Append(Execution& execution) {
    const size_t count = kv.num_tokens;
    const RotaryTable rotary(InverseFrequencies(shape.head_dim, 10000), count);
    std::vector<int32_t> tokens(count), positions(count);
    std::iota(positions.begin(), positions.end(), 0);
    const std::vector<int32_t> starts = {0, static_cast<int32_t>(count)};
    const Tensor qkv =
        execution.tensors.New(count, (shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim);
    Rng rng(3);
    for (size_t i = 0; i < qkv.rows() * qkv.cols(); ++i) qkv.data()[i] = static_cast<float>(rng.Normal());
    AppendKv(
        execution,
        {.shape = shape, .rotary = rotary, .qkv = qkv, .batch = {tokens, positions, starts}, .kv = {&kv, 1}});
  }

 private:
  std::byte* panels_[1];
};

TEST(StoredSummaryTest, APanelOfStoredSummariesIsThatOfTheBlocks) {
  for (const KvFormat format : {KvFormat::kFloat32, KvFormat::kFloat16, KvFormat::kInt8}) {
    Blocks all(format, kPanelBlocks);
    ThreadPool threads(2);
    TensorPool tensors;
    Scratch scratch(2);
    Execution execution{threads, tensors, scratch, nullptr};
    all.Append(execution);
    const std::vector<std::byte> appended(all.panel.data(), all.panel.data() + all.panel.size());
    std::memset(all.panel.data(), 0, all.panel.size());
    SummarizeBlocks(execution, all.shape, all.kv, 0, kPanelBlocks);
    EXPECT_EQ(std::memcmp(appended.data(), all.panel.data(), appended.size()), 0);
    std::vector<std::byte> summaries(all.Bytes(kPanelBlocks));
    std::vector<const std::byte*> pointers;
    for (size_t i = 0; i < kPanelBlocks; ++i) {
      SummarizeStoredBlock(all.shape, all.blocks[i],
                           std::span(summaries).subspan(i * all.Bytes(1), all.Bytes(1)));
      pointers.push_back(summaries.data() + i * all.Bytes(1));
    }
    const AlignedBuffer<std::byte> panel(all.panel.size());
    FillPanel(all.shape, pointers, panel.data());
    EXPECT_EQ(std::memcmp(panel.data(), all.panel.data(), panel.size()), 0);

    // With fewer blocks, the super panel is that of a panel which repeats them, and nothing where there are
    // none.
    const size_t few = 5;
    FillPanel(all.shape, std::span(pointers).first(few), panel.data());
    const AlignedBuffer<std::byte> super(all.panel.size()), want(all.panel.size());
    std::memset(super.data(), 0, super.size());
    std::memset(want.data(), 0, want.size());
    SummarizeStoredPanel(all.shape, panel.data(), 6, super.data());
    std::vector<const std::byte*> repeated;
    for (size_t i = 0; i < kPartBlocks; ++i) repeated.push_back(pointers[i % few]);
    FillPanel(all.shape, repeated, panel.data());
    SummarizeStoredPanel(all.shape, panel.data(), 6, want.data());
    EXPECT_EQ(std::memcmp(super.data(), want.data(), want.size()), 0);

    // And one that is not there, wherever it stands, is not in it.
    std::vector<const std::byte*> gaps(pointers.begin(), pointers.begin() + few);
    gaps.insert(gaps.begin() + 2, nullptr);
    FillPanel(all.shape, gaps, panel.data());
    std::memset(super.data(), 0, super.size());
    SummarizeStoredPanel(all.shape, panel.data(), 6, super.data());
    EXPECT_EQ(std::memcmp(super.data(), want.data(), want.size()), 0);
  }
}

}  // namespace
}  // namespace qwen25
