// A random order of n things that takes no memory: a Feistel network over the next power of four, applied
// until the result is below n (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002).
#pragma once

#include <array>
#include <cstdint>

#include "base/rng.h"

namespace qwen25 {

// A bijection of [0, size) that depends only on (size, seed, epoch); size is in [1, 2^62].
class Permutation {
 public:
  Permutation(uint64_t size, uint64_t seed, uint64_t epoch) : size_(size) {
    while (half_bits_ < 31 && uint64_t{1} << (2 * half_bits_) < size) ++half_bits_;
    Rng rng(seed, epoch);
    for (uint64_t& key : keys_) key = rng.Next();
  }

  // The domain is below 4 * size, so fewer than four turns are expected.
  uint64_t operator()(uint64_t index) const {
    do {
      index = Encrypt(index);
    } while (index >= size_);
    return index;
  }

 private:
  // Eight rounds: with four, the orders of a handful of things are visibly not equally likely.
  uint64_t Encrypt(uint64_t x) const {
    const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
    uint64_t left = x >> half_bits_, right = x & mask;
    for (uint64_t key : keys_) {
      const uint64_t mixed = left ^ (Mix64(key + right) & mask);
      left = right;
      right = mixed;
    }
    return left << half_bits_ | right;
  }

  uint64_t size_;
  unsigned half_bits_ = 1;
  std::array<uint64_t, 8> keys_;
};

}  // namespace qwen25
