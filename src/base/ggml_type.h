// Formats of tensors in GGUF files.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace qwen25 {

// Numbered as in the file. Only types that this program names; FindGgmlType knows all types of ggml.
enum class GgmlType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBF16 = 30,
  kMXFP4 = 39,
};

// A row is a whole number of blocks of `elements` numbers in `bytes` bytes.
struct GgmlTypeInfo {
  std::string_view name;  // "Q4_K"
  uint32_t elements = 0;
  uint32_t bytes = 0;
};
// Null for an unknown number.
const GgmlTypeInfo* FindGgmlType(GgmlType type);
// For these two, FindGgmlType must know the type; `cols` must be a multiple of its `elements`.
std::string_view GgmlTypeName(GgmlType type);
uint64_t GgmlRowBytes(GgmlType type, uint64_t cols);
// By name, in upper or lower case; nothing for an unknown name.
std::optional<GgmlType> ParseGgmlType(std::string_view name);

}  // namespace qwen25
