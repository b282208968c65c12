#include "quant/gguf_packing.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/dtype.h"
#include "quant/gguf_blocks.h"
#include "quant/panel_layout.h"
#include "quant/weight_range.h"

namespace qwen25 {
namespace {

// The codes that a format, or the blocks of a file, can hold.
struct CodeRange {
  int low, high;
};
CodeRange RangeOf(WeightFormat format) {
  if (format == WeightFormat::kInt4) return {-8, 7};
  return format == WeightFormat::kInt4Minimum ? CodeRange{0, 15} : CodeRange{-128, 127};
}
CodeRange RangeOf(GgmlType type) {
  switch (type) {
    case GgmlType::kQ4_0:
      return {-8, 7};
    case GgmlType::kQ4_1:
    case GgmlType::kQ4_K:
      return {0, 15};
    case GgmlType::kQ5_0:
      return {-16, 15};
    case GgmlType::kQ5_1:
    case GgmlType::kQ5_K:
      return {0, 31};
    case GgmlType::kMXFP4:
      return {-12, 12};
    default:
      return {-128, 127};
  }
}

// How codes are taken over: code + offset in a format of unsigned codes, shift of them taken off the minimum.
struct Takeover {
  bool possible = false;
  int offset = 0, shift = 0;
};
Takeover TakeoverOf(GgmlType type, WeightFormat format) {
  const bool minimum = type == GgmlType::kQ4_1 || type == GgmlType::kQ5_1 || type == GgmlType::kQ4_K ||
                       type == GgmlType::kQ5_K;
  const QuantCode code = QuantCodeOf(format);
  const CodeRange have = RangeOf(type), may = RangeOf(format);
  // Signed 4-bit codes in a format of unsigned ones: 8 is added to the code and 8 scales taken off, exactly.
  const int shift = format == WeightFormat::kInt4Minimum && type == GgmlType::kQ4_0 ? 8 : 0;
  const bool two_scales = type == GgmlType::kQ2_K || type == GgmlType::kQ3_K || type == GgmlType::kQ6_K;
  return {.possible = !two_scales && (code.has_minimum || !minimum) && have.low + shift >= may.low &&
                      have.high + shift <= may.high,
          .offset = code.Offset() + shift,
          .shift = shift};
}

void Numbers(const GgufGroup& group, float* out) {
  for (size_t i = 0; i < kGgufGroup; ++i) {
    const float product = group.scales[i / 16] * static_cast<float>(group.codes[i]);
    out[i] = group.has_minimum ? product + group.minima[i / 16] : product;
  }
}

// False where the scales are too large for float16.
bool TakeCodes(const Takeover& takeover, const GgufGroup& group, EncodedGroup& out) {
  for (size_t i = 0; i < kGgufGroup; ++i) {
    out.codes[i] = static_cast<uint8_t>(group.codes[i] + takeover.offset);
  }
  out.scale = FloatToFloat16(group.scales[0]);
  out.minimum = FloatToFloat16(group.minima[0] - static_cast<float>(takeover.shift) * group.scales[0]);
  constexpr uint16_t kNotFinite = 0x7c00;
  return (out.scale & kNotFinite) != kNotFinite && (out.minimum & kNotFinite) != kNotFinite;
}

Status NotFinite(GgmlType type) {
  return Corrupt("a {} block holds numbers that are not finite; the file is damaged", GgmlTypeName(type));
}

Status CheckFits(std::span<const float> values, WeightFormat format, size_t first = 0) {
  return CheckWeightsFit(values, LargestWeight(format), WeightFormatName(format), "", first);
}

// One row of a panel in a quantised format, from a row in blocks.
Status PackBlocks(WeightFormat format, const GgufRow& source, size_t cols, size_t row, uint8_t* panel) {
  const QuantCode code = QuantCodeOf(format);
  const Takeover takeover = TakeoverOf(source.type, format);
  for (size_t g = 0; g < cols / kGgufGroup; ++g) {
    GgufGroup group;
    DecodeGgufGroup(source.type, source.bytes, g, group);
    for (size_t half = 0; half < 2; ++half) {
      if (!std::isfinite(group.scales[half]) || !std::isfinite(group.minima[half])) {
        return NotFinite(source.type);
      }
    }
    EncodedGroup encoded;
    if (!takeover.possible || !TakeCodes(takeover, group, encoded)) {
      float w[kGgufGroup];
      Numbers(group, w);
      QWEN25_RETURN_IF_ERROR(CheckFits(w, format, g * kGgufGroup));
      EncodeGroup(format, w, encoded);
    }
    StoreGroup(code, encoded, row, panel + g * code.RecordBytes());
  }
  return {};
}

// The same from a row of floating-point numbers, whose length may be odd.
Status PackNumbers(WeightFormat format, const GgufRow& source, size_t cols, size_t row,
                   std::vector<float>& buffer, uint8_t* panel) {
  const QuantCode code = QuantCodeOf(format);
  buffer.assign(NumQuantGroups(cols) * kQuantGroup, 0.0f);
  QWEN25_RETURN_IF_ERROR(DecodeFiniteGgufRow(source, cols, buffer.data()));
  QWEN25_RETURN_IF_ERROR(CheckFits({buffer.data(), cols}, format));
  for (size_t g = 0; g < NumQuantGroups(cols); ++g) {
    EncodedGroup encoded = {};
    EncodeGroup(format, buffer.data() + g * kQuantGroup, encoded);
    StoreGroup(code, encoded, row, panel + g * code.RecordBytes());
  }
  return {};
}

// Codes and scales that mean zero, for the rows behind the matrix.
void PackZeros(WeightFormat format, size_t cols, size_t row, uint8_t* panel) {
  const QuantCode code = QuantCodeOf(format);
  EncodedGroup zero = {};
  std::fill_n(zero.codes, kQuantGroup, static_cast<uint8_t>(code.Offset()));
  for (size_t g = 0; g < NumQuantGroups(cols); ++g) {
    StoreGroup(code, zero, row, panel + g * code.RecordBytes());
  }
}

Status PackGgufPanel(WeightFormat format, size_t cols, size_t begin, size_t end, const GgufRows& source,
                     std::vector<float>& buffer, std::byte* panel) {
  const auto at_row = [](Status status, size_t row) {
    return status.ok() ? Status() : Status(status.code(), fmt::format("row {}: {}", row, status.message()));
  };
  if (!IsQuantized(format)) {
    buffer.assign(kQuantPanelRows * cols, 0.0f);
    for (size_t row = begin; row < end; ++row) {
      float* numbers = buffer.data() + (row - begin) * cols;
      QWEN25_RETURN_IF_ERROR(at_row(DecodeFiniteGgufRow(source(row), cols, numbers), row));
      QWEN25_RETURN_IF_ERROR(at_row(CheckFits({numbers, cols}, format), row));
    }
    PackPanel(format, cols, buffer.data(), panel);
    return {};
  }
  auto* records = reinterpret_cast<uint8_t*>(panel);
  for (size_t row = begin; row < begin + kQuantPanelRows; ++row) {
    if (row >= end) {
      PackZeros(format, cols, row - begin, records);
      continue;
    }
    const GgufRow blocks = source(row);
    QWEN25_RETURN_IF_ERROR(at_row(IsGgufQuantized(blocks.type)
                                      ? PackBlocks(format, blocks, cols, row - begin, records)
                                      : PackNumbers(format, blocks, cols, row - begin, buffer, records),
                                  row));
  }
  return {};
}

}  // namespace

WeightFormat StoredFormatOf(GgmlType type) {
  switch (type) {
    case GgmlType::kF16:
      return WeightFormat::kFloat16;
    case GgmlType::kBF16:
      return WeightFormat::kBFloat16;
    case GgmlType::kQ8_0:
    case GgmlType::kQ5_0:
    case GgmlType::kQ2_K:
    case GgmlType::kQ3_K:
    case GgmlType::kQ6_K:
    case GgmlType::kMXFP4:
      return WeightFormat::kInt8;
    case GgmlType::kQ4_0:
      return WeightFormat::kInt4;
    case GgmlType::kQ4_1:
    case GgmlType::kQ4_K:
      return WeightFormat::kInt4Minimum;
    case GgmlType::kQ5_1:
    case GgmlType::kQ5_K:
      return WeightFormat::kInt8Minimum;
    default:
      return WeightFormat::kFloat32;
  }
}

WeightFormat CommonFormat(WeightFormat a, WeightFormat b) {
  if (a == b) return a;
  if (!IsQuantized(a) || !IsQuantized(b)) return WeightFormat::kFloat32;
  const QuantCode x = QuantCodeOf(a), y = QuantCodeOf(b);
  const bool minimum = x.has_minimum || y.has_minimum;
  if (x.bits == 4 && y.bits == 4) return WeightFormat::kInt4Minimum;
  return minimum ? WeightFormat::kInt8Minimum : WeightFormat::kInt8;
}

Status DecodeFiniteGgufRow(const GgufRow& row, size_t cols, float* out) {
  DecodeGgufRow(row.type, row.bytes, cols, out);
  if (IsGgufQuantized(row.type) && FindTooLarge({out, cols}, kLargestWeight) < cols) {
    return NotFinite(row.type);
  }
  return CheckWeights({out, cols}, "");
}

Status PackGgufWeight(ThreadPool& threads, WeightFormat format, size_t rows, size_t cols,
                      const GgufRows& source, std::byte* memory) {
  std::vector<std::vector<float>> buffers(threads.num_threads());
  return ForPanels(threads, rows, [&](size_t panel, size_t thread) {
    const size_t begin = panel * kQuantPanelRows;
    return PackGgufPanel(format, cols, begin, std::min(rows, begin + kQuantPanelRows), source,
                         buffers[thread], memory + panel * PanelBytes(format, cols));
  });
}

}  // namespace qwen25
