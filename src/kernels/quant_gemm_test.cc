#include "kernels/quant_gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/dtype.h"
#include "base/rng.h"
#include "base/test_util.h"
#include "kernels/isa.h"
#include "kernels/isa_test_util.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {
namespace {

constexpr QuantCode kAllCodes[] = {{8, false}, {8, true}, {4, false}, {4, true}};

// Weights with random codes, scales and minima, as the kernels read them and as they are meant.
struct Weights {
  QuantCode code;
  size_t n, k;
  AlignedBuffer<uint8_t> panels;
  std::vector<int32_t> codes;         // [n, groups * 32], offset subtracted
  std::vector<float> scales, minima;  // [n, groups]

  Weights(const QuantCode& code, size_t n, size_t k, uint64_t seed)
      : code(code), n(n), k(k), panels(QuantMatrixBytes(code, n, k)) {
    Rng rng(seed);
    const size_t groups = NumQuantGroups(k);
    codes.resize(n * groups * kQuantGroup);
    scales.resize(n * groups);
    minima.resize(n * groups);
    std::memset(panels.data(), code.bits == 8 ? 128 : code.has_minimum ? 0 : 0x88, panels.size());
    for (size_t panel = 0; panel < NumQuantPanels(n); ++panel) {
      for (size_t g = 0; g < groups; ++g) {
        std::memset(Record(panel, g), 0, code.HeaderBytes());
      }
    }
    for (size_t row = 0; row < n; ++row) {
      for (size_t g = 0; g < groups; ++g) FillGroup(row, g, rng);
    }
  }

  uint8_t* Record(size_t panel, size_t group) {
    return panels.data() + (panel * NumQuantGroups(k) + group) * code.RecordBytes();
  }

  void FillGroup(size_t row, size_t group, Rng& rng) {
    const size_t r = row % kQuantPanelRows, groups = NumQuantGroups(k);
    uint8_t* record = Record(row / kQuantPanelRows, group);
    const auto put_half = [&](size_t at, double value) {
      const uint16_t half = FloatToFloat16(static_cast<float>(value));
      std::memcpy(record + 2 * at, &half, 2);
      return Float16ToFloat(half);
    };
    scales[row * groups + group] = put_half(r, 0.001 + 0.01 * rng.Uniform());
    if (code.has_minimum) {
      minima[row * groups + group] = put_half(kQuantPanelRows + r, -0.05 * rng.Uniform());
    }
    uint8_t* bytes = record + code.HeaderBytes();
    for (size_t i = 0; i < kQuantGroup && group * kQuantGroup + i < k; ++i) {
      // Extreme codes are frequent: they are what 16-bit sums would overflow on.
      const int top = code.bits == 8 ? 255 : 15;
      const double draw = rng.Uniform();
      const int value = draw < 0.2 ? 0 : draw < 0.4 ? top : static_cast<int>(rng.Uniform() * (top + 1));
      codes[(row * groups + group) * kQuantGroup + i] = value - code.Offset();
      if (code.bits == 8) {
        bytes[(i / 4 * kQuantPanelRows + r) * 4 + i % 4] = static_cast<uint8_t>(value);
      } else {
        uint8_t& byte = bytes[(i % 16 / 4 * kQuantPanelRows + r) * 4 + i % 4];
        byte = static_cast<uint8_t>(i < 16 ? (byte & 0xf0) | value : (byte & 0x0f) | value << 4);
      }
    }
  }
};

// The product as quant_gemm.h defines it, one number at a time.
std::vector<float> Reference(const Weights& w, const QuantRows& x) {
  std::vector<float> result(x.rows * w.n);
  const size_t groups = x.num_groups;
  for (size_t row = 0; row < x.rows; ++row) {
    for (size_t col = 0; col < w.n; ++col) {
      float total = 0;
      for (size_t g = 0; g < groups; ++g) {
        int32_t dot = 0, sum = 0;
        for (size_t i = 0; i < kQuantGroup; ++i) {
          const int32_t activation = x.codes[(row * groups + g) * kQuantGroup + i];
          dot += w.codes[(col * groups + g) * kQuantGroup + i] * activation;
          sum += activation;
        }
        const float x_scale = x.scales[row * groups + g];
        total = std::fma(static_cast<float>(dot), w.scales[col * groups + g] * x_scale, total);
        if (w.code.has_minimum) {
          total = std::fma(w.minima[col * groups + g], x_scale * static_cast<float>(sum), total);
        }
      }
      result[row * w.n + col] = total;
    }
  }
  return result;
}

// `shift` floats away from alignment.
std::vector<float> RandomRows(size_t rows, size_t cols, size_t shift, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> x(rows * cols + shift);
  for (float& value : x) value = static_cast<float>(rng.Normal());
  return x;
}

class QuantGemmTest : public testing::Test {
 protected:
  ~QuantGemmTest() override { (void)ForceIsa(best_); }
  const std::string best_ = CurrentIsa();
};

// Bit for bit where the instruction set has fused multiply-adds; else within rounding.
void ExpectSame(const std::string& isa, float actual, float expected) {
  if (isa.starts_with("AVX") || isa.starts_with("NEON")) {
    ASSERT_EQ(actual, expected) << isa;
  } else {
    ASSERT_NEAR(actual, expected, 1e-4f * (1 + std::fabs(expected))) << isa;
  }
}

TEST_F(QuantGemmTest, EqualsTheReferenceForEveryRowCountAndInstructionSet) {
  ThreadPool threads(2);
  for (const QuantCode& code : kAllCodes) {
    // Sizes below, at and above panels and groups, and more than one part of k.
    for (const auto& [n, k] :
         std::vector<std::pair<size_t, size_t>>{{1, 32}, {33, 20}, {32, 64}, {70, 1100}}) {
      const Weights weights(code, n, k, 1);
      for (size_t rows = 1; rows <= 70; rows += n == 70 ? 23 : 1) {
        const std::vector<float> x = RandomRows(rows, k, rows % 5, rows);
        const AlignedBuffer<float> memory(QuantRowsFloats(rows, k));
        const QuantRows quant = QuantizeRows(threads, {x.data() + rows % 5, rows, k}, code, memory.data());
        const std::vector<float> expected = Reference(weights, quant);
        for (const std::string& isa : IsaNames()) {
          ASSERT_OK(ForceIsa(isa));
          std::vector<float> out(rows * n, -1.0f);
          QuantGemm(threads, quant, code, weights.panels.data(), n, {.c = {out.data(), rows, n}});
          for (size_t i = 0; i < out.size(); ++i) ExpectSame(isa, out[i], expected[i]);
        }
      }
    }
  }
}

TEST_F(QuantGemmTest, ARowDoesNotDependOnItsCompany) {
  ThreadPool threads(2);
  constexpr size_t kN = 96, kK = 2080, kRows = 600;
  const QuantCode code = {4, false};
  const Weights weights(code, kN, kK, 3);
  const std::vector<float> x = RandomRows(kRows, kK, 0, 4);
  const AlignedBuffer<float> memory(QuantRowsFloats(kRows, kK));
  std::vector<float> all(kRows * kN), one(kN);
  QuantGemm(threads, QuantizeRows(threads, {x.data(), kRows, kK}, code, memory.data()), code,
            weights.panels.data(), kN, {.c = {all.data(), kRows, kN}});
  for (size_t row : {0, 5, 6, 511, 512, 599}) {
    QuantGemm(threads, QuantizeRows(threads, {x.data() + row * kK, 1, kK}, code, memory.data()), code,
              weights.panels.data(), kN, {.c = {one.data(), 1, kN}});
    for (size_t i = 0; i < kN; ++i) ASSERT_EQ(one[i], all[row * kN + i]) << row;
  }
}

TEST_F(QuantGemmTest, AddsBiasThenResidual) {
  ThreadPool threads(2);
  for (const size_t n : {32, 45}) {
    const QuantCode code = {8, false};
    const size_t rows = 40, k = 64;
    const Weights weights(code, n, k, 5);
    const std::vector<float> x = RandomRows(rows, k, 0, 6), bias = RandomRows(1, n, 0, 7);
    const std::vector<float> residual = RandomRows(rows, n, 0, 8);
    const AlignedBuffer<float> memory(QuantRowsFloats(rows, k));
    const QuantRows quant = QuantizeRows(threads, {x.data(), rows, k}, code, memory.data());
    std::vector<float> plain(rows * n), full(rows * n);
    QuantGemm(threads, quant, code, weights.panels.data(), n, {.c = {plain.data(), rows, n}});
    QuantGemm(threads, quant, code, weights.panels.data(), n,
              {.c = {full.data(), rows, n},
               .bias = bias.data(),
               .residual = residual.data(),
               .residual_stride = n});
    for (size_t i = 0; i < full.size(); ++i) ASSERT_EQ(full[i], plain[i] + bias[i % n] + residual[i]);
  }
}

TEST_F(QuantGemmTest, ActivationsAreRoundedToTheNearestCode) {
  ThreadPool threads(1);
  constexpr size_t kK = 70;
  const std::vector<float> x = RandomRows(3, kK, 0, 9);
  for (const std::string& isa : IsaNames()) {
    ASSERT_OK(ForceIsa(isa));
    const AlignedBuffer<float> memory(QuantRowsFloats(3, kK));
    const QuantRows quant = QuantizeRows(threads, {x.data(), 3, kK}, {4, false}, memory.data());
    for (size_t row = 0; row < 3; ++row) {
      for (size_t i = 0; i < 96; ++i) {
        const float scale = quant.scales[row * 3 + i / 32], value = i < kK ? x[row * kK + i] : 0.0f;
        EXPECT_NEAR(scale * static_cast<float>(quant.codes[row * 96 + i]), value, 0.5001f * scale) << isa;
      }
      for (size_t g = 0; g < 3; ++g) {
        int32_t sum = 0;
        for (size_t i = 0; i < 32; ++i) sum += quant.codes[row * 96 + 32 * g + i];
        EXPECT_EQ(quant.corrections[row * 3 + g], -8 * sum);
        EXPECT_EQ(quant.sums[row * 3 + g], quant.scales[row * 3 + g] * static_cast<float>(sum));
      }
    }
  }
}

TEST_F(QuantGemmTest, WhatIsNotFiniteShowsInItsRowAlone) {
  ThreadPool threads(1);
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    const QuantCode code = {8, false};
    const Weights weights(code, 32, 64, 10);
    std::vector<float> x = RandomRows(3, 64, 0, 11);
    x[64 + 40] = bad;
    const AlignedBuffer<float> memory(QuantRowsFloats(3, 64));
    std::vector<float> out(3 * 32);
    QuantGemm(threads, QuantizeRows(threads, {x.data(), 3, 64}, code, memory.data()), code,
              weights.panels.data(), 32, {.c = {out.data(), 3, 32}});
    for (size_t i = 0; i < out.size(); ++i) EXPECT_EQ(std::isnan(out[i]), i / 32 == 1);
  }
}

}  // namespace
}  // namespace qwen25
