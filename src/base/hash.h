// Content hashes (xxHash XXH3). Not cryptographic: they identify, they do not authenticate.
#pragma once

#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace qwen25 {

inline uint64_t Hash64(std::span<const std::byte> bytes, uint64_t seed = 0) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace qwen25
