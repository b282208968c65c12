// Counter-based random numbers: a value depends only on (seed, stream, counter), so a generator's whole state
// is three integers that a checkpoint can hold, and parallel work can draw without sharing.
#pragma once

#include <cmath>
#include <cstdint>

namespace qwen25 {

// Mixes 64 bits (the finaliser of SplitMix64, Steele et al. 2014).
constexpr uint64_t Mix64(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9u;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// A stream of random numbers. Copying it copies its place in the stream.
class Rng {
 public:
  explicit Rng(uint64_t seed, uint64_t stream = 0)
      : key_(Mix64(seed + 0x9e3779b97f4a7c15u) ^ Mix64(stream * 0xd1342543de82ef95u + 1)) {}

  uint64_t Next() { return Mix64(key_ + 0x9e3779b97f4a7c15u * ++counter_); }
  // Uniform in [0, bound), bound >= 1. The bias is below bound / 2^64.
  uint64_t Below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(Next()) * bound) >> 64);
  }
  // Uniform in [0, 1) with 53 bits.
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }
  // Standard normal (Box-Muller; two numbers of the stream for one value, so that the state stays a counter).
  double Normal() {
    const double u = 1.0 - Uniform();
    const double v = Uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
  }

  uint64_t counter() const { return counter_; }
  void set_counter(uint64_t counter) { counter_ = counter; }

 private:
  uint64_t key_;
  uint64_t counter_ = 0;
};

}  // namespace qwen25
