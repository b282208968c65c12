// Memory that a kernel needs only while it runs.
#pragma once

#include <cstddef>
#include <vector>

#include "tensor/aligned_buffer.h"

namespace qwen25 {

// One buffer that all threads share (packed matrices) and one per thread. They grow to the largest use and
// stay, so that a step like the one before allocates nothing. A kernel's use ends when it returns: two
// kernels never hold scratch at the same time.
class Scratch {
 public:
  explicit Scratch(size_t num_threads) : per_thread_(num_threads) {}

  float* Shared(size_t num_floats) {
    shared_.Reserve(num_floats);
    return shared_.data();
  }
  // Called before the parallel loop, for all threads at once.
  void ReservePerThread(size_t num_floats) {
    for (AlignedBuffer<float>& buffer : per_thread_) buffer.Reserve(num_floats);
  }
  float* PerThread(size_t thread) { return per_thread_[thread].data(); }

 private:
  AlignedBuffer<float> shared_;
  std::vector<AlignedBuffer<float>> per_thread_;
};

}  // namespace qwen25
