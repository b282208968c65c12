// How rotary frequencies are stretched beyond the length that a model was trained for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace qwen25 {

struct RopeScaling {
  // "linear": every frequency is divided by `factor`. "yarn": low ones are, by arXiv:2309.00071. "llama3":
  // likewise, by the wavelengths that Llama 3.1 names. "longrope": each by its own factor (arXiv:2402.13753).
  std::string type;
  double factor = 1.0;                            // 1 to 1024; of "longrope" 1
  uint32_t original_max_position_embeddings = 0;  // the trained length; "yarn": 0 = max_position_embeddings
  double attention_factor = 0;                    // "yarn": 0 = 0.1 * ln(factor) + 1; "longrope": above 0
  double beta_fast = 32;         // "yarn": frequencies with more rotations per trained length are kept
  double beta_slow = 1;          // "yarn": frequencies with fewer rotations are divided by `factor`
  double high_freq_factor = 4;   // "llama3": as beta_fast
  double low_freq_factor = 1;    // "llama3": as beta_slow
  std::vector<double> divisors;  // "longrope": [head_dim / 2] of the frequencies

  bool operator==(const RopeScaling&) const = default;
};

// Reads an object with a "rope_type" (or "type") of config.json; nothing if it changes no frequency within
// `max_positions`. `trained_length`: what config.json states outside of the object, or 0. kUnsupported for
// "longrope" that has other factors for long texts than for short ones: transformers chooses between them by
// the length of each text, and the keys of earlier tokens change with it.
Result<std::optional<RopeScaling>> ReadRopeScaling(const Json& json, std::string_view key,
                                                   std::string_view origin, uint32_t max_positions,
                                                   uint32_t trained_length);
Json RopeScalingToJson(const RopeScaling& scaling, uint32_t max_positions);
// Checks all ranges; the error names `origin`, field, value and rule.
Status ValidateRopeScaling(const RopeScaling& scaling, std::string_view origin, uint32_t head_dim,
                           uint32_t max_positions);

// 0.1 ln(factor) + 1, of "yarn" if a file states none; `weight` is transformers' "mscale".
double YarnAttentionFactor(double factor, double weight = 1);

// Scales plain frequencies, as transformers does. Returns the factor on attention scores: the square of the
// attention factor.
double ScaleFrequencies(const RopeScaling& scaling, double rope_theta, uint32_t max_positions,
                        std::vector<double>& frequencies);

// The scaling that divides plain frequencies by `divisors`: "llama3" where its rule with the numbers of a
// Llama 3 model gives them (as float32), otherwise "longrope"; nothing for divisors of 1.
std::optional<RopeScaling> RopeScalingByDivisors(const std::vector<double>& divisors, double rope_theta,
                                                 uint32_t max_positions);
// The inverse, for scaling of the kinds "llama3" and "longrope".
std::vector<float> DivisorsOf(const RopeScaling& scaling, uint32_t head_dim, double rope_theta);

}  // namespace qwen25
