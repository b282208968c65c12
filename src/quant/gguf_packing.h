// Packs GGUF blocks into the panels that products read.
#pragma once

#include <functional>

#include "base/ggml_type.h"
#include "quant/packed_weight.h"

namespace qwen25 {

// The format that keeps the numbers of such a matrix. Exactly: F32, F16, BF16, Q8_0, Q5_0 (int8), Q4_0
// (int4), Q4_1 (int4m), Q5_1 (int8m), MXFP4 with scales of 2^-24 to 2^15 (int8). With the scales rounded to
// float16: Q4_K (int4m), Q5_K (int8m). To the nearest of 254 steps per group of 32: Q2_K, Q3_K, Q6_K (int8).
WeightFormat StoredFormatOf(GgmlType type);
// The format that holds two such formats at once: the parts of a fused matrix may differ in a file.
WeightFormat CommonFormat(WeightFormat a, WeightFormat b);

// A row of a matrix in a file: GgmlRowBytes of a format that CanDecodeGguf.
struct GgufRow {
  GgmlType type = GgmlType::kF32;
  const std::byte* bytes = nullptr;
};
// Called from several threads at a time.
using GgufRows = std::function<GgufRow(size_t row)>;

// PackWeight for such rows. Codes are kept if the format has them, and computed anew from the numbers if it
// does not. kCorrupt for numbers that are not finite; the message names the row.
Status PackGgufWeight(ThreadPool& threads, WeightFormat format, size_t rows, size_t cols,
                      const GgufRows& source, std::byte* memory);

// DecodeGgufRow; kCorrupt if a number is not finite.
Status DecodeFiniteGgufRow(const GgufRow& row, size_t cols, float* out);

}  // namespace qwen25
