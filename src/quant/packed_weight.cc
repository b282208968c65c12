#include "quant/packed_weight.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <mutex>
#include <vector>

#include "base/check.h"
#include "base/dtype.h"
#include "kernels/gemm.h"
#include "quant/encode_group.h"
#include "quant/panel_layout.h"

namespace qwen25 {
namespace {

constexpr std::array<std::string_view, 7> kNames = {"float32", "bfloat16", "float16", "int8",
                                                    "int4",    "int8m",    "int4m"};
static_assert(kGemmPanelCols == kQuantPanelRows);  // both kinds of panels take their rows from one loop

void PackQuantPanel(WeightFormat format, size_t cols, const float* rows, uint8_t* panel) {
  const QuantCode code = QuantCodeOf(format);
  for (size_t g = 0; g < NumQuantGroups(cols); ++g) {
    const size_t begin = g * kQuantGroup, count = std::min(kQuantGroup, cols - begin);
    for (size_t row = 0; row < kQuantPanelRows; ++row) {
      float w[kQuantGroup] = {};
      std::copy_n(rows + row * cols + begin, count, w);
      EncodedGroup group;
      EncodeGroup(format, w, group);
      StoreGroup(code, group, row, panel + g * code.RecordBytes());
    }
  }
}

// [k][32] numbers.
template <typename Number, typename Convert>
void PackFloatPanel(size_t cols, const float* rows, std::byte* memory, const Convert& convert) {
  auto* panel = reinterpret_cast<Number*>(memory);
  constexpr size_t kBlock = 16;  // what is read and what is written stay in the first-level cache
  for (size_t begin = 0; begin < cols; begin += kBlock) {
    const size_t end = std::min(cols, begin + kBlock);
    for (size_t row = 0; row < kGemmPanelCols; ++row) {
      for (size_t i = begin; i < end; ++i) panel[i * kGemmPanelCols + row] = convert(rows[row * cols + i]);
    }
  }
}

// out = row r of a panel of numbers.
template <typename Number, typename Convert>
void UnpackFloatRow(size_t cols, size_t r, const std::byte* panel, float* out, const Convert& convert) {
  const auto* numbers = reinterpret_cast<const Number*>(panel);
  for (size_t i = 0; i < cols; ++i) out[i] = convert(numbers[i * kGemmPanelCols + r]);
}

}  // namespace

size_t PanelBytes(WeightFormat format, size_t cols) {
  if (!IsQuantized(format)) return PackedFloats(cols, kGemmPanelCols) * DTypeSize(FloatDTypeOf(format));
  return QuantPanelBytes(QuantCodeOf(format), cols);
}

void PackPanel(WeightFormat format, size_t cols, const float* rows, std::byte* panel) {
  switch (format) {
    case WeightFormat::kFloat32:
      return PackFloatPanel<float>(cols, rows, panel, [](float x) { return x; });
    case WeightFormat::kBFloat16:
      return PackFloatPanel<uint16_t>(cols, rows, panel, FloatToBFloat16);
    case WeightFormat::kFloat16:
      return PackFloatPanel<uint16_t>(cols, rows, panel, FloatToFloat16);
    case WeightFormat::kInt8:
    case WeightFormat::kInt4:
    case WeightFormat::kInt8Minimum:
    case WeightFormat::kInt4Minimum:
      return PackQuantPanel(format, cols, rows, reinterpret_cast<uint8_t*>(panel));
  }
}

void EncodeGroup(WeightFormat format, const float* w, EncodedGroup& group) {
  group.minimum = 0;
  switch (format) {
    case WeightFormat::kInt4:
      return EncodeInt4(w, group);
    case WeightFormat::kInt4Minimum:
      return EncodeInt4Minimum(w, group);
    default:  // eight bits need no minimum: the one that there is stays 0
      return EncodeInt8(w, group);
  }
}

void StoreGroup(const QuantCode& code, const EncodedGroup& group, size_t row, uint8_t* record) {
  std::memcpy(record + 2 * row, &group.scale, sizeof group.scale);
  if (code.has_minimum) {
    std::memcpy(record + 2 * (kQuantPanelRows + row), &group.minimum, sizeof group.minimum);
  }
  uint8_t pairs[kQuantGroup / 2];
  if (code.bits == 4) {
    for (size_t i = 0; i < sizeof pairs; ++i) {
      pairs[i] = static_cast<uint8_t>(group.codes[i] | group.codes[16 + i] << 4);
    }
  }
  const uint8_t* from = code.bits == 8 ? group.codes : pairs;
  uint8_t* bytes = record + code.HeaderBytes() + 4 * row;
  for (size_t i = 0; i < kQuantGroup * static_cast<size_t>(code.bits) / 8; i += 4) {
    std::memcpy(bytes + i * kQuantPanelRows, from + i, 4);
  }
}

Status ForPanels(ThreadPool& threads, size_t rows, const std::function<Status(size_t, size_t)>& pack) {
  std::atomic<size_t> first_failed = SIZE_MAX;  // whose error it is, whichever thread is faster
  std::mutex mutex;
  Status status;
  threads.ParallelFor(NumQuantPanels(rows), [&](size_t panel, size_t thread) {
    if (panel > first_failed) return;
    if (Status packed = pack(panel, thread); !packed.ok()) {
      const std::lock_guard lock(mutex);
      if (panel > first_failed) return;
      first_failed = panel;
      status = std::move(packed);
    }
  });
  return status;
}

std::string_view WeightFormatName(WeightFormat format) {
  return kNames[static_cast<size_t>(format)];
}

Result<WeightFormat> ParseWeightFormat(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (name == kNames[i]) return static_cast<WeightFormat>(i);
  }
  return InvalidArgument("weight format \"{}\" is unknown; use one of: {}", name, fmt::join(kNames, ", "));
}

QuantCode QuantCodeOf(WeightFormat format) {
  QWEN25_CHECK(IsQuantized(format));
  const bool wide = format == WeightFormat::kInt8 || format == WeightFormat::kInt8Minimum;
  return {.bits = wide ? 8 : 4, .has_minimum = format >= WeightFormat::kInt8Minimum};
}

DType FloatDTypeOf(WeightFormat format) {
  QWEN25_CHECK(!IsQuantized(format));
  return format == WeightFormat::kFloat32    ? DType::kF32
         : format == WeightFormat::kBFloat16 ? DType::kBF16
                                             : DType::kF16;
}

size_t PackedWeightBytes(WeightFormat format, size_t rows, size_t cols) {
  return NumQuantPanels(rows) * PanelBytes(format, cols);
}

Status PackWeight(ThreadPool& threads, WeightFormat format, size_t rows, size_t cols,
                  const WeightRows& source, std::byte* memory) {
  std::vector<std::vector<float>> buffers(threads.num_threads());
  return ForPanels(threads, rows, [&](size_t panel, size_t thread) -> Status {
    const size_t begin = panel * kQuantPanelRows, end = std::min(rows, begin + kQuantPanelRows);
    std::vector<float>& buffer = buffers[thread];
    buffer.resize(kQuantPanelRows * cols);
    std::fill(buffer.begin() + static_cast<ptrdiff_t>((end - begin) * cols), buffer.end(), 0.0f);
    QWEN25_RETURN_IF_ERROR(source(begin, end, buffer.data()));
    PackPanel(format, cols, buffer.data(), memory + panel * PanelBytes(format, cols));
    return {};
  });
}

void UnpackRow(const PackedWeight& weight, size_t rows, size_t cols, size_t row, float* out) {
  QWEN25_CHECK(weight && row < rows);
  const std::byte* panel = weight.data + row / kQuantPanelRows * PanelBytes(weight.format, cols);
  const size_t r = row % kQuantPanelRows;
  if (!IsQuantized(weight.format)) {
    switch (FloatDTypeOf(weight.format)) {
      case DType::kF32:
        return UnpackFloatRow<float>(cols, r, panel, out, [](float x) { return x; });
      case DType::kBF16:
        return UnpackFloatRow<uint16_t>(cols, r, panel, out, BFloat16ToFloat);
      default:
        return UnpackFloatRow<uint16_t>(cols, r, panel, out, Float16ToFloat);
    }
  }
  const QuantCode code = QuantCodeOf(weight.format);
  const auto* record = reinterpret_cast<const uint8_t*>(panel);
  for (size_t begin = 0; begin < cols; begin += kQuantGroup, record += code.RecordBytes()) {
    uint16_t half;
    std::memcpy(&half, record + 2 * r, sizeof half);
    const float scale = Float16ToFloat(half);
    half = 0;
    if (code.has_minimum) std::memcpy(&half, record + 2 * (kQuantPanelRows + r), sizeof half);
    const float minimum = Float16ToFloat(half);
    const uint8_t* bytes = record + code.HeaderBytes() + 4 * r;
    for (size_t i = 0; i < std::min(kQuantGroup, cols - begin); ++i) {
      const size_t at = code.bits == 8 ? i : i % 16;
      const int byte = bytes[at / 4 * kQuantPanelRows * 4 + at % 4];
      const int value = code.bits == 8 ? byte : i < 16 ? byte & 15 : byte >> 4;
      const float product = scale * static_cast<float>(value - code.Offset());
      out[begin + i] = code.has_minimum ? product + minimum : product;
    }
  }
}

}  // namespace qwen25
