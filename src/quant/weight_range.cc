#include "quant/weight_range.h"

#include <algorithm>
#include <cmath>

namespace qwen25 {
namespace {

constexpr float kLargestHalf = 65504;

std::string Found(std::string_view place, size_t element, float value) {
  return place.empty() ? fmt::format("element {} is {:.6g}", element, value)
                       : fmt::format("{} holds {:.6g} at element {}", place, value, element);
}

}  // namespace

float LargestWeight(WeightFormat format) {
  switch (format) {
    case WeightFormat::kFloat32:
    case WeightFormat::kBFloat16:
      return kLargestWeight;
    case WeightFormat::kFloat16:
    case WeightFormat::kInt8Minimum:
    case WeightFormat::kInt4Minimum:
      return kLargestHalf;
    case WeightFormat::kInt8:
      return 127 * kLargestHalf;
    case WeightFormat::kInt4:
      return 6 * kLargestHalf;
  }
  return 0;
}

float LargestWeight(GgmlType type) {
  switch (type) {
    case GgmlType::kF32:
    case GgmlType::kBF16:
      return kLargestWeight;
    case GgmlType::kF16:
    case GgmlType::kQ4_1:
    case GgmlType::kQ5_1:
      return kLargestHalf;
    case GgmlType::kQ8_0:
      return 127 * kLargestHalf;
    case GgmlType::kQ4_0:
      return 6 * kLargestHalf;
    case GgmlType::kQ5_0:
      return 16 * kLargestHalf;
    case GgmlType::kQ4_K:  // minima are 6-bit multiples of a float16
    case GgmlType::kQ5_K:
      return 32 * kLargestHalf;
    case GgmlType::kQ6_K:  // 8-bit multiples
      return 16 * 128 * kLargestHalf;
    case GgmlType::kQ2_K:
    case GgmlType::kQ3_K:
    case GgmlType::kMXFP4:
      break;  // not written
  }
  return 0;
}

size_t FindTooLarge(std::span<const float> values, float largest) {
  // Compiles to a vector loop; a NaN is not at most anything.
  unsigned any = 0;
  for (const float value : values) any |= static_cast<unsigned>(!(std::fabs(value) <= largest));
  if (any == 0) return values.size();
  const auto found =
      std::ranges::find_if(values, [&](float value) { return !(std::fabs(value) <= largest); });
  return static_cast<size_t>(found - values.begin());
}

Status CheckWeights(std::span<const float> values, std::string_view place, size_t first) {
  const size_t i = FindTooLarge(values, kLargestWeight);
  if (i == values.size()) return {};
  return Corrupt(
      "{}, expected at most {:.1e}; the training run that wrote it diverged, or the file is damaged",
      Found(place, first + i, values[i]), kLargestWeight);
}

Status CheckWeightsFit(std::span<const float> values, float largest, std::string_view format_name,
                       std::string_view place, size_t first) {
  const size_t i = FindTooLarge(values, largest);
  if (i == values.size()) return {};
  return InvalidArgument("{}, and {} keeps at most {:.4g}; keep these weights in bfloat16 or float32",
                         Found(place, first + i, values[i]), format_name, largest);
}

}  // namespace qwen25
