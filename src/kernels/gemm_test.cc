#include "kernels/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "base/rng.h"

namespace qwen25 {
namespace {

std::vector<float> Random(size_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(rng.Uniform() * 2 - 1);
  return values;
}

struct Case {
  size_t m, n, k;
  bool a_transposed, b_transposed, accumulate, bias, residual;
};

// The product in double; `error` gets the bound that float32 summation may reach.
std::vector<double> Oracle(const Case& c, const std::vector<float>& a, const std::vector<float>& b,
                           const std::vector<float>& old, const std::vector<float>& bias,
                           const std::vector<float>& residual) {
  std::vector<double> result(c.m * c.n);
  for (size_t i = 0; i < c.m; ++i) {
    for (size_t j = 0; j < c.n; ++j) {
      double sum = c.accumulate ? old[i * c.n + j] : 0.0;
      for (size_t l = 0; l < c.k; ++l) {
        sum += double{c.a_transposed ? a[l * c.m + i] : a[i * c.k + l]} *
               double{c.b_transposed ? b[j * c.k + l] : b[l * c.n + j]};
      }
      if (c.bias) sum += bias[j];
      if (c.residual) sum += residual[i * c.n + j];
      result[i * c.n + j] = sum;
    }
  }
  return result;
}

std::vector<float> Product(const Case& c, size_t num_threads, const std::vector<float>& a,
                           const std::vector<float>& b, const std::vector<float>& old,
                           const std::vector<float>& bias, const std::vector<float>& residual) {
  ThreadPool threads(num_threads);
  Scratch scratch(num_threads);
  std::vector<float> result = old;
  Gemm(threads, scratch, c.m, c.n, c.k, {a.data(), c.a_transposed ? c.m : c.k, c.a_transposed},
       {b.data(), c.b_transposed ? c.k : c.n, c.b_transposed},
       {.c = {result.data(), c.m, c.n},
        .accumulate = c.accumulate,
        .bias = c.bias ? bias.data() : nullptr,
        .residual = c.residual ? residual.data() : nullptr,
        .residual_stride = c.n});
  return result;
}

void CheckCase(const Case& c) {
  const auto a = Random(c.m * c.k, 1), b = Random(c.k * c.n, 2), old = Random(c.m * c.n, 3);
  const auto bias = Random(c.n, 4), residual = Random(c.m * c.n, 5);
  const auto oracle = Oracle(c, a, b, old, bias, residual);
  const auto one = Product(c, 1, a, b, old, bias, residual);
  const auto three = Product(c, 3, a, b, old, bias, residual);
  const double tolerance = 2e-7 * (std::sqrt(double(c.k)) * 4 + 8);
  for (size_t i = 0; i < oracle.size(); ++i) {
    ASSERT_NEAR(one[i], oracle[i], tolerance)
        << c.m << "x" << c.n << "x" << c.k << " at row " << i / c.n << " column " << i % c.n;
  }
  EXPECT_EQ(std::memcmp(one.data(), three.data(), one.size() * sizeof(float)), 0)
      << "threads change the result";
}

TEST(GemmTest, EveryRowCountAroundTheTiles) {
  for (size_t m = 1; m <= 70; ++m) CheckCase({m, 33, 17, false, true, false, true, true});
}

TEST(GemmTest, EveryColumnCountAroundThePanels) {
  for (size_t n = 1; n <= 70; ++n) CheckCase({5, n, 9, true, false, true, true, false});
}

TEST(GemmTest, DepthsAroundTheBlocks) {
  for (size_t k : {1, 2, 15, 16, 17, 383, 384, 385, 768, 1000}) {
    CheckCase({15, 40, k, false, true, false, false, true});
    CheckCase({30, 31, k, true, false, true, true, false});
  }
}

TEST(GemmTest, SeveralTasksPerThread) {
  CheckCase({300, 600, 70, false, true, false, true, true});
  CheckCase({300, 600, 70, true, false, true, false, false});
  CheckCase({300, 600, 70, false, false, false, false, false});
}

TEST(GemmTest, DepthBeyondOnePackedPart) {
  CheckCase({20, 1100, 1200, true, false, true, true, true});
}

// The result of a row must not depend on the rows around it: a token alone in a decode step and the same
// token in a prompt get the same bits.
TEST(GemmTest, ARowIsTheSameAloneAndInAnyBatch) {
  constexpr size_t kRows = 61, kN = 100, kK = 500;
  const auto a = Random(kRows * kK, 1), b = Random(kK * kN, 2);
  ThreadPool threads(2);
  Scratch scratch(2);
  std::vector<float> all(kRows * kN), packed_all(kRows * kN), alone(kN);
  const GemmOperand right = {b.data(), kK, true};
  Gemm(threads, scratch, kRows, kN, kK, {a.data(), kK, false}, right, {.c = {all.data(), kRows, kN}});
  AlignedBuffer<float> packed(PackedFloats(kK, kN));
  PackRightHandSide(threads, kK, kN, right, packed.data());
  GemmPacked(threads, scratch, kRows, kN, kK, {a.data(), kK, false}, {packed.data()},
             {.c = {packed_all.data(), kRows, kN}});
  EXPECT_EQ(all, packed_all);
  for (size_t row = 0; row < kRows; ++row) {
    GemmPacked(threads, scratch, 1, kN, kK, {a.data() + row * kK, kK, false}, {packed.data()},
               {.c = {alone.data(), 1, kN}});
    ASSERT_EQ(std::memcmp(alone.data(), all.data() + row * kN, kN * sizeof(float)), 0) << "row " << row;
  }
}

// Half the bytes, the same bits: widening is exact.
TEST(GemmTest, SixteenBitPanelsGiveTheBitsOfTheirValuesInFloat32) {
  constexpr size_t kN = 70, kK = 500;
  ThreadPool threads(2);
  Scratch scratch(2);
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    const bool half = dtype == DType::kF16;
    auto b = Random(kK * kN, 2);
    for (float& value : b) {
      value = half ? Float16ToFloat(FloatToFloat16(value)) : BFloat16ToFloat(FloatToBFloat16(value));
    }
    b[3] = half ? 0x1p-24f : 0x1p-133f;  // subnormal
    AlignedBuffer<float> wide(PackedFloats(kK, kN));
    PackRightHandSide(threads, kK, kN, {b.data(), kK, true}, wide.data());
    AlignedBuffer<uint16_t> narrow(wide.size());
    for (size_t i = 0; i < wide.size(); ++i) {
      narrow[i] = half ? FloatToFloat16(wide[i]) : FloatToBFloat16(wide[i]);
    }
    for (const size_t rows : {1, 2, 17, 130}) {
      const auto a = Random(rows * kK, rows);
      std::vector<float> from_wide(rows * kN), from_narrow(rows * kN);
      GemmPacked(threads, scratch, rows, kN, kK, {a.data(), kK, false}, {wide.data()},
                 {.c = {from_wide.data(), rows, kN}});
      GemmPacked(threads, scratch, rows, kN, kK, {a.data(), kK, false}, {narrow.data(), dtype},
                 {.c = {from_narrow.data(), rows, kN}});
      ASSERT_EQ(from_wide, from_narrow) << rows << " rows, " << DTypeName(dtype);
    }
  }
}

TEST(GemmTest, ResidualMayBeTheOutputItself) {
  const auto a = Random(20 * 30, 1), b = Random(30 * 40, 2), old = Random(20 * 40, 3);
  const Case c = {20, 40, 30, false, false, false, false, true};
  const auto separate = Product(c, 2, a, b, std::vector<float>(20 * 40), {}, old);
  ThreadPool threads(2);
  Scratch scratch(2);
  std::vector<float> in_place = old;
  Gemm(threads, scratch, 20, 40, 30, {a.data(), 30, false}, {b.data(), 40, false},
       {.c = {in_place.data(), 20, 40}, .residual = in_place.data(), .residual_stride = 40});
  EXPECT_EQ(in_place, separate);
}

}  // namespace
}  // namespace qwen25
