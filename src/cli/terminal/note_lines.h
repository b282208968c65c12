// Notes in lines for the terminal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace qwen25 {

// "2026-11-25 14:03"; `milliseconds` since 1970, UTC.
std::string LocalTime(int64_t milliseconds);

// `text` in one line of at most `room` bytes.
std::string OneLine(std::string_view text, size_t room);

// The stretch of `text` that says most about `query`, in one line.
std::string Snippet(const std::string& text, const std::string& query);

}  // namespace qwen25
