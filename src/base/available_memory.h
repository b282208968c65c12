#pragma once

#include <cstdint>

namespace qwen25 {

// Bytes of memory that this process may still use without pushing others out: what the system says is
// available, within the limit of its control group. A guess of 1 GiB where neither is told.
uint64_t AvailableMemoryBytes();

}  // namespace qwen25
