// How keys and values are kept in the blocks of a list.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "base/status.h"
#include "kernels/kv_block.h"

namespace qwen25 {

// As computed; rounded to float16, with half the memory and half the reading; or to codes of 8 bits with a
// scale for 32 dimensions of a token, half of that again. A row's result does not depend on its company in
// any of them. The numbers are in the names of stored blocks: never renumber.
enum class KvFormat : uint8_t { kFloat32 = 0, kFloat16 = 1, kInt8 = 2 };

// "float32", "float16", "int8"; all of them, in the order of the enum.
std::string_view KvFormatName(KvFormat format);
std::span<const std::string_view> KvFormatNames();
// kInvalidArgument, with the list, for another name.
Result<KvFormat> ParseKvFormat(std::string_view name);

// Calls function(std::type_identity<Block>()) with the kind of block (kernels/kv_block.h) of a format.
template <typename Function>
decltype(auto) WithKvBlock(KvFormat format, const Function& function) {
  switch (format) {
    case KvFormat::kFloat32:
      break;
    case KvFormat::kFloat16:
      return function(std::type_identity<HalfKvBlock>());
    case KvFormat::kInt8:
      return function(std::type_identity<Int8KvBlock>());
  }
  return function(std::type_identity<KvBlock>());
}

// Of keys and values of one kv head in one block, a multiple of 64.
inline size_t KvHeadBytes(KvFormat format, size_t head_dim) {
  return WithKvBlock(format,
                     [&]<typename Block>(std::type_identity<Block>) { return Block::NumBytes(head_dim); });
}

}  // namespace qwen25
