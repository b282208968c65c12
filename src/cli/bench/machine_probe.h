// What this machine can do at best: the floors that benchmarks are compared with.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {

// Bytes per second of a sum over more memory than any cache holds, all threads. A shared machine's memory
// changes its speed from second to second: measure before each run that is compared with it.
class ReadBandwidth {
 public:
  ReadBandwidth();
  // The better of two passes, some 30 ms in all.
  double Measure(ThreadPool& threads) const;

 private:
  AlignedBuffer<uint64_t> memory_;
};

// Integer operations per second (two per product) of the int8 matrix product on operands that lie in the
// caches: the best of a few runs, some 10 ms in all.
double MeasureInt8Rate(ThreadPool& threads);

}  // namespace qwen25
