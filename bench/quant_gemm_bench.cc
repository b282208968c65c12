// Speed of products with quantised weights: billions of operations per second for many rows, bytes of weights
// per second for one. quant_gemm_bench [ROUNDS]
#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "kernels/isa.h"
#include "kernels/quant_gemm.h"
#include "tensor/aligned_buffer.h"

using namespace qwen25;

int main(int argc, char** argv) {
  ApplyForcedIsa();
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 10;
  ThreadPool threads(DefaultNumThreads());
  fmt::print("{}, {} threads\n{:>6} {:>7} {:>6} {:>5} {:>10} {:>10}\n", CurrentIsa(), threads.num_threads(),
             "rows", "n", "k", "bits", "GOP/s", "GB/s");
  for (const int bits : {8, 4}) {
    for (const auto& [n, k] :
         std::vector<std::pair<size_t, size_t>>{{1152, 896}, {9728, 896}, {896, 4864}, {151936, 896}}) {
      const QuantCode code = {.bits = bits};
      const AlignedBuffer<uint8_t> weights(QuantMatrixBytes(code, n, k));
      Rng rng(1);
      for (size_t i = 0; i < weights.size(); i += 8) {
        const uint64_t bits64 = rng.Next() & 0x3f7f3f7f3f7f3f7fu;  // scales that are small and finite
        std::memcpy(weights.data() + i, &bits64, 8);
      }
      for (const size_t rows : {1, 4, 16, 64, 512}) {
        if (rows > 16 && n > 100'000) continue;
        std::vector<float> x(rows * k), c(rows * n);
        for (float& value : x) value = static_cast<float>(rng.Normal());
        const AlignedBuffer<float> memory(QuantRowsFloats(rows, k));
        double best = 1e9;
        for (int round = 0; round < rounds; ++round) {
          const double start = NowSeconds();
          const QuantRows quant = QuantizeRows(threads, {x.data(), rows, k}, code, memory.data());
          QuantGemm(threads, quant, code, weights.data(), n, {.c = {c.data(), rows, n}});
          best = std::min(best, NowSeconds() - start);
        }
        fmt::print("{:>6} {:>7} {:>6} {:>5} {:>10.0f} {:>10.1f}\n", rows, n, k, bits,
                   2e-9 * static_cast<double>(rows * n * k) / best,
                   1e-9 * static_cast<double>(weights.size()) / best);
      }
    }
  }
}
