#include "base/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace qwen25 {
namespace {

struct ByteUnit {
  std::string_view name;
  double factor;
};
constexpr ByteUnit kByteUnits[] = {{"", 1},         {"B", 1},        {"KiB", 0x1p10}, {"MiB", 0x1p20},
                                   {"GiB", 0x1p30}, {"TiB", 0x1p40}, {"KB", 1e3},     {"MB", 1e6},
                                   {"GB", 1e9},     {"TB", 1e12}};

}  // namespace

std::string FormatDuration(double seconds) {
  const auto total = static_cast<uint64_t>(std::max(0.0, std::min(seconds, 1e9)) + 0.5);
  const uint64_t days = total / 86400, hours = total / 3600 % 24, minutes = total / 60 % 60;
  if (days > 0) return fmt::format("{}d {:02}:{:02}", days, hours, minutes);
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, total % 60);
  return fmt::format("{}:{:02}", minutes, total % 60);
}

Result<uint64_t> ParseByteCount(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  double factor = 0;
  for (const ByteUnit& known : kByteUnits) {
    if (unit == known.name) factor = known.factor;
  }
  if (error != std::errc() || factor == 0 || !(number >= 0) || number * factor > 0x1p62) {
    return InvalidArgument("\"{}\" is no size; write for example 141GiB, 80GB or 512MiB", text);
  }
  return static_cast<uint64_t>(number * factor);
}

std::string FormatBytes(double num_bytes) {
  constexpr std::array<const char*, 6> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  size_t unit = 0;
  for (; num_bytes >= 1024 && unit + 1 < kUnits.size(); ++unit) num_bytes /= 1024;
  return unit == 0 ? fmt::format("{:.0f} B", num_bytes) : fmt::format("{:.2f} {}", num_bytes, kUnits[unit]);
}

std::string FormatCount(double count) {
  constexpr std::array<const char*, 6> kUnits = {"", "K", "M", "B", "T", "Q"};
  size_t unit = 0;
  for (; count >= 1000 && unit + 1 < kUnits.size(); ++unit) count /= 1000;
  return unit == 0 ? fmt::format("{:.0f} ", count) : fmt::format("{:.2f} {}", count, kUnits[unit]);
}

}  // namespace qwen25
