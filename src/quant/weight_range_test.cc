#include "quant/weight_range.h"

#include <cmath>
#include <limits>
#include <vector>

#include "base/test_util.h"
#include "quant/gguf_blocks.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {
namespace {

// The greatest number of a format survives it, whatever stands beside it.
TEST(WeightRangeTest, WhatAFormatIsSaidToHoldItHolds) {
  constexpr size_t kCols = 256;
  ThreadPool threads(1);
  for (const float sign : {1.0f, -1.0f}) {
    for (const float beside : {0.0f, 0.02f, -1.0f}) {
      for (const auto format : {WeightFormat::kFloat16, WeightFormat::kInt8, WeightFormat::kInt4,
                                WeightFormat::kInt8Minimum, WeightFormat::kInt4Minimum}) {
        const float largest = sign * LargestWeight(format);
        AlignedBuffer<std::byte> memory(PackedWeightBytes(format, 1, kCols));
        const auto row = [&](size_t, size_t, float* out) -> Status {
          std::fill_n(out, kCols, beside * largest);
          out[7] = largest;
          return {};
        };
        ASSERT_OK(PackWeight(threads, format, 1, kCols, row, memory.data()));
        std::vector<float> back(kCols);
        UnpackRow({format, memory.data()}, 1, kCols, 0, back.data());
        EXPECT_NEAR(back[7] / largest, 1, 0.2) << WeightFormatName(format) << " " << beside;
      }
      for (const auto type :
           {GgmlType::kF16, GgmlType::kQ8_0, GgmlType::kQ4_0, GgmlType::kQ4_1, GgmlType::kQ5_0,
            GgmlType::kQ5_1, GgmlType::kQ4_K, GgmlType::kQ5_K, GgmlType::kQ6_K}) {
        const float largest = sign * LargestWeight(type);
        std::vector<float> row(kCols, beside * largest), back(kCols);
        row[7] = largest;
        std::vector<std::byte> bytes(GgmlRowBytes(type, kCols));
        EncodeGgufRow(type, row.data(), kCols, bytes.data());
        DecodeGgufRow(type, bytes.data(), kCols, back.data());
        EXPECT_NEAR(back[7] / largest, 1, 0.2) << GgmlTypeName(type) << " " << beside;
        if (type != GgmlType::kQ4_0) continue;
        EncodeFittedQ4_0Row(row.data(), kCols, bytes.data());
        DecodeGgufRow(type, bytes.data(), kCols, back.data());
        EXPECT_NEAR(back[7] / largest, 1, 0.2) << "fitted " << beside;
      }
    }
  }
}

TEST(WeightRangeTest, NamesThePlaceOfTheFirst) {
  std::vector<float> values(100, 0.5f);
  EXPECT_EQ(FindTooLarge(values, 1), 100u);
  EXPECT_OK(CheckWeights(values, "w"));
  values[40] = 3e38f;
  EXPECT_EQ(FindTooLarge(values, 1), 40u);
  EXPECT_ERROR_CONTAINS(CheckWeights(values, "tensor w", 1000), "tensor w holds 3e+38 at element 1040");
  values[30] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_ERROR_CONTAINS(CheckWeights(values, "tensor w"), "tensor w holds nan at element 30");
  values.assign(100, -1e7f);
  EXPECT_OK(CheckWeights(values, "w"));
  EXPECT_ERROR_CONTAINS(CheckWeightsFit(values, LargestWeight(WeightFormat::kFloat16), "float16", "w"),
                        "w holds -1e+07 at element 0, and float16 keeps at most 6.55e+04");
}

}  // namespace
}  // namespace qwen25
