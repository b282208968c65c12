// Attention over blocks of other sequences at the beginning of a list.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "ops/attention/routed_attention_test_util.h"

namespace qwen25 {
namespace {

// Blocks of a sequence that are handed out as those of another one, but for those that are missing.
class BlocksOfList : public BlockSource {
 public:
  explicit BlocksOfList(std::span<std::byte* const> blocks, size_t missing = SIZE_MAX)
      : blocks_(blocks), missing_(missing) {}
  const std::byte* Block(size_t, size_t block) const override {
    return block == missing_ ? nullptr : blocks_[block];
  }

 private:
  std::span<std::byte* const> blocks_;
  size_t missing_;
};

// The last rows of a problem whose first blocks count as recalled: outputs, and what was read.
struct RecalledRun {
  static constexpr size_t kRecalled = 10, kFirst = (kRecalled + 4) * kBlockTokens;
  std::vector<float> out;
  RoutingTrace trace;

  RecalledRun(const RoutedProblem& problem, const RoutingPolicy& policy, size_t missing = SIZE_MAX)
      : RecalledRun(problem, policy, missing, problem.length) {}
  // Seen at most `max_positions` away.
  RecalledRun(const RoutedProblem& problem, const RoutingPolicy& policy, size_t missing, size_t max_positions,
              std::span<const uint8_t> num_tokens = {})
      : trace(1, problem.shape.num_kv_heads, problem.length) {
    Machine machine;
    const CachedSequence cache(problem.shape, problem.length);
    const RotaryTable rotary(problem.rotary.inverse_frequencies(), max_positions, /*clamps=*/true);
    std::vector<int32_t> tokens(problem.length), positions(problem.length);
    std::iota(positions.begin(), positions.end(), 0);
    const Tensor input = machine.execution.tensors.New(problem.length, problem.num_cols());
    std::ranges::copy(problem.qkv, input.data());
    const std::vector<int32_t> starts = {0, static_cast<int32_t>(problem.length)};
    SequenceKv kv = cache.View(problem.length);
    AppendKv(machine.execution, {.shape = problem.shape,
                                 .rotary = rotary,
                                 .qkv = input,
                                 .batch = {tokens, positions, starts},
                                 .kv = {&kv, 1}});
    const BlocksOfList source(kv.blocks, missing);
    std::vector<std::byte*> own(kv.blocks.begin(), kv.blocks.end());
    std::fill_n(own.begin(), kRecalled, nullptr);  // nobody looks at these
    kv.blocks = own;
    kv.num_recalled = kRecalled;
    kv.source = &source;
    kv.recalled_tokens = num_tokens;
    const size_t count = problem.length - kFirst;
    const Tensor last = machine.execution.tensors.New(count, problem.num_cols());
    std::copy_n(input.data() + kFirst * problem.num_cols(), count * problem.num_cols(), last.data());
    const std::vector<int32_t> last_starts = {0, static_cast<int32_t>(count)};
    const TokenBatch batch = {std::span(tokens).subspan(kFirst), std::span(positions).subspan(kFirst),
                              last_starts};
    const LayerRouting routing = {.policy = policy, .trace = &trace};
    const Tensor result = AttendBlocks(machine.execution, {.shape = problem.shape,
                                                           .rotary = rotary,
                                                           .qkv = last,
                                                           .batch = batch,
                                                           .kv = {&kv, 1},
                                                           .routing = Span(&routing)});
    out.assign(result.data(), result.data() + count * problem.out_cols());
  }
};

TEST(RecalledAttentionTest, AreBlocksLikeOthersWhereEverythingIsRead) {
  const RoutedProblem problem(16, 4, 2, 1100, 1);
  const std::vector<float> plain = problem.Run({problem.length}, nullptr);
  const std::vector<float> rows(plain.begin() + RecalledRun::kFirst * problem.out_cols(), plain.end());
  EXPECT_EQ(RecalledRun(problem, {}).out, rows);
  RoutingPolicy all = SmallPolicy(RoutingPolicy::Kind::kTopK);
  all.max_blocks = 1000;
  EXPECT_EQ(RecalledRun(problem, all).out, rows);
}

TEST(RecalledAttentionTest, CompeteWithTheSequencesOwnAndLeaveItsSinkAlone) {
  const RoutedProblem problem(16, 4, 2, 1100, 2);
  for (const auto kind : {RoutingPolicy::Kind::kTopK, RoutingPolicy::Kind::kTopP}) {
    for (const uint32_t local : {1u, 6u}) {  // with 6, all of its own blocks are always read
      RoutingPolicy policy = SmallPolicy(kind);
      policy.local_blocks = local;
      policy.rerank = local % 2 + 1;
      for (const size_t missing : {SIZE_MAX, size_t{3}}) {
        const RecalledRun run(problem, policy, missing);
        bool any_recalled = false, any_left_out = false;
        for (size_t t = RecalledRun::kFirst; t < problem.length; ++t) {
          for (size_t kv_head = 0; kv_head < 2; ++kv_head) {
            EXPECT_TRUE(run.trace.Read(0, kv_head, t, RecalledRun::kRecalled)) << "the sink";
            for (size_t block = 0; block < RecalledRun::kRecalled; ++block) {
              (run.trace.Read(0, kv_head, t, block) ? any_recalled : any_left_out) = true;
            }
          }
          const std::vector<double> want = problem.Oracle(t, [&](size_t kv_head, size_t j) {
            return j / kBlockTokens != missing && run.trace.Read(0, kv_head, t, j / kBlockTokens);
          });
          const float* got = &run.out[(t - RecalledRun::kFirst) * problem.out_cols()];
          for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 2e-4) << t << " " << i;
        }
        EXPECT_TRUE(any_recalled && any_left_out);
      }
    }
  }
}

TEST(RecalledAttentionTest, CountAsManyTokensAsTheyHave) {
  // Of blocks 2 and 3 one token and five; what follows in them is as good as not there.
  std::vector<uint8_t> counts(RecalledRun::kRecalled, kBlockTokens);
  counts[2] = 1;
  counts[3] = 5;
  for (const KvFormat format : {KvFormat::kFloat32, KvFormat::kFloat16, KvFormat::kInt8}) {
    const RoutedProblem problem(16, 4, 2, 1100, 3, format);
    const double tolerance = format == KvFormat::kInt8 ? 0.05 : format == KvFormat::kFloat16 ? 5e-3 : 2e-4;
    for (const auto kind :
         {RoutingPolicy::Kind::kDense, RoutingPolicy::Kind::kTopK, RoutingPolicy::Kind::kTopP}) {
      const RoutingPolicy policy = SmallPolicy(kind);
      const RecalledRun run(problem, policy, SIZE_MAX, problem.length, counts);
      const RecalledRun whole(problem, policy);
      size_t reads = 0, reads_of_whole = 0;
      for (size_t t = RecalledRun::kFirst; t < problem.length; ++t) {
        for (size_t kv_head = 0; kv_head < 2; ++kv_head) {
          reads += run.trace.Read(0, kv_head, t, 2);
          reads_of_whole += whole.trace.Read(0, kv_head, t, 2);
        }
        const std::vector<double> want = problem.Oracle(t, [&](size_t kv_head, size_t j) {
          const size_t block = j / kBlockTokens;
          return run.trace.Read(0, kv_head, t, block) &&
                 (block >= counts.size() || j % kBlockTokens < counts[block]);
        });
        const float* got = &run.out[(t - RecalledRun::kFirst) * problem.out_cols()];
        for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], tolerance) << t << " " << i;
      }
      if (kind != RoutingPolicy::Kind::kDense) {
        EXPECT_LT(reads, reads_of_whole) << "a token is worth less than 64";
      }
    }
  }
}

TEST(RecalledAttentionTest, ALongListWithoutSummariesOfPanelsIsScoredBlockByBlock) {
  const RoutedProblem problem(8, 2, 1, 64 * 64 * 6 + 10, 3);
  RoutingPolicy policy = SmallPolicy(RoutingPolicy::Kind::kTopK);
  policy.far_panels = 1;
  const RecalledRun run(problem, policy, SIZE_MAX, 2 * kBlockTokens);
  const size_t last = problem.length - 1;
  EXPECT_EQ(run.trace.NumRead(0, 0, last), 3u + 1 + 2);
  for (const float value : run.out) EXPECT_TRUE(std::isfinite(value));
}

}  // namespace
}  // namespace qwen25
