// Measures the machine's rate of matrix products.
#pragma once

#include "base/thread_pool.h"

namespace qwen25 {

// Floating-point operations per second of a 1024 x 1024 x 1024 float32 product on all threads: the best of 6
// runs. Model FLOP utilisation is measured against it.
double MeasureGemmFlops(ThreadPool& threads);

}  // namespace qwen25
