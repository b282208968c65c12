// What the machine's matrix product can do.
#pragma once

#include "base/thread_pool.h"

namespace qwen25 {

// Floating-point operations per second of a 1024 x 1024 x 1024 float32 product on all threads: the best of a
// few runs, some 50 ms in all. It is the yardstick of "model FLOP utilisation" here.
double MeasureGemmFlops(ThreadPool& threads);

}  // namespace qwen25
