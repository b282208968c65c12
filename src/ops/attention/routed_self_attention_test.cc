// SelfAttention over chosen blocks: the choices of AttendBlocks, and gradients of what was read.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/attention/routed_attention_test_util.h"
#include "ops/attention/self_attention.h"

namespace qwen25 {
namespace {

// SelfAttention over several copies of a problem's sequence, cut to the given lengths.
struct SelfResults {
  std::vector<float> out, dqkv;
};
SelfResults RunSelf(const RoutedProblem& problem, const std::vector<size_t>& lengths,
                    const LayerRouting* routing, size_t threads, const std::vector<float>& dout) {
  Machine machine(threads);
  Tape tape;
  machine.execution.tape = &tape;
  std::vector<int32_t> positions, starts = {0};
  for (const size_t length : lengths) {
    for (size_t i = 0; i < length; ++i) positions.push_back(static_cast<int32_t>(i));
    starts.push_back(static_cast<int32_t>(positions.size()));
  }
  const std::vector<int32_t> tokens(positions.size());
  const TokenBatch batch = {tokens, positions, starts};
  const Tensor qkv = machine.tensors.New(positions.size(), problem.num_cols());
  for (size_t row = 0; row < positions.size(); ++row) {
    std::copy_n(problem.qkv.data() + static_cast<size_t>(positions[row]) * problem.num_cols(),
                problem.num_cols(), qkv.data() + row * problem.num_cols());
  }
  SelfResults results;
  {
    const Tensor out = SelfAttention(machine.execution, {.shape = problem.shape,
                                                         .rotary = problem.rotary,
                                                         .qkv = qkv,
                                                         .batch = batch,
                                                         .routing = Span(routing)});
    results.out.assign(out.data(), out.data() + positions.size() * problem.out_cols());
    EXPECT_TRUE(out.MakeGrad());
    for (size_t i = 0; i < results.out.size(); ++i) out.grad()[i] = dout[i % dout.size()];
    tape.BackwardTo(0, machine.execution);
  }
  results.dqkv.assign(qkv.grad(), qkv.grad() + positions.size() * problem.num_cols());
  return results;
}

TEST(RoutedSelfAttentionTest, ChoosesAndComputesAsWithACache) {
  for (const auto kind : {RoutingPolicy::Kind::kTopK, RoutingPolicy::Kind::kTopP}) {
    for (const size_t window : {kNoWindow, size_t{450}}) {
      RoutedProblem problem(16, 6, 2, 777, 12);
      problem.shape.window = window;
      LayerRouting routing = {.policy = SmallPolicy(kind)};
      routing.policy.rerank = window == kNoWindow ? 1 : 2;
      const std::vector<float> cached = problem.Run({777}, &routing);
      const SelfResults self = RunSelf(problem, {300, 777, 5}, &routing, 2, {1.0f});
      EXPECT_TRUE(std::equal(cached.begin(), cached.end(), self.out.begin() + 300 * problem.out_cols()));
      EXPECT_TRUE(std::equal(self.out.begin(), self.out.begin() + 300 * problem.out_cols(), cached.begin()));
    }
  }
}

TEST(RoutedSelfAttentionTest, GradientsAreThoseOfTheBlocksThatWereRead) {
  for (const size_t window : {kNoWindow, size_t{350}}) {
    RoutedProblem problem(8, 4, 2, 500, 8);
    problem.shape.window = window;
    RoutingTrace trace(1, 2, problem.length);
    LayerRouting routing = {.policy = SmallPolicy(RoutingPolicy::Kind::kTopP), .trace = &trace};
    const std::vector<float> dout = RandomVector(problem.length * problem.out_cols(), 3);
    const SelfResults results = RunSelf(problem, {problem.length}, &routing, 2, dout);
    const auto loss = [&] {
      double sum = 0;
      for (size_t t = 0; t < problem.length; ++t) {
        const std::vector<double> out = problem.Oracle(t, [&](size_t kv_head, size_t j) {
          return trace.Read(0, kv_head, t, j / kBlockTokens) && t - j < window;
        });
        for (size_t i = 0; i < out.size(); ++i) sum += out[i] * dout[t * out.size() + i];
      }
      return sum;
    };
    const std::vector<float> kept = problem.qkv;
    for (const uint64_t seed : {1, 2, 3, 4}) {
      const std::vector<float> direction = RandomVector(problem.qkv.size(), seed);
      const auto shifted = [&](float step) {
        for (size_t i = 0; i < kept.size(); ++i) problem.qkv[i] = kept[i] + step * direction[i];
        return loss();
      };
      constexpr float kStep = 1e-3f;
      const double expected = (shifted(kStep) - shifted(-kStep)) / (2 * kStep);
      double slope = 0;
      for (size_t i = 0; i < kept.size(); ++i) slope += double{results.dqkv[i]} * direction[i];
      EXPECT_NEAR(slope, expected, 1e-3 * std::abs(expected) + 1e-2);
    }
  }
}

TEST(RoutedSelfAttentionTest, ThreadsAndPassesGiveTheSameBits) {
  RoutedProblem problem(16, 6, 2, 600, 21);
  problem.shape.window = 430;
  const std::vector<float> dout = RandomVector(600 * problem.out_cols(), 3);
  const LayerRouting routing = {.policy = SmallPolicy(RoutingPolicy::Kind::kTopK)};
  for (const std::vector<size_t>& lengths : {std::vector<size_t>{600}, {400, 400, 400, 400}}) {
    const SelfResults one = RunSelf(problem, lengths, &routing, 1, dout);
    const SelfResults three = RunSelf(problem, lengths, &routing, 3, dout);
    EXPECT_EQ(one.out, three.out);
    EXPECT_EQ(one.dqkv, three.dqkv);
  }
}

TEST(RoutedSelfAttentionTest, WithoutAChoiceGradientsHaveTheBitsOfDense) {
  const RoutedProblem problem(16, 6, 2, 600, 22);
  const std::vector<float> dout = RandomVector(600 * problem.out_cols(), 3);
  LayerRouting routing = {.policy = SmallPolicy(RoutingPolicy::Kind::kTopK)};
  routing.policy.max_blocks = 64;
  const SelfResults dense = RunSelf(problem, {600}, nullptr, 2, dout);
  const SelfResults routed = RunSelf(problem, {600}, &routing, 2, dout);
  EXPECT_EQ(dense.out, routed.out);
  EXPECT_EQ(dense.dqkv, routed.dqkv);
}

}  // namespace
}  // namespace qwen25
