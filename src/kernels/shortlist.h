// The greatest of many numbers, quickly.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qwen25 {

// Writes to `order`, ascending, places of `values` [num_values] among which are those of the `count` (at
// least 1) greatest; few more than these. Negative values are left out; what is not a number counts as
// infinite. `order` has room for num_values. Returns how many it wrote.
size_t Shortlist(const float* values, size_t num_values, size_t count, uint32_t* order);

}  // namespace qwen25
