#include "ops/ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "base/rng.h"
#include "ops/head_norms.h"
#include "ops/ops_test_util.h"

namespace qwen25 {
namespace {

// With memory for parameters.
struct Bench : Machine {
  explicit Bench(size_t num_threads = 2) : Machine(num_threads) {}
  std::deque<std::vector<float>> memory;
  std::vector<GradientRange> ranges;

  Parameter NewParameter(size_t rows, size_t cols, uint64_t seed) {
    float* data = Fill(rows * cols, seed);
    ranges.push_back({data, rows * cols, memory.emplace_back(rows * cols, 0.0f).data()});
    execution.gradients = ranges;
    return {.data = data, .rows = rows, .cols = cols};
  }
  float* Grad(const Parameter& parameter) const { return execution.GradientOf(parameter); }
  Tensor NewTensor(size_t rows, size_t cols, uint64_t seed) {
    Tensor tensor = tensors.New(rows, cols);
    std::copy_n(Fill(rows * cols, seed), rows * cols, tensor.data());
    return tensor;
  }
  float* Fill(size_t count, uint64_t seed) {
    std::vector<float>& values = memory.emplace_back(count);
    Rng rng(seed);
    for (float& value : values) value = static_cast<float>(rng.Uniform() * 2 - 1);
    return values.data();
  }
};

// Holds the gradients of sum(out * coefficients) to central differences. `build` makes the output from
// scratch, `inputs` are the numbers that it depends on, with the gradients that backward must give.
struct Input {
  const char* name;
  float* data;
  const float* grad;
  size_t count;
};
void CheckGradients(
    Bench& bench, const std::function<Tensor()>& build, const std::vector<Input>& inputs,
    const std::function<void()>& after_backward = [] {}, double tolerance = 2e-3) {
  bench.execution.tape = &bench.tape;
  Tensor out = build();
  const size_t count = out.rows() * out.cols();
  const float* coefficients = bench.Fill(count, 99);
  ASSERT_TRUE(out.MakeGrad());
  std::copy_n(coefficients, count, out.grad());
  bench.tape.BackwardTo(0, bench.execution);
  bench.execution.tape = nullptr;
  after_backward();
  const auto loss = [&] {
    Tensor again = build();
    double sum = 0;
    for (size_t i = 0; i < count; ++i) sum += double{coefficients[i]} * again.data()[i];
    return sum;
  };
  for (const Input& input : inputs) {
    for (size_t i = 0; i < input.count; ++i) {
      constexpr float kStep = 1e-2f;
      const float kept = input.data[i];
      input.data[i] = kept + kStep;
      const double up = loss();
      input.data[i] = kept - kStep;
      const double down = loss();
      input.data[i] = kept;
      ASSERT_NEAR(input.grad[i], (up - down) / (2 * kStep), tolerance) << input.name << "[" << i << "]";
    }
  }
}

TEST(OpsTest, RmsNormMatchesItsFormulaAndFiniteDifferences) {
  Bench bench;
  for (size_t width : {1, 5, 16, 33}) {
    Tensor x = bench.NewTensor(37, width, 1);
    Parameter weight = bench.NewParameter(1, width, 2);
    Tensor y = RmsNorm(bench.execution, x, weight, 1e-5f);
    for (size_t t = 0; t < 37; ++t) {
      double sum = 0;
      for (size_t d = 0; d < width; ++d) sum += std::pow(double{x.data()[t * width + d]}, 2);
      const double r = 1 / std::sqrt(1e-5 + sum / double(width));
      for (size_t d = 0; d < width; ++d) {
        ASSERT_NEAR(y.data()[t * width + d], x.data()[t * width + d] * r * weight.data[d], 2e-6);
      }
    }
  }
  Tensor x = bench.NewTensor(35, 6, 1);
  Parameter weight = bench.NewParameter(1, 6, 2);
  // Two uses of x: the second to run backward must add, not overwrite.
  Tensor first, second;
  CheckGradients(bench,
                 [&] {
                   Tensor a = RmsNorm(bench.execution, x, weight, 1e-2f);
                   return RmsNorm(bench.execution, a, weight, 1e-2f);
                 },
                 {{"weight", weight.data, bench.Grad(weight), 6}});
  std::fill_n(bench.Grad(weight), 6, 0.0f);
  x.FreeGrad();
  bench.execution.tape = &bench.tape;
  Tensor out = RmsNorm(bench.execution, x, weight, 1e-2f);
  x.MakeGrad();
  std::fill_n(x.grad(), 35 * 6, 1.0f);
  out.MakeGrad();
  std::fill_n(out.grad(), 35 * 6, 0.0f);
  bench.tape.BackwardTo(0, bench.execution);
  for (size_t i = 0; i < 35 * 6; ++i) ASSERT_EQ(x.grad()[i], 1.0f) << "an existing gradient was overwritten";
}

TEST(OpsTest, RmsNormInputGradient) {
  Bench bench;
  Tensor x = bench.NewTensor(3, 19, 1);
  Parameter weight = bench.NewParameter(1, 19, 2);
  x.MakeGrad();
  std::fill_n(x.grad(), 3 * 19, 0.0f);
  CheckGradients(bench, [&] { return RmsNorm(bench.execution, x, weight, 1e-5f); },
                 {{"x", x.data(), x.grad(), 3 * 19}, {"weight", weight.data, bench.Grad(weight), 19}});
}

// Heads of queries and keys, each with their weight; values pass.
TEST(OpsTest, NormalizeHeadsMatchesRmsNormAndFiniteDifferences) {
  constexpr size_t T = 35, D = 6, H = 3, K = 2, kCols = (H + 2 * K) * D;
  Bench bench;
  const Tensor given = bench.NewTensor(T, kCols, 1);
  Parameter q_weight = bench.NewParameter(1, D, 2), k_weight = bench.NewParameter(1, D, 3);
  Tensor qkv;
  const auto build = [&] {
    qkv = bench.tensors.New(T, kCols);
    std::copy_n(given.data(), T * kCols, qkv.data());
    return NormalizeHeads(bench.execution, qkv, {H, K}, q_weight, k_weight, 1e-2f);
  };
  const Tensor in_place = build();
  EXPECT_EQ(in_place.data(), qkv.data());
  for (size_t head = 0; head < H + 2 * K; ++head) {
    Tensor x = bench.tensors.New(T, D);
    const auto columns = given.view().Cols(head * D, (head + 1) * D);
    for (size_t t = 0; t < T; ++t) std::copy_n(columns.Row(t), D, x.view().Row(t));
    const Tensor wanted =
        head < H + K ? RmsNorm(bench.execution, x, head < H ? q_weight : k_weight, 1e-2f) : x;
    for (size_t t = 0; t < T; ++t) {
      for (size_t d = 0; d < D; ++d) {
        ASSERT_EQ(in_place.view().Row(t)[head * D + d], wanted.view().Row(t)[d]) << head;
      }
    }
  }
  std::vector<float> gradient(T * kCols);
  Tensor taped;
  CheckGradients(
      bench,
      [&] {
        Tensor out = build();
        if (bench.execution.tape != nullptr) taped = qkv;
        return out;
      },
      {{"qkv", given.data(), gradient.data(), T * kCols},
       {"q_weight", q_weight.data, bench.Grad(q_weight), D},
       {"k_weight", k_weight.data, bench.Grad(k_weight), D}},
      [&] { std::copy_n(taped.grad(), T * kCols, gradient.data()); }, 4e-3);
}

TEST(OpsTest, LinearWithBiasAndResidual) {
  Bench bench;
  Tensor x = bench.NewTensor(5, 7, 1), residual = bench.NewTensor(5, 9, 3);
  Parameter weight = bench.NewParameter(9, 7, 2), bias = bench.NewParameter(1, 9, 4);
  Tensor y = Linear(bench.execution, x, weight, &bias, &residual);
  for (size_t t = 0; t < 5; ++t) {
    for (size_t n = 0; n < 9; ++n) {
      double sum = bias.data[n] + residual.data()[t * 9 + n];
      for (size_t m = 0; m < 7; ++m) sum += double{x.data()[t * 7 + m]} * weight.data[n * 7 + m];
      ASSERT_NEAR(y.data()[t * 9 + n], sum, 1e-5);
    }
  }
  y.Reset();
  x.MakeGrad();
  std::fill_n(x.grad(), 5 * 7, 0.0f);
  std::vector<float> residual_grad(5 * 9);
  CheckGradients(
      bench, [&] { return Linear(bench.execution, x, weight, &bias, &residual); },
      {{"x", x.data(), x.grad(), 5 * 7},
       {"weight", weight.data, bench.Grad(weight), 9 * 7},
       {"bias", bias.data, bench.Grad(bias), 9},
       {"residual", residual.data(), residual_grad.data(), 5 * 9}},
      [&] { std::copy_n(residual.grad(), 5 * 9, residual_grad.data()); });
}

TEST(OpsTest, SwiGluMatchesItsFormulaAndFiniteDifferences) {
  Bench bench;
  Tensor gate_up = bench.NewTensor(3, 2 * 21, 1);
  for (size_t i = 0; i < 3 * 42; ++i) gate_up.data()[i] *= 4;
  Tensor y = SwiGlu(bench.execution, gate_up);
  for (size_t t = 0; t < 3; ++t) {
    for (size_t f = 0; f < 21; ++f) {
      const double g = gate_up.data()[t * 42 + f], u = gate_up.data()[t * 42 + 21 + f];
      ASSERT_NEAR(y.data()[t * 21 + f], g / (1 + std::exp(-g)) * u, 1e-5);
    }
  }
  y.Reset();
  std::vector<float> grad(3 * 42);
  CheckGradients(
      bench, [&] { return SwiGlu(bench.execution, gate_up); },
      {{"gate_up", gate_up.data(), grad.data(), 3 * 42}},
      [&] { std::copy_n(gate_up.grad(), grad.size(), grad.data()); });
}

TEST(OpsTest, SwiGluIsFiniteForLargeInputs) {
  Bench bench;
  Tensor gate_up = bench.tensors.New(1, 4);
  const float values[] = {-200.0f, 200.0f, 1.0f, 1.0f};
  std::copy_n(values, 4, gate_up.data());
  Tensor y = SwiGlu(bench.execution, gate_up);
  EXPECT_NEAR(y.data()[0], 0.0f, 1e-30);
  EXPECT_EQ(y.data()[1], 200.0f);
}

TEST(OpsTest, EmbeddingGradientAddsUpRepeatedTokens) {
  Bench bench;
  Parameter table = bench.NewParameter(6, 70, 1);
  const std::vector<int32_t> tokens = {3, 0, 3, 5, 3};
  CheckGradients(bench, [&] { return Embedding(bench.execution, table, tokens); },
                 {{"table", table.data, bench.Grad(table), 6 * 70}});
}

TEST(OpsTest, CrossEntropyMatchesItsFormulaAndFiniteDifferences) {
  Bench bench;
  constexpr size_t kRows = 150, kWidth = 6, kVocabulary = 37;
  Tensor x = bench.NewTensor(kRows, kWidth, 1);
  Parameter weight = bench.NewParameter(kVocabulary, kWidth, 2);
  std::vector<int32_t> targets(kRows);
  Rng rng(5);
  for (auto& target : targets) target = static_cast<int32_t>(rng.Below(kVocabulary + 3)) - 3;
  for (auto& target : targets) target = std::max(target, -1);

  std::vector<float> row_losses(kRows);
  const LossSum loss = CrossEntropy(bench.execution, x, weight, targets, 0.5f, row_losses);
  double sum = 0;
  size_t num_tokens = 0;
  for (size_t t = 0; t < kRows; ++t) {
    double expected = 0;
    if (targets[t] >= 0) {
      double total = 0, wanted = 0;
      for (size_t v = 0; v < kVocabulary; ++v) {
        double logit = 0;
        for (size_t d = 0; d < kWidth; ++d)
          logit += double{x.data()[t * kWidth + d]} * weight.data[v * kWidth + d];
        total += std::exp(logit);
        if (v == size_t(targets[t])) wanted = logit;
      }
      expected = std::log(total) - wanted;
      ++num_tokens;
    }
    ASSERT_NEAR(row_losses[t], expected, 1e-5);
    sum += expected;
  }
  EXPECT_EQ(loss.num_tokens, num_tokens);
  EXPECT_NEAR(loss.sum, sum, 1e-3);

  bench.execution.tape = &bench.tape;
  CrossEntropy(bench.execution, x, weight, targets, 0.5f);
  bench.execution.tape = nullptr;
  const auto value = [&] { return 0.5 * CrossEntropy(bench.execution, x, weight, targets, 0.5f).sum; };
  const auto check = [&](float* data, const float* grad, size_t count, const char* name) {
    for (size_t i = 0; i < count; i += 7) {
      const float kept = data[i];
      data[i] = kept + 1e-2f;
      const double up = value();
      data[i] = kept - 1e-2f;
      const double down = value();
      data[i] = kept;
      ASSERT_NEAR(grad[i], (up - down) / 2e-2, 3e-3) << name << "[" << i << "]";
    }
  };
  check(x.data(), x.grad(), kRows * kWidth, "x");
  check(weight.data, bench.Grad(weight), kVocabulary * kWidth, "weight");
}

TEST(OpsTest, AHeadPackedOnceGivesTheSameBits) {
  Bench bench;
  Tensor x = bench.NewTensor(70, 6, 1), again = bench.NewTensor(70, 6, 1);
  Parameter weight = bench.NewParameter(37, 6, 2), same = bench.NewParameter(37, 6, 2);
  std::vector<int32_t> targets(70);
  for (size_t t = 0; t < 70; ++t) targets[t] = static_cast<int32_t>(t % 38) - 1;
  bench.execution.tape = &bench.tape;
  const LossSum wanted = CrossEntropy(bench.execution, x, weight, targets, 0.5f);
  const PackedHead head = PackHead(bench.execution, same);
  const LossSum found = CrossEntropy(bench.execution, again, same, targets, 0.5f, {}, &head);
  EXPECT_EQ(found.sum, wanted.sum);
  EXPECT_TRUE(std::equal(x.grad(), x.grad() + 70 * 6, again.grad()));
  EXPECT_TRUE(std::equal(bench.Grad(weight), bench.Grad(weight) + weight.size(), bench.Grad(same)));
}

TEST(OpsTest, AFrozenWeightGetsNoGradientAndPassesOn) {
  Bench bench;
  const std::vector<int32_t> tokens = {3, 0, 5}, targets = {1, 2, 8};
  Parameter table = bench.NewParameter(6, 7, 1), norm = bench.NewParameter(1, 7, 2),
            weight = bench.NewParameter(7, 7, 3), bias = bench.NewParameter(1, 7, 4),
            head = bench.NewParameter(9, 7, 5);
  const auto table_grad = [&](size_t num_trained) {
    std::fill_n(bench.ranges[0].gradients, table.size(), 0.0f);
    bench.execution.gradients = std::span(bench.ranges).first(num_trained);
    bench.execution.tape = &bench.tape;
    const Tensor x = Linear(bench.execution,
                            RmsNorm(bench.execution, Embedding(bench.execution, table, tokens), norm, 1e-5f),
                            weight, &bias);
    CrossEntropy(bench.execution, x, head, targets, 1.0f);
    bench.tape.BackwardTo(0, bench.execution);
    return std::vector<float>(bench.ranges[0].gradients, bench.ranges[0].gradients + table.size());
  };
  const std::vector<float> frozen = table_grad(1);
  EXPECT_NE(frozen, std::vector<float>(table.size()));
  for (size_t i = 1; i < bench.ranges.size(); ++i) {
    EXPECT_TRUE(std::all_of(bench.ranges[i].gradients, bench.ranges[i].gradients + bench.ranges[i].size,
                            [](float value) { return value == 0; }));
  }
  EXPECT_EQ(frozen, table_grad(5)) << "what is frozen elsewhere changes nothing here";
  EXPECT_EQ(table_grad(0), std::vector<float>(table.size())) << "all frozen";
}

// Adds its number to a list when it runs backward.
struct CountingRecord {
  std::vector<int>* ran;
  int number;
  float ballast[50];
  void Backward(Execution&) { ran->push_back(number); }
};

TEST(OpsTest, TheTapeGrowsWithTheModel) {
  Bench bench;
  std::vector<int> ran;
  // Some 4 MB: more than a model of 256 layers leaves.
  constexpr int kRecords = 16000;
  for (int round = 0; round < 2; ++round) {
    ran.clear();
    for (int i = 0; i < kRecords; ++i) bench.tape.Push(CountingRecord{&ran, i, {}});
    EXPECT_EQ(bench.tape.position(), size_t{kRecords});
    bench.tape.BackwardTo(kRecords / 2, bench.execution);
    for (int i = kRecords / 2; i < kRecords; ++i) bench.tape.Push(CountingRecord{&ran, i, {}});
    bench.tape.BackwardTo(0, bench.execution);
    ASSERT_EQ(ran.size(), size_t{kRecords} + kRecords / 2);
    for (int i = 0; i < kRecords; ++i) ASSERT_EQ(ran[kRecords / 2 + i], kRecords - 1 - i);
  }
}

TEST(OpsTest, RecomputedSegmentsGiveTheSameBits) {
  const auto run = [](bool recompute) {
    Bench bench;
    Tensor x = bench.NewTensor(40, 16, 1);
    Parameter norm = bench.NewParameter(1, 16, 2), up = bench.NewParameter(64, 16, 3),
              down = bench.NewParameter(16, 32, 4);
    const auto layer = [&](Execution& execution, const Tensor& input) {
      const Tensor n = RmsNorm(execution, input, norm, 1e-6f);
      const Tensor h = SwiGlu(execution, Linear(execution, n, up));
      return Linear(execution, h, down, nullptr, &input);
    };
    bench.execution.tape = &bench.tape;
    Tensor out = x;
    for (int i = 0; i < 3; ++i) {
      out = recompute ? Recompute(bench.execution, out, layer) : layer(bench.execution, out);
    }
    out.MakeGrad();
    std::fill_n(out.grad(), 40 * 16, 0.5f);
    bench.tape.BackwardTo(0, bench.execution);
    std::vector<float> result(out.data(), out.data() + 40 * 16);
    result.insert(result.end(), x.grad(), x.grad() + 40 * 16);
    for (const Parameter& p : {norm, up, down})
      result.insert(result.end(), bench.Grad(p), bench.Grad(p) + p.size());
    return std::pair(result, bench.tensors.peak_bytes());
  };
  const auto [kept, kept_bytes] = run(false);
  const auto [recomputed, recomputed_bytes] = run(true);
  EXPECT_EQ(kept, recomputed);
  EXPECT_LT(recomputed_bytes, kept_bytes);
}

}  // namespace
}  // namespace qwen25
