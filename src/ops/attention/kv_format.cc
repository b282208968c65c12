#include "ops/attention/kv_format.h"

#include <algorithm>
#include <array>

namespace qwen25 {
namespace {

constexpr std::array<std::string_view, 3> kNames = {"float32", "float16", "int8"};

}  // namespace

std::string_view KvFormatName(KvFormat format) {
  return kNames[static_cast<size_t>(format)];
}

std::span<const std::string_view> KvFormatNames() {
  return kNames;
}

Result<KvFormat> ParseKvFormat(std::string_view name) {
  const auto found = std::ranges::find(kNames, name);
  if (found != kNames.end()) return static_cast<KvFormat>(found - kNames.begin());
  return InvalidArgument("format \"{}\" of keys and values is unknown; use one of: {}", name,
                         fmt::join(kNames, ", "));
}

}  // namespace qwen25
