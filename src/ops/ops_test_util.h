// What tests of ops run on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "ops/execution.h"

namespace qwen25 {

struct Machine {
  explicit Machine(size_t num_threads = 1) : threads(num_threads), scratch(num_threads) {}
  ThreadPool threads;
  TensorPool tensors;
  Scratch scratch;
  Tape tape;
  Execution execution{threads, tensors, scratch, nullptr};
};

// Normally distributed.
inline std::vector<float> RandomVector(size_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(count);
  for (float& x : values) x = static_cast<float>(rng.Normal());
  return values;
}

}  // namespace qwen25
