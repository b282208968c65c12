#include "kernels/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "base/rng.h"
#include "kernels/isa_test_util.h"

namespace qwen25 {
namespace {

std::vector<float> Random(size_t n, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(n);
  for (float& value : values) value = static_cast<float>(rng.Normal());
  return values;
}

// Lengths around every vector width, and around the chunk.
std::vector<size_t> Lengths() {
  std::vector<size_t> lengths;
  for (size_t n = 0; n <= 67; ++n) lengths.push_back(n);
  for (size_t n : {kOptimizerChunk - 1, kOptimizerChunk, kOptimizerChunk + 1, 3 * kOptimizerChunk + 5}) {
    lengths.push_back(n);
  }
  return lengths;
}

// The tail behind [0, n) must stay untouched: every array has one guard element.
constexpr float kGuard = 12345.0f;

TEST(OptimizerKernelTest, AdamWFollowsItsFormula) {
  ThreadPool threads(2);
  ForEachTarget([&] {
    for (const size_t n : Lengths()) {
      std::vector<float> w = Random(n + 1, 1), g = Random(n + 1, 2), m = Random(n + 1, 3),
                         v = Random(n + 1, 4);
      for (float& x : v) x = x * x;
      w[n] = m[n] = v[n] = kGuard;
      const std::vector<float> w0 = w, m0 = m, v0 = v;
      const AdamWStep step = {.learning_rate = 0.02,
                              .beta1 = 0.9,
                              .beta2 = 0.95,
                              .epsilon = 1e-3,
                              .weight_decay = 0.1,
                              .correction1 = 1 - std::pow(0.9, 3),
                              .correction2 = 1 - std::pow(0.95, 3),
                              .grad_scale = 0.5f};
      AdamWUpdate(threads, step, n, w.data(), g.data(), m.data(), v.data());
      for (size_t i = 0; i < n; ++i) {
        const double scaled = 0.5 * g[i];
        const double m1 = 0.9 * m0[i] + 0.1 * scaled, v1 = 0.95 * v0[i] + 0.05 * scaled * scaled;
        const double w1 = w0[i] * (1 - 0.02 * 0.1) -
                          0.02 * (m1 / step.correction1) / (std::sqrt(v1 / step.correction2) + 1e-3);
        ASSERT_NEAR(m[i], m1, 1e-6) << n << " " << i;
        ASSERT_NEAR(v[i], v1, 1e-6 * (1 + v1)) << n << " " << i;
        ASSERT_NEAR(w[i], w1, 2e-6 * (1 + std::abs(w1) + std::abs(w0[i] - w1))) << n << " " << i;
      }
      ASSERT_EQ(w[n], kGuard);
      ASSERT_EQ(m[n], kGuard);
      ASSERT_EQ(v[n], kGuard);
    }
  });
}

TEST(OptimizerKernelTest, MomentumAndScaleAddFollowTheirFormulas) {
  ThreadPool threads(2);
  ForEachTarget([&] {
    for (const size_t n : Lengths()) {
      std::vector<float> g = Random(n + 1, 2), momentum = Random(n + 1, 3), update(n + 1, kGuard);
      const std::vector<float> before = momentum;
      MomentumUpdate(threads, 0.95f, 0.25f, n, g.data(), momentum.data(), update.data());
      for (size_t i = 0; i < n; ++i) {
        const double scaled = 0.25 * g[i], moved = 0.95 * before[i] + scaled;
        ASSERT_NEAR(momentum[i], moved, 1e-6);
        ASSERT_NEAR(update[i], scaled + 0.95 * moved, 2e-6);
      }
      ASSERT_EQ(update[n], kGuard);
      ASSERT_EQ(momentum[n], before[n]);
      std::vector<float> y = Random(n + 1, 5);
      const std::vector<float> y0 = y;
      ScaleAdd(threads, n, 0.5f, y.data(), -2.0f, g.data());
      for (size_t i = 0; i < n; ++i) ASSERT_NEAR(y[i], 0.5 * y0[i] - 2.0 * g[i], 2e-6);
      ASSERT_EQ(y[n], y0[n]);
    }
  });
}

TEST(OptimizerKernelTest, SumOfSquaresIsAccurateForEveryLength) {
  ThreadPool threads(2);
  ForEachTarget([&] {
    for (const size_t n : Lengths()) {
      const std::vector<float> x = Random(n, 7);
      std::vector<double> partials(NumOptimizerChunks(n));
      double expected = 0;
      for (const float value : x) expected += double{value} * value;
      ASSERT_NEAR(SumOfSquares(threads, n, x.data(), partials), expected, 1e-12 * (1 + expected));
    }
  });
}

TEST(OptimizerKernelTest, AnyNumberOfThreadsGivesTheSameBits) {
  const size_t n = 7 * kOptimizerChunk + 123;
  const std::vector<float> g = Random(n, 1);
  std::vector<float> first_w;
  double first_sum = 0;
  for (const size_t num_threads : {1, 2, 3, 5}) {
    ThreadPool threads(num_threads);
    std::vector<float> w = Random(n, 2), m(n), v(n), update(n);
    std::vector<double> partials(NumOptimizerChunks(n));
    const AdamWStep step = {.learning_rate = 0.01, .correction1 = 0.1, .correction2 = 0.05};
    AdamWUpdate(threads, step, n, w.data(), g.data(), m.data(), v.data());
    MomentumUpdate(threads, 0.95f, 1.0f, n, g.data(), m.data(), update.data());
    ScaleAdd(threads, n, 0.9f, w.data(), 0.1f, update.data());
    const double sum = SumOfSquares(threads, n, w.data(), partials);
    if (num_threads == 1) {
      first_w = w;
      first_sum = sum;
    }
    EXPECT_EQ(std::memcmp(w.data(), first_w.data(), n * sizeof(float)), 0);
    EXPECT_EQ(sum, first_sum);
  }
}

}  // namespace
}  // namespace qwen25
