// Which numbers a format can hold.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "base/ggml_type.h"
#include "base/status.h"
#include "quant/packed_weight.h"

namespace qwen25 {

// No weight is greater: the squares that norms sum must fit a float32. A flipped bit of an exponent, or a
// diverged training run, gives numbers beyond it.
inline constexpr float kLargestWeight = 0x1p60f;

// The greatest magnitude that the formats keep. Scales and minima are float16, at most 65504; where a search
// chooses the scale, the least that it may choose counts.
float LargestWeight(WeightFormat format);
float LargestWeight(GgmlType type);

// The index of the first number that is NaN or of greater magnitude than `largest`; values.size() if there is
// none.
size_t FindTooLarge(std::span<const float> values, float largest);

// OK, or kCorrupt for a NaN, an infinity or a number beyond kLargestWeight, or kInvalidArgument for one that
// `format_name` cannot hold. The message names `place`, if there is one, and counts elements from `first` on.
Status CheckWeights(std::span<const float> values, std::string_view place, size_t first = 0);
Status CheckWeightsFit(std::span<const float> values, float largest, std::string_view format_name,
                       std::string_view place, size_t first = 0);

}  // namespace qwen25
