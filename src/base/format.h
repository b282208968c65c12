// Durations, sizes and counts as people write them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace qwen25 {

// "0:07", "12:34", "3:05:09", "4d 03:05". Negative durations count as 0. At most 15 characters: no
// allocation.
std::string FormatDuration(double seconds);
// 1536 -> "1.50 KiB".
std::string FormatBytes(double num_bytes);
// 1543714304 -> "1.54 B"; 2.1e12 -> "2.10 T".
std::string FormatCount(double count);
// "141GiB", "80GB", "512MiB", "1000" (bytes). kInvalidArgument for anything else.
Result<uint64_t> ParseByteCount(std::string_view text);

}  // namespace qwen25
