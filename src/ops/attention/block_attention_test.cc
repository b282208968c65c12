#include "ops/attention/block_attention.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <deque>
#include <limits>
#include <vector>

#include "ops/attention/attention_test_util.h"

namespace qwen25 {
namespace {

// KV blocks of several sequences, filled with bits that are NaN in float32 and float16: whatever reads behind
// the last token shows.
struct Cache {
  std::deque<std::vector<float>> memory;
  std::vector<std::vector<std::byte*>> blocks;
  std::vector<SequenceKv> kv;

  explicit Cache(const Problem& problem) : blocks(problem.lengths.size()), kv(problem.lengths.size()) {
    for (size_t s = 0; s < blocks.size(); ++s) {
      for (int32_t t = 0; t < problem.lengths[s]; t += kBlockTokens) {
        blocks[s].push_back(reinterpret_cast<std::byte*>(
            memory.emplace_back(problem.shape.BytesPerBlock() / sizeof(float), std::bit_cast<float>(~0u))
                .data()));
      }
      kv[s].blocks = blocks[s];
      if (!problem.prefix_lengths.empty()) kv[s].prefix_length = size_t(problem.prefix_lengths[s]);
    }
  }
};

// Feeds rows of the problem's sequences to the cache: chunk[s] tokens of sequence s, from done[s] on. Adds
// their outputs to `out`.
void Feed(Machine& machine, const Problem& problem, const RotaryTable& rotary, Cache& cache,
          std::vector<size_t>& done, const std::vector<size_t>& chunk, std::vector<float>& out) {
  std::vector<int32_t> positions, starts = {0};
  std::vector<float> qkv_rows;
  std::vector<SequenceKv> kv;
  std::vector<size_t> rows;
  for (size_t s = 0; s < chunk.size(); ++s) {
    if (chunk[s] == 0) continue;
    for (size_t i = done[s]; i < done[s] + chunk[s]; ++i) {
      const size_t row = static_cast<size_t>(problem.starts[s]) + i;
      positions.push_back(static_cast<int32_t>(i));
      rows.push_back(row);
      const float* from = problem.qkv.data() + row * problem.num_cols();
      qkv_rows.insert(qkv_rows.end(), from, from + problem.num_cols());
    }
    done[s] += chunk[s];
    starts.push_back(static_cast<int32_t>(positions.size()));
    cache.kv[s].num_tokens = done[s];
    kv.push_back(cache.kv[s]);
  }
  const std::vector<int32_t> tokens(positions.size());
  const TokenBatch batch = {tokens, positions, starts};
  const Tensor qkv = ToTensor(machine.tensors, positions.size(), problem.num_cols(), qkv_rows);
  const BlockAttentionCall call = {
      .shape = problem.shape, .rotary = rotary, .qkv = qkv, .batch = batch, .kv = kv, .mask = problem.mask};
  AppendKv(machine.execution, call);
  const Tensor result = AttendBlocks(machine.execution, call);
  for (size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(result.view().Row(i), problem.out_cols(), out.begin() + rows[i] * problem.out_cols());
  }
}

TEST(BlockAttentionTest, ChunkedPrefillAndDecodeGiveTheBitsOfSelfAttention) {
  ForEachTarget([&] {
    Machine machine(2);
    for (const size_t head_dim : {8, 32, 80}) {
      for (const size_t group : {1, 3, 16}) {
        const Problem problem =
            Problem(head_dim, group * 2, 2, {150, 1, 64, 70}).WithWindow(head_dim == 32 ? 50 : kNoWindow);
        const RotaryTable rotary = problem.Rotary();
        const Results expected = RunSelfAttention(machine, problem);
        // The chunks of each step; after them every sequence decodes token by token until it is complete.
        for (const std::vector<size_t>& step :
             {std::vector<size_t>{0, 0, 0, 0}, {64, 1, 64, 64}, {37, 1, 5, 66}}) {
          Cache cache(problem);
          std::vector<size_t> done(problem.lengths.size());
          std::vector<float> out(expected.out.size());
          if (step[0] != 0) Feed(machine, problem, rotary, cache, done, step, out);
          if (step[0] == 37) Feed(machine, problem, rotary, cache, done, {60, 0, 0, 0}, out);
          for (;;) {
            std::vector<size_t> chunk(done.size());
            for (size_t s = 0; s < done.size(); ++s) chunk[s] = done[s] < size_t(problem.lengths[s]);
            if (std::count(chunk.begin(), chunk.end(), 1) == 0) break;
            Feed(machine, problem, rotary, cache, done, chunk, out);
          }
          ASSERT_EQ(out, expected.out);
        }
      }
    }
  });
}

// Blocks in narrower formats: the same bits for any chunking, and close to float32.
class NarrowBlocksTest : public testing::TestWithParam<KvFormat> {};

TEST_P(NarrowBlocksTest, AreCloseAndDoNotDependOnChunks) {
  const double tolerance = GetParam() == KvFormat::kFloat16 ? 4e-3 : 6e-2;
  ForEachTarget([&] {
    Machine machine(2);
    for (const size_t head_dim : {8, 40, 80}) {
      Problem problem = Problem(head_dim, 6, 2, {150, 1, 64, 70}).WithWindow(head_dim == 40 ? 30 : kNoWindow);
      const RotaryTable rotary = problem.Rotary();
      const std::vector<float> exact = RunSelfAttention(machine, problem).out;
      problem.shape.kv_format = GetParam();
      std::vector<float> whole(exact.size()), chunked(exact.size());
      Cache first(problem), second(problem);
      std::vector<size_t> done(4), done_chunked(4);
      Feed(machine, problem, rotary, first, done, {150, 1, 64, 70}, whole);
      for (const std::vector<size_t>& chunk :
           {std::vector<size_t>{1, 0, 63, 0}, {70, 1, 1, 69}, {79, 0, 0, 1}}) {
        Feed(machine, problem, rotary, second, done_chunked, chunk, chunked);
      }
      for (size_t i = 0; i < exact.size(); ++i) {
        ASSERT_EQ(whole[i], chunked[i]) << i;
        ASSERT_NEAR(whole[i], exact[i], tolerance);
      }
      ASSERT_NE(whole, exact);
    }
  });
}

TEST_P(NarrowBlocksTest, WhatIsNotFiniteDoesNotReachEarlierTokens) {
  ForEachTarget([&] {
    Machine machine(2);
    for (const size_t group : {1, 3, 16}) {
      Problem problem(48, group * 2, 2, {150, 70});
      problem.shape.kv_format = GetParam();
      const RotaryTable rotary = problem.Rotary();
      const auto run = [&](const Problem& of) {
        Cache cache(of);
        std::vector<size_t> done(2);
        std::vector<float> out(of.num_rows() * of.out_cols());
        Feed(machine, of, rotary, cache, done, {150, 70}, out);
        return out;
      };
      const std::vector<float> expected = run(problem);
      for (const float bad :
           {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        for (const size_t token : {5, 63, 64, 149}) {
          Problem damaged = problem;
          float* row = damaged.qkv.data() + token * problem.num_cols();
          std::fill(row, row + problem.num_cols(), bad);
          const std::vector<float> out = run(damaged);
          const size_t begin = token * problem.out_cols(), end = 150 * problem.out_cols();
          ASSERT_TRUE(std::equal(out.begin(), out.begin() + begin, expected.begin()))
              << group << " " << token;
          ASSERT_TRUE(std::equal(out.begin() + end, out.end(), expected.begin() + end)) << "other sequence";
          ASSERT_TRUE(std::isnan(out[begin])) << "the token itself shows it";
          damaged.shape.window = 40;
          const std::vector<float> in_window = run(damaged), whole = run(problem.WithWindow(40));
          const size_t behind = std::min<size_t>(token + 40, 150) * problem.out_cols();
          ASSERT_TRUE(std::equal(in_window.begin() + behind, in_window.end(), whole.begin() + behind));
        }
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Formats, NarrowBlocksTest, testing::Values(KvFormat::kFloat16, KvFormat::kInt8),
                         [](const auto& info) { return std::string(KvFormatName(info.param)); });

TEST(BlockAttentionTest, AnyChunkingGivesTheSameBits) {
  EXPECT_TRUE(rc::check([] {
    Machine machine(*rc::gen::inRange<size_t>(1, 4));
    const size_t kv_heads = *rc::gen::inRange<size_t>(1, 3), group = *rc::gen::inRange<size_t>(1, 6);
    const auto lengths = *rc::gen::container<std::vector<int32_t>>(3, rc::gen::inRange<int32_t>(1, 200));
    const Problem problem =
        Problem(2 * *rc::gen::inRange<size_t>(1, 20), kv_heads * group, kv_heads, lengths)
            .WithWindow(*rc::gen::element(kNoWindow, size_t{1}, size_t{17}, size_t{64}, size_t{90}));
    const RotaryTable rotary = problem.Rotary();
    const Results expected = RunSelfAttention(machine, problem);
    Cache cache(problem);
    std::vector<size_t> done(3);
    std::vector<float> out(expected.out.size());
    for (;;) {
      std::vector<size_t> chunk(3);
      size_t total = 0;
      for (size_t s = 0; s < 3; ++s) {
        const size_t left = static_cast<size_t>(lengths[s]) - done[s];
        chunk[s] = std::min(left, *rc::gen::inRange<size_t>(1, 100));
        total += chunk[s];
      }
      if (total == 0) break;
      Feed(machine, problem, rotary, cache, done, chunk, out);
    }
    RC_ASSERT(out == expected.out);
  }));
}

TEST(BlockAttentionTest, BidirectionalAndPrefixBlocksGiveTheBitsOfSelfAttention) {
  Machine machine(2);
  for (const AttentionMask mask : {AttentionMask::kBidirectional, AttentionMask::kPrefix}) {
    for (const size_t window : {kNoWindow, size_t{30}, size_t{90}}) {
      const Problem problem = Problem(32, 6, 2, {150, 1, 64, 200}, mask).WithWindow(window);
      const RotaryTable rotary = problem.Rotary();
      const Results expected = RunSelfAttention(machine, problem);
      Cache cache(problem);
      std::vector<size_t> done(4);
      std::vector<float> out(expected.out.size());
      if (mask == AttentionMask::kPrefix) {
        // The prefix in one chunk, with a few tokens of the rest; then the rest.
        Feed(machine, problem, rotary, cache, done, {103, 1, 42, 140}, out);
        Feed(machine, problem, rotary, cache, done, {47, 0, 22, 60}, out);
      } else {
        Feed(machine, problem, rotary, cache, done, {150, 1, 64, 200}, out);
      }
      EXPECT_EQ(out, expected.out);
    }
  }
}

// A block does not know where it stands: blocks that were filled at the start of one sequence serve, bit for
// bit, at a later place of another.
TEST(BlockAttentionTest, OnlyTheDistanceCounts) {
  Machine machine(2);
  constexpr size_t kFront = 3 * kBlockTokens;
  const Problem whole(32, 4, 2, {kFront + 100});
  Problem tail(32, 4, 2, {100});
  std::copy(whole.qkv.begin() + kFront * whole.num_cols(), whole.qkv.end(), tail.qkv.begin());
  const RotaryTable rotary = whole.Rotary();
  const Results expected = RunSelfAttention(machine, whole);

  Cache tail_cache(tail), whole_cache(whole);
  std::vector<size_t> tail_done = {0}, whole_done = {0};
  std::vector<float> out(tail.num_rows() * tail.out_cols()), whole_out(expected.out.size());
  Feed(machine, tail, rotary, tail_cache, tail_done, {100}, out);
  Feed(machine, whole, rotary, whole_cache, whole_done, {kFront}, whole_out);
  whole_cache.blocks[0].resize(3);
  for (std::byte* block : tail_cache.blocks[0]) whole_cache.blocks[0].push_back(block);

  const size_t floats = tail.qkv.size() / tail.num_rows();
  const std::vector<int32_t> tokens(100), starts = {0, 100};
  std::vector<int32_t> positions(100);
  for (int32_t i = 0; i < 100; ++i) positions[size_t(i)] = static_cast<int32_t>(kFront) + i;
  const SequenceKv kv = {.blocks = whole_cache.blocks[0], .num_tokens = kFront + 100};
  const Tensor qkv = ToTensor(machine.tensors, 100, floats, tail.qkv);
  const Tensor moved = AttendBlocks(machine.execution, {.shape = whole.shape,
                                                        .rotary = rotary,
                                                        .qkv = qkv,
                                                        .batch = {tokens, positions, starts},
                                                        .kv = {&kv, 1}});
  EXPECT_EQ(ToVector(moved.data(), out.size()),
            std::vector<float>(expected.out.begin() + kFront * whole.out_cols(), expected.out.end()));
  EXPECT_NE(ToVector(moved.data(), out.size()), out) << "the blocks in front count";
}

}  // namespace
}  // namespace qwen25
