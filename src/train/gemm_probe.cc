#include "train/gemm_probe.h"

#include <algorithm>
#include <limits>

#include "base/clock.h"
#include "kernels/gemm.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {

double MeasureGemmFlops(ThreadPool& threads) {
  constexpr size_t kSize = 1024;
  constexpr int kRuns = 6;  // the first one warms up caches and pages
  const AlignedBuffer<float> a(kSize * kSize), b(kSize * kSize), c(kSize * kSize);
  std::fill_n(a.data(), a.size(), 1.0f);
  std::fill_n(b.data(), b.size(), 1.0f);
  Scratch scratch(threads.num_threads());
  const MatrixView<const float> a_view(a.data(), kSize, kSize), b_view(b.data(), kSize, kSize);
  double best = std::numeric_limits<double>::infinity();
  for (int run = 0; run < kRuns; ++run) {
    const double start = NowSeconds();
    Gemm(threads, scratch, kSize, kSize, kSize, GemmOperand::Plain(a_view), GemmOperand::Plain(b_view),
         {.c = MatrixView<float>(c.data(), kSize, kSize)});
    best = std::min(best, NowSeconds() - start);
  }
  return 2.0 * kSize * kSize * kSize / best;
}

}  // namespace qwen25
