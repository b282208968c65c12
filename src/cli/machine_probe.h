// What this machine can do at best: the floors that benchmarks are compared with.
#pragma once

#include "base/thread_pool.h"

namespace qwen25 {

// Bytes per second of a sum over more memory than any cache holds, all threads.
double MeasureReadBandwidth(ThreadPool& threads);

// Integer operations per second (two per product) of the int8 matrix product on operands that lie in the
// caches.
double MeasureInt8Rate(ThreadPool& threads);

}  // namespace qwen25
