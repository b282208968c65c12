// The greatest of many numbers, quickly.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qwen25 {

// Writes places in `values` [num_values] to `order`, ascending: those of the `count` (at least 1) greatest
// values, and a few more. Negative values are left out, and NaN counts as infinite. `order` has room for
// num_values. Returns the number of places.
size_t Shortlist(const float* values, size_t num_values, size_t count, uint32_t* order);

}  // namespace qwen25
