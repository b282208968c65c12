#include "ops/contrastive_loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"
#include "ops/mean_pool.h"
#include "ops/ops_test_util.h"

namespace qwen25 {
namespace {

struct Bench : Machine {
  explicit Bench(size_t num_threads = 2) : Machine(num_threads) {}

  Tensor Random(size_t rows, size_t cols, uint64_t seed) {
    Tensor tensor = tensors.New(rows, cols);
    Rng rng(seed);
    for (size_t i = 0; i < rows * cols; ++i) tensor.data()[i] = static_cast<float>(rng.Normal());
    return tensor;
  }
};

double LossByDefinition(const Tensor& x, double temperature) {
  const size_t pairs = x.rows() / 2;
  const auto cosine = [&](size_t a, size_t b) {
    double dot = 0, aa = 0, bb = 0;
    for (size_t d = 0; d < x.cols(); ++d) {
      const double p = x.view().Row(a)[d], q = x.view().Row(b)[d];
      dot += p * q, aa += p * p, bb += q * q;
    }
    return aa == 0 || bb == 0 ? 0 : dot / std::sqrt(aa * bb);
  };
  double sum = 0;
  for (size_t i = 0; i < pairs; ++i) {
    double row = 0, column = 0;
    for (size_t j = 0; j < pairs; ++j) {
      row += std::exp(cosine(2 * i, 2 * j + 1) / temperature);
      column += std::exp(cosine(2 * j, 2 * i + 1) / temperature);
    }
    sum += (std::log(row) + std::log(column)) / 2 - cosine(2 * i, 2 * i + 1) / temperature;
  }
  return sum;
}

TEST(ContrastiveLoss, IsItsDefinition) {
  Bench bench;
  for (const size_t pairs : {2, 3, 67}) {
    Tensor x = bench.Random(2 * pairs, 19, pairs);
    std::fill_n(x.view().Row(1), 19, 0.0f);  // a text of which nothing is left
    const LossSum loss = ContrastiveLoss(bench.execution, x, 0.1f, 0);
    EXPECT_EQ(loss.num_tokens, pairs);
    EXPECT_NEAR(loss.sum, LossByDefinition(x, 0.1f), 1e-4 * static_cast<double>(pairs));
    EXPECT_EQ(x.grad(), nullptr) << "no tape, no gradient";
  }
}

TEST(ContrastiveLoss, GradientMatchesFiniteDifferencesThroughThePool) {
  Bench bench;
  constexpr float kTemperature = 0.5f, kScale = 0.25f, kStep = 1e-2f;
  const std::vector<int32_t> starts = {0, 1, 4, 4, 9, 11, 14, 15, 19};  // the third is empty
  Tensor x = bench.Random(19, 5, 3);
  const auto loss = [&] {
    return ContrastiveLoss(bench.execution, MeanPool(bench.execution, x, starts), kTemperature, kScale).sum;
  };
  bench.execution.tape = &bench.tape;
  loss();
  bench.tape.BackwardTo(0, bench.execution);
  bench.execution.tape = nullptr;
  ASSERT_NE(x.grad(), nullptr);
  for (size_t i = 0; i < 19 * 5; ++i) {
    const float kept = x.data()[i];
    x.data()[i] = kept + kStep;
    const double up = loss();
    x.data()[i] = kept - kStep;
    const double down = loss();
    x.data()[i] = kept;
    ASSERT_NEAR(x.grad()[i], kScale * (up - down) / (2 * kStep), 1e-3) << i;
  }
}

TEST(ContrastiveLoss, AddsToAGradientThatIsThere) {
  Bench bench;
  Tensor fresh = bench.Random(6, 8, 1), used = bench.Random(6, 8, 1);
  ASSERT_TRUE(used.MakeGrad());
  std::fill_n(used.grad(), 6 * 8, 2.0f);
  bench.execution.tape = &bench.tape;
  ContrastiveLoss(bench.execution, fresh, 0.2f, 1);
  ContrastiveLoss(bench.execution, used, 0.2f, 1);
  for (size_t i = 0; i < 6 * 8; ++i) ASSERT_EQ(used.grad()[i], fresh.grad()[i] + 2.0f);
}

TEST(ContrastiveLoss, ThreadsChangeNothing) {
  std::vector<float> gradients[2];
  double sums[2];
  for (const size_t run : {0, 1}) {
    Bench bench(run == 0 ? 1 : 3);
    Tensor x = bench.Random(140, 33, 5);
    bench.execution.tape = &bench.tape;
    sums[run] = ContrastiveLoss(bench.execution, x, 0.05f, 1.0f / 70).sum;
    gradients[run].assign(x.grad(), x.grad() + 140 * 33);
  }
  EXPECT_EQ(sums[0], sums[1]);
  EXPECT_EQ(gradients[0], gradients[1]);
}

TEST(MeanPool, AveragesEachSequenceAndAddsItsGradient) {
  Bench bench;
  Tensor x = bench.Random(7, 3, 2);
  const std::vector<int32_t> starts = {0, 2, 2, 7};
  bench.execution.tape = &bench.tape;
  Tensor out = MeanPool(bench.execution, x, starts);
  for (size_t d = 0; d < 3; ++d) {
    EXPECT_FLOAT_EQ(out.view().Row(0)[d], (x.view().Row(0)[d] + x.view().Row(1)[d]) / 2);
    EXPECT_EQ(out.view().Row(1)[d], 0.0f);
  }
  x.MakeGrad();
  std::fill_n(x.grad(), 7 * 3, 1.0f);
  out.MakeGrad();
  for (size_t i = 0; i < 9; ++i) out.grad()[i] = static_cast<float>(i);
  bench.tape.BackwardTo(0, bench.execution);
  for (size_t t = 0; t < 7; ++t) {
    for (size_t d = 0; d < 3; ++d) {
      const float wanted = t < 2 ? static_cast<float>(d) / 2 : static_cast<float>(6 + d) / 5;
      EXPECT_FLOAT_EQ(x.grad_view().Row(t)[d], 1 + wanted);
    }
  }
}

}  // namespace
}  // namespace qwen25
