#include "ops/routing/head_gate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"
#include "base/test_util.h"
#include "ops/attention/self_attention.h"
#include "ops/ops_test_util.h"

namespace qwen25 {
namespace {

Tensor ToTensor(Machine& machine, const std::vector<float>& values, size_t cols) {
  Tensor tensor = machine.tensors.New(values.size() / cols, cols);
  std::copy(values.begin(), values.end(), tensor.data());
  return tensor;
}

TEST(HeadGateTest, AnUndecidedGateWeighsTheFirstGroupsWithOne) {
  Machine machine(2);
  const Tensor logits = ToTensor(machine, std::vector<float>(7, 0.5f), 7);
  const Tensor weights = HeadGate(machine.execution, {.shared_groups = 2, .top_k = 2}, logits, 0);
  EXPECT_EQ(std::vector<float>(weights.data(), weights.data() + 5), (std::vector<float>{1, 1, 1, 1, 0}));
}

TEST(HeadGateTest, RunsTheSharedGroupsAndTheGreatestOfTheOthers) {
  Machine machine(2);
  // Groups 0 (shared) to 4, then the two of the balance.
  const Tensor logits = ToTensor(machine, {-9, 0, 3, 1, 2, 0, std::log(3.0f)}, 7);
  const Tensor weights = HeadGate(machine.execution, {.shared_groups = 1, .top_k = 2}, logits, 0);
  const double sum = 1 + std::exp(3.0) + std::exp(1.0) + std::exp(2.0);
  const double expected[] = {2 * 0.25, 0, 2 * 0.75 * 4 * std::exp(3.0) / sum, 0,
                             2 * 0.75 * 4 * std::exp(2.0) / sum};
  for (size_t i = 0; i < 5; ++i) EXPECT_NEAR(weights.data()[i], expected[i], 1e-6);
}

// Long: the operation and its formulas share every number.
TEST(HeadGateTest, GradientsMatchFiniteDifferences) {
  constexpr size_t kTokens = 37, kGroups = 5, kWidth = 3;
  const HeadRouting routing = {.shared_groups = 2, .top_k = 1};
  constexpr float kBalance = 0.3f;
  Machine machine(2);
  std::vector<float> logits = RandomVector(kTokens * (kGroups + 2), 1);
  std::vector<float> x = RandomVector(kTokens * kGroups * kWidth, 2);
  const std::vector<float> coefficients = RandomVector(x.size(), 3);
  std::vector<float> dlogits, dx, chosen;
  {
    machine.execution.tape = &machine.tape;
    const Tensor z = ToTensor(machine, logits, kGroups + 2), input = ToTensor(machine, x, kGroups * kWidth);
    const Tensor weights = HeadGate(machine.execution, routing, z, kBalance);
    const Tensor out = WeighHeads(machine.execution, input, weights);
    out.MakeGrad();
    std::copy(coefficients.begin(), coefficients.end(), out.grad());
    chosen.assign(weights.data(), weights.data() + kTokens * kGroups);
    machine.tape.BackwardTo(0, machine.execution);
    machine.execution.tape = nullptr;
    dlogits.assign(z.grad(), z.grad() + logits.size());
    dx.assign(input.grad(), input.grad() + x.size());
  }
  // The loss by the formulas, for the choice that was made.
  const auto loss = [&] {
    double sum = 0;
    std::vector<double> part(kGroups);
    for (size_t t = 0; t < kTokens; ++t) {
      for (size_t i = 2; i < kGroups; ++i) part[i] += (chosen[t * kGroups + i] != 0) / double(kTokens);
    }
    for (size_t t = 0; t < kTokens; ++t) {
      const float* z = &logits[t * (kGroups + 2)];
      const double q_sum = std::exp(z[0]) + std::exp(z[1]),
                   p_sum = std::exp(z[2]) + std::exp(z[3]) + std::exp(z[4]);
      const double a_sum = std::exp(z[5]) + std::exp(z[6]);
      for (size_t i = 0; i < kGroups; ++i) {
        const double p = std::exp(z[i]) / (i < 2 ? q_sum : p_sum);
        if (i >= 2) sum += kBalance * part[i] * p;
        if (chosen[t * kGroups + i] == 0) continue;
        const double w = 2 * std::exp(z[i < 2 ? 5 : 6]) / a_sum * (i < 2 ? 2 : 3) * p;
        for (size_t c = 0; c < kWidth; ++c) {
          const size_t at = (t * kGroups + i) * kWidth + c;
          sum += w * x[at] * coefficients[at];
        }
      }
    }
    return sum;
  };
  const auto check = [&](std::vector<float>& values, const std::vector<float>& gradients) {
    for (size_t i = 0; i < values.size(); ++i) {
      constexpr float kStep = 1e-2f;
      const float kept = values[i];
      values[i] = kept + kStep;
      const double up = loss();
      values[i] = kept - kStep;
      const double down = loss();
      values[i] = kept;
      ASSERT_NEAR(gradients[i], (up - down) / (2 * kStep), 1e-3) << i;
    }
  };
  check(logits, dlogits);
  check(x, dx);
}

// Attention with some groups switched off: what ran has the bits of attention with all of them, and gradients
// are those of a loss that looks at what ran.
// Long: one input, run in several ways.
TEST(HeadGateTest, GroupsThatDoNotRunAreNeitherComputedNorTrained) {
  const AttentionShape shape = {.num_heads = 6, .num_kv_heads = 3, .head_dim = 8, .scale = 0.35f};
  constexpr size_t kLength = 300, kCols = 12 * 8, kOut = 6 * 8;
  const RotaryTable rotary(InverseFrequencies(8, 10000), kLength);
  const std::vector<float> qkv_values = RandomVector(kLength * kCols, 1);
  const std::vector<float> dout = RandomVector(kLength * kOut, 2);
  std::vector<float> weight_values = RandomVector(kLength * 3, 3);
  for (float& w : weight_values) w = w > 0 ? w : 0.0f;
  std::vector<int32_t> tokens(kLength), positions(kLength), starts = {0, int32_t{kLength}};
  for (size_t t = 0; t < kLength; ++t) positions[t] = static_cast<int32_t>(t);
  const TokenBatch batch = {tokens, positions, starts};

  struct Results {
    std::vector<float> out, dqkv;
  };
  const auto run = [&](size_t threads, bool gated, std::span<const LayerRouting> routing) {
    Machine machine(threads);
    machine.execution.tape = &machine.tape;
    const Tensor qkv = ToTensor(machine, qkv_values, kCols);
    const Tensor weights = gated ? ToTensor(machine, weight_values, 3) : Tensor();
    Results results;
    {
      const Tensor out = SelfAttention(machine.execution, {.shape = shape,
                                                           .rotary = rotary,
                                                           .qkv = qkv,
                                                           .batch = batch,
                                                           .routing = routing,
                                                           .head_weights = weights});
      results.out.assign(out.data(), out.data() + kLength * kOut);
      out.MakeGrad();
      for (size_t i = 0; i < dout.size(); ++i) {
        const bool runs = weight_values[i / kOut * 3 + i % kOut / 16] != 0;
        out.grad()[i] = runs ? dout[i] : 0.0f;
      }
      machine.tape.BackwardTo(0, machine.execution);
    }
    results.dqkv.assign(qkv.grad(), qkv.grad() + kLength * kCols);
    return results;
  };
  RoutingPolicy policy;
  policy.kind = RoutingPolicy::Kind::kTopK;
  policy.max_blocks = 1;
  policy.dense_below = policy.local_blocks = 0;
  RoutingCounts counts;
  const LayerRouting routed = {.policy = policy, .counts = &counts};
  for (const size_t num_routings : {0, 1}) {
    const std::span<const LayerRouting> routing(&routed, num_routings);
    const Results all = run(2, false, routing);
    const uint64_t read = counts.blocks_read, visible = counts.blocks_visible;
    const Results some = run(2, true, routing);
    for (size_t i = 0; i < all.out.size(); ++i) {
      ASSERT_EQ(some.out[i], weight_values[i / kOut * 3 + i % kOut / 16] != 0 ? all.out[i] : 0.0f) << i;
    }
    for (size_t i = 0; i < all.dqkv.size(); ++i) ASSERT_NEAR(some.dqkv[i], all.dqkv[i], 1e-5) << i;
    const Results alone = run(1, true, routing);  // in one pass instead of two
    EXPECT_EQ(alone.out, some.out);
    EXPECT_EQ(alone.dqkv, some.dqkv);
    if (routing.empty()) continue;
    EXPECT_EQ(counts.blocks_visible, 3 * visible);
    EXPECT_LT(counts.blocks_read, 2.2 * read);  // about half of them twice
  }
}

TEST(HeadRoutingTest, RefusesWhatDoesNotFit) {
  const auto validate = [](HeadRouting routing, uint32_t groups) { return routing.Validate(groups); };
  EXPECT_TRUE(validate({.shared_groups = 2, .top_k = 6}, 8).ok());
  EXPECT_ERROR_CONTAINS(validate({}, 1), "at least 2 kv heads");
  EXPECT_ERROR_CONTAINS(validate({.shared_groups = 0}, 8), "shared_groups is 0, expected 1 to 7");
  EXPECT_ERROR_CONTAINS(validate({.shared_groups = 8}, 8), "shared_groups is 8, expected 1 to 7");
  EXPECT_ERROR_CONTAINS(validate({.shared_groups = 2, .top_k = 7}, 8), "top_k is 7, expected 1 to 6");
  EXPECT_ERROR_CONTAINS(validate({.balance_loss = -1}, 8), "balance_loss is -1");
}

}  // namespace
}  // namespace qwen25
