// Summaries of stored blocks are those that AppendKv writes.
#include "ops/stored_summary.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/rng.h"
#include "kernels/block_summary.h"
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
    Rng rng(3);
    for (size_t i = 0; i < count; ++i) {
      memory.emplace_back(shape.BytesPerBlock());
      if (format == KvFormat::kFloat32) {
        auto* numbers = reinterpret_cast<float*>(memory.back().data());
        for (size_t n = 0; n < shape.NumbersPerBlock(); ++n) numbers[n] = static_cast<float>(rng.Normal());
      } else {
        auto* numbers = reinterpret_cast<uint16_t*>(memory.back().data());
        for (size_t n = 0; n < shape.NumbersPerBlock(); ++n) {
          numbers[n] = static_cast<uint16_t>((rng.Next() & 0x83ff) | 0x3800);  // magnitudes of 0.5 to 1
        }
      }
      blocks.push_back(memory.back().data());
    }
    std::memset(panel.data(), 0, panel.size());
    panels_[0] = panel.data();
    kv = {.blocks = blocks, .num_tokens = count * kBlockTokens, .summaries = panels_};
  }
  size_t Bytes(size_t count) const { return SummaryBytes(shape) * count; }

 private:
  std::byte* panels_[1];
};

TEST(StoredSummaryTest, APanelOfStoredSummariesIsThatOfTheBlocks) {
  for (const KvFormat format : {KvFormat::kFloat32, KvFormat::kFloat16}) {
    Blocks all(format, kPanelBlocks);
    ThreadPool threads(2);
    TensorPool tensors;
    Scratch scratch(2);
    Execution execution{threads, tensors, scratch, nullptr};
    SummarizeBlocks(execution, all.shape, all.kv, 0, kPanelBlocks);
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

    // With fewer blocks, the super panel is that of a panel which repeats them.
    const size_t few = 5;
    FillPanel(all.shape, std::span(pointers).first(few), panel.data());
    const AlignedBuffer<std::byte> super(all.panel.size()), want(all.panel.size());
    std::memset(super.data(), 0, super.size());
    std::memset(want.data(), 0, want.size());
    SummarizeStoredPanel(all.shape, panel.data(), few, 7, super.data());
    std::vector<const std::byte*> repeated;
    for (size_t i = 0; i < kPanelBlocks; ++i) repeated.push_back(pointers[i % few]);
    FillPanel(all.shape, repeated, panel.data());
    SummarizeStoredPanel(all.shape, panel.data(), kPanelBlocks, 7, want.data());
    EXPECT_EQ(std::memcmp(super.data(), want.data(), want.size()), 0);
  }
}

}  // namespace
}  // namespace qwen25
