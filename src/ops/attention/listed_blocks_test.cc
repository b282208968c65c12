// Blocks that lie in a file.
#include "ops/attention/listed_blocks.h"
#include "ops/attention/block_attention.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {
namespace {

// A file that is the memory it is mapped to.
class MemoryFile : public BlockFile {
 public:
  explicit MemoryFile(bool readable = true) : readable_(readable) {}
  bool Read(const std::byte* from, size_t num_bytes, std::byte* to) const override {
    ++num_reads;
    if (readable_) std::memcpy(to, from, num_bytes);
    return readable_;
  }
  mutable size_t num_reads = 0;

 private:
  bool readable_;
};

constexpr size_t kBlocks = 12, kWindow = 4, kTokens = kBlocks * kBlockTokens;

// Outputs of all tokens, what is `kWindow` blocks back or more being seen at that distance.
std::vector<float> Attend(const AttentionShape& shape, const BlockFile* file) {
  ThreadPool threads(1);
  TensorPool tensors;
  Scratch scratch(1);
  Execution execution{threads, tensors, scratch, nullptr};
  const RotaryTable rotary(InverseFrequencies(shape.head_dim, 10000), kWindow * kBlockTokens,
                           /*clamps=*/true);
  std::vector<AlignedBuffer<std::byte>> memory;
  std::vector<std::byte*> blocks;
  for (size_t i = 0; i < kBlocks; ++i) {
    blocks.push_back(memory.emplace_back(shape.BytesPerBlock()).data());
    std::memset(blocks.back(), 0, shape.BytesPerBlock());
  }
  std::vector<int32_t> tokens(kTokens), positions(kTokens);
  std::iota(positions.begin(), positions.end(), 0);
  const std::vector<int32_t> starts = {0, kTokens};
  const Tensor qkv =
      execution.tensors.New(kTokens, (shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim);
  Rng rng(5);
  for (size_t i = 0; i < qkv.rows() * qkv.cols(); ++i) qkv.data()[i] = static_cast<float>(rng.Normal());
  const SequenceKv kv = {.blocks = blocks, .num_tokens = kTokens, .file = file};
  const TokenBatch batch = {tokens, positions, starts};
  const BlockAttentionCall call = {
      .shape = shape, .rotary = rotary, .qkv = qkv, .batch = batch, .kv = {&kv, 1}};
  AppendKv(execution, call);
  const Tensor out = AttendBlocks(execution, call);
  return {out.data(), out.data() + out.rows() * out.cols()};
}

TEST(BlockFileTest, BlocksReadFromTheFileGiveTheBitsOfMappedOnes) {
  for (const KvFormat format : {KvFormat::kFloat32, KvFormat::kFloat16, KvFormat::kInt8}) {
    const AttentionShape shape = {4, 2, 40, 0.2f, format};
    const std::vector<float> mapped = Attend(shape, nullptr);
    const MemoryFile file, broken(/*readable=*/false);
    EXPECT_EQ(Attend(shape, &file), mapped);
    EXPECT_EQ(Attend(shape, &broken), mapped);
    // Each tile of 32 tokens reads each far block once for each kv head.
    size_t far_blocks = 0;
    for (size_t block = kWindow; block < kBlocks; ++block) far_blocks += 2 * (block - kWindow + 1);
    EXPECT_EQ(file.num_reads, far_blocks * shape.num_kv_heads);
  }
}

TEST(FileCopiesTest, ReadABlockOnceUntilAnotherTakesItsPlace) {
  constexpr size_t kBytes = 128, kMany = 100;
  const AlignedBuffer<std::byte> blocks(kMany * kBytes);
  for (size_t i = 0; i < blocks.size(); ++i) blocks.data()[i] = static_cast<std::byte>(i / kBytes);
  std::vector<float> memory(FileCopies::NumFloats(kBytes));
  const MemoryFile file, broken(/*readable=*/false);
  FileCopies copies(memory.data(), kBytes);
  copies.Forget();
  const auto copy_of = [&](size_t block) { return copies.Of(file, blocks.data() + block * kBytes, block); };
  for (const size_t block : {7, 8, 7, 8, 7}) {
    const std::byte* copy = copy_of(block);
    ASSERT_NE(copy, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(copy) % 64, 0u);
    EXPECT_EQ(std::memcmp(copy, blocks.data() + block * kBytes, kBytes), 0);
  }
  EXPECT_EQ(file.num_reads, 2u);
  for (size_t block = 0; block < kMany; ++block) copy_of(block);
  const size_t before = file.num_reads;
  EXPECT_EQ(*copy_of(7), std::byte{7});
  EXPECT_EQ(file.num_reads, before + 1);
  EXPECT_EQ(copies.Of(broken, blocks.data(), 0), nullptr);
  copies.Forget();
  copy_of(7);
  EXPECT_EQ(file.num_reads, before + 2);
}

}  // namespace
}  // namespace qwen25
