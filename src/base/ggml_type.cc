#include "base/ggml_type.h"

#include <algorithm>
#include <cctype>
#include <iterator>

#include "base/check.h"

namespace qwen25 {
namespace {

// By ggml's number; empty where ggml has retired the format. Source: ggml.h and ggml-common.h.
constexpr GgmlTypeInfo kTypes[] = {{"F32", 1, 4},
                                   {"F16", 1, 2},
                                   {"Q4_0", 32, 18},
                                   {"Q4_1", 32, 20},
                                   {},
                                   {},
                                   {"Q5_0", 32, 22},
                                   {"Q5_1", 32, 24},
                                   {"Q8_0", 32, 34},
                                   {"Q8_1", 32, 40},
                                   {"Q2_K", 256, 84},
                                   {"Q3_K", 256, 110},
                                   {"Q4_K", 256, 144},
                                   {"Q5_K", 256, 176},
                                   {"Q6_K", 256, 210},
                                   {"Q8_K", 256, 292},
                                   {"IQ2_XXS", 256, 66},
                                   {"IQ2_XS", 256, 74},
                                   {"IQ3_XXS", 256, 98},
                                   {"IQ1_S", 256, 50},
                                   {"IQ4_NL", 32, 18},
                                   {"IQ3_S", 256, 110},
                                   {"IQ2_S", 256, 82},
                                   {"IQ4_XS", 256, 136},
                                   {"I8", 1, 1},
                                   {"I16", 1, 2},
                                   {"I32", 1, 4},
                                   {"I64", 1, 8},
                                   {"F64", 1, 8},
                                   {"IQ1_M", 256, 56},
                                   {"BF16", 1, 2},
                                   {},
                                   {},
                                   {},
                                   {"TQ1_0", 256, 54},
                                   {"TQ2_0", 256, 66},
                                   {},
                                   {},
                                   {},
                                   {"MXFP4", 32, 17}};

}  // namespace

const GgmlTypeInfo* FindGgmlType(GgmlType type) {
  const auto number = static_cast<uint32_t>(type);
  if (number >= std::size(kTypes) || kTypes[number].elements == 0) return nullptr;
  return &kTypes[number];
}

std::string_view GgmlTypeName(GgmlType type) {
  const GgmlTypeInfo* info = FindGgmlType(type);
  QWEN25_CHECK(info != nullptr);
  return info->name;
}

uint64_t GgmlRowBytes(GgmlType type, uint64_t cols) {
  const GgmlTypeInfo* info = FindGgmlType(type);
  QWEN25_CHECK(info != nullptr && cols % info->elements == 0);
  return cols / info->elements * info->bytes;
}

std::optional<GgmlType> ParseGgmlType(std::string_view name) {
  const auto same = [](char a, char b) {
    return std::toupper(static_cast<unsigned char>(a)) == std::toupper(static_cast<unsigned char>(b));
  };
  for (uint32_t i = 0; i < std::size(kTypes); ++i) {
    if (kTypes[i].elements != 0 && std::ranges::equal(kTypes[i].name, name, same)) {
      return static_cast<GgmlType>(i);
    }
  }
  return std::nullopt;
}

}  // namespace qwen25
