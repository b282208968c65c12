// Weight matrices as inference reads them: formats, packing, and reading back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/dtype.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "kernels/quant_gemm.h"

namespace qwen25 {

enum class WeightFormat : uint8_t {
  kFloat32,   // panels of kernels/gemm.h
  kBFloat16,  // the same; products are those of the rounded weights in float32, bit for bit
  kFloat16,
  kInt8,  // 8.5 bits per weight: 32 consecutive inputs share a float16 scale (the size of GGUF's Q8_0)
  kInt4,  // 4.5 bits, the same groups (the size of GGUF's Q4_0)
  // With a float16 minimum per group, half a bit more: what GGUF's Q4_1, Q4_K, Q5_1 and Q5_K become.
  kInt8Minimum,
  kInt4Minimum,
};

// "float32", "bfloat16", "float16", "int8", "int4", "int8m", "int4m".
std::string_view WeightFormatName(WeightFormat format);
// kInvalidArgument, with the list, for another name.
Result<WeightFormat> ParseWeightFormat(std::string_view name);

// Whether products are integer dot products, which quantise the activations, too.
constexpr bool IsQuantized(WeightFormat format) {
  return format >= WeightFormat::kInt8;
}
// The kernels' descriptions of a quantised format, and of one that is not. The other kind aborts.
QuantCode QuantCodeOf(WeightFormat format);
DType FloatDTypeOf(WeightFormat format);

// A packed matrix [rows, cols] in memory that others own.
struct PackedWeight {
  WeightFormat format = WeightFormat::kFloat32;
  const std::byte* data = nullptr;  // null: not packed

  explicit operator bool() const { return data != nullptr; }
};

// Bytes of a packed matrix, a multiple of 64.
size_t PackedWeightBytes(WeightFormat format, size_t rows, size_t cols);

// Fills out [end - begin, cols] with rows [begin, end) of a matrix in float32. Called from several threads at
// a time; an error ends the packing.
using WeightRows = std::function<Status(size_t begin, size_t end, float* out)>;

// Packs the matrix that `source` reads into PackedWeightBytes bytes at `memory`, 64-byte aligned. Never holds
// more of the matrix in float32 than 32 rows per thread. A weight w of a group becomes the code nearest to w
// / scale:
//   int8: scale = max |w| / 127
//   int4: codes -8..7; the scale of least squared error for the codes that -(w of greatest magnitude) / 8
//         gives. The greatest weight keeps nearly its value: scales that clip it have a smaller squared
//         error, and cost a trained model more (docs/benchmarks.md, "On a trained model")
//   int8m: as int8, with a minimum of 0
//   int4m: minimum = the least weight of the group, scale = (greatest - least) / 15
Status PackWeight(ThreadPool& threads, WeightFormat format, size_t rows, size_t cols,
                  const WeightRows& source, std::byte* memory);

// out [cols] = row `row` of a packed matrix [rows, cols].
void UnpackRow(const PackedWeight& weight, size_t rows, size_t cols, size_t row, float* out);

}  // namespace qwen25
