#include "quant/packed_weight.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "base/rng.h"
#include "base/test_util.h"
#include "quant/panel_layout.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {
namespace {

constexpr WeightFormat kFormats[] = {WeightFormat::kFloat32, WeightFormat::kBFloat16, WeightFormat::kFloat16,
                                     WeightFormat::kInt8, WeightFormat::kInt4};

std::vector<float> Gaussian(size_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(0.02 * rng.Normal());
  return values;
}

WeightRows RowsOf(const std::vector<float>& w, size_t cols) {
  return [&w, cols](size_t begin, size_t end, float* out) -> Status {
    std::copy(w.begin() + static_cast<ptrdiff_t>(begin * cols),
              w.begin() + static_cast<ptrdiff_t>(end * cols), out);
    return {};
  };
}

// Root mean square of the error, relative to that of the weights.
double RelativeError(WeightFormat format, const std::vector<float>& w, size_t rows, size_t cols) {
  ThreadPool threads(2);
  const AlignedBuffer<std::byte> memory(PackedWeightBytes(format, rows, cols));
  QWEN25_CHECK(PackWeight(threads, format, rows, cols, RowsOf(w, cols), memory.data()).ok());
  double error = 0, norm = 0;
  std::vector<float> row(cols);
  for (size_t r = 0; r < rows; ++r) {
    UnpackRow({format, memory.data()}, rows, cols, r, row.data());
    for (size_t i = 0; i < cols; ++i) {
      error += std::pow(row[i] - w[r * cols + i], 2);
      norm += std::pow(w[r * cols + i], 2);
    }
  }
  return std::sqrt(error / norm);
}

// The second panel fails while the first is still at work.
TEST(ForPanels, TheFirstPanelThatFailsIsNamedWhicheverIsFaster) {
  ThreadPool threads(2);
  std::atomic<bool> second_failed = false;
  const Status status = ForPanels(threads, 2 * kQuantPanelRows, [&](size_t panel, size_t) {
    if (panel == 0) second_failed.wait(false);
    second_failed = true;
    second_failed.notify_all();
    return InvalidArgument("panel {}", panel);
  });
  EXPECT_ERROR_CONTAINS(status, "panel 0");
}

TEST(PackedWeightTest, ErrorsAreThoseOfTheFormat) {
  constexpr size_t kRows = 70, kCols = 1000;
  const std::vector<float> w = Gaussian(kRows * kCols, 1);
  EXPECT_EQ(RelativeError(WeightFormat::kFloat32, w, kRows, kCols), 0);
  EXPECT_NEAR(RelativeError(WeightFormat::kBFloat16, w, kRows, kCols), 0.0017, 0.0002);
  EXPECT_NEAR(RelativeError(WeightFormat::kFloat16, w, kRows, kCols), 0.00021, 0.00002);
  // Uniform rounding errors with max |w| of 32 Gaussians near 2.1 deviations: 2.1 / 127 / sqrt(12) = 0.0048.
  EXPECT_NEAR(RelativeError(WeightFormat::kInt8, w, kRows, kCols), 0.0050, 0.0004);
  // GGUF's Q4_0 has 0.089 on such weights (scale = extreme / -8).
  EXPECT_LT(RelativeError(WeightFormat::kInt4, w, kRows, kCols), 0.0875);
}

TEST(PackedWeightTest, ExactValuesStayExact) {
  for (const WeightFormat format : kFormats) {
    const int top = format == WeightFormat::kInt4 ? 7 : 127;
    std::vector<float> w(64);
    for (size_t i = 0; i < w.size(); ++i) w[i] = 0.25f * static_cast<float>(static_cast<int>(i % 15) - 7);
    w[5] = 0.25f * static_cast<float>(format == WeightFormat::kInt4 ? -8 : -top);
    w[40] = w[5];
    EXPECT_EQ(RelativeError(format, w, 1, 64), 0) << WeightFormatName(format);
    EXPECT_FALSE(std::isnan(RelativeError(format, w, 2, 32)));
  }
}

TEST(PackedWeightTest, ZeroAndTinyGroupsBecomeZero) {
  ThreadPool threads(1);
  for (const WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4}) {
    for (const float value : {0.0f, 1e-30f, -1e-12f}) {
      const std::vector<float> w(40, value);
      const AlignedBuffer<std::byte> memory(PackedWeightBytes(format, 1, 40));
      ASSERT_OK(PackWeight(threads, format, 1, 40, RowsOf(w, 40), memory.data()));
      std::vector<float> row(40);
      UnpackRow({format, memory.data()}, 1, 40, 0, row.data());
      for (float x : row) EXPECT_EQ(x, 0.0f);
    }
  }
}

TEST(PackedWeightTest, PassesOnTheSourcesError) {
  ThreadPool threads(2);
  const AlignedBuffer<std::byte> memory(PackedWeightBytes(WeightFormat::kInt8, 100, 32));
  const auto source = [](size_t begin, size_t, float*) -> Status {
    return begin == 64 ? Corrupt("row {} is damaged", begin) : Status();
  };
  EXPECT_ERROR_CONTAINS(PackWeight(threads, WeightFormat::kInt8, 100, 32, source, memory.data()),
                        "row 64 is damaged");
}

TEST(PackedWeightTest, NamesGoBothWays) {
  for (const WeightFormat format : kFormats) {
    ASSERT_OK_AND_ASSIGN(const WeightFormat again, ParseWeightFormat(WeightFormatName(format)));
    EXPECT_EQ(again, format);
  }
  EXPECT_ERROR_CONTAINS(ParseWeightFormat("int3"), "use one of: float32, bfloat16, float16, int8, int4");
}

}  // namespace
}  // namespace qwen25
