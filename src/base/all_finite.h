// Whether numbers are finite, at the speed of memory.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace qwen25 {

// True if no value is infinite or NaN.
inline bool AllFinite(std::span<const float> values) {
  // Adding 1 to the exponent carries into the sign bit only if all bits of the exponent are set (infinity,
  // NaN). Eight lanes let the compiler use vectors.
  constexpr size_t kLanes = 8;
  const auto carry = [](float value) { return (std::bit_cast<uint32_t>(value) & 0x7fffffffu) + 0x00800000u; };
  std::array<uint32_t, kLanes> carries = {};
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) carries[lane] |= carry(values[i + lane]);
  }
  for (; i < values.size(); ++i) carries[0] |= carry(values[i]);
  uint32_t any = 0;
  for (const uint32_t lane : carries) any |= lane;
  return any >> 31 == 0;
}

}  // namespace qwen25
