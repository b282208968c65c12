#include "cli/bench/machine_probe.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "kernels/quant_gemm.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {

namespace {

constexpr size_t kBytes = size_t{512} << 20, kTaskBytes = size_t{4} << 20;

}  // namespace

ReadBandwidth::ReadBandwidth() : memory_(kBytes / 8) {
  std::fill_n(memory_.data(), memory_.size(), 1);
}

double ReadBandwidth::Measure(ThreadPool& threads) const {
  std::vector<uint64_t> sums(kBytes / kTaskBytes);
  constexpr int kRounds = 2;
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    const double start = NowSeconds();
    threads.ParallelFor(sums.size(), [&](size_t task, size_t) {
      const uint64_t* from = memory_.data() + task * (kTaskBytes / 8);
      uint64_t parts[32] = {};  // enough chains for the compiler to fill wide registers with
      for (size_t i = 0; i < kTaskBytes / 8; i += 32) {
        for (size_t j = 0; j < 32; ++j) parts[j] += from[i + j];
      }
      for (uint64_t part : parts) sums[task] += part;
    });
    best = std::max(best, static_cast<double>(kBytes) / (NowSeconds() - start));
  }
  QWEN25_CHECK(sums[0] == kRounds * kTaskBytes / 8);
  return best;
}

double MeasureInt8Rate(ThreadPool& threads) {
  constexpr size_t kRows = 192, kN = 1024, kK = 1024;
  constexpr int kRounds = 10;
  const QuantCode code = {.bits = 8};
  const AlignedBuffer<uint8_t> weights(QuantMatrixBytes(code, kN, kK));
  std::memset(weights.data(), 1, weights.size());
  const AlignedBuffer<float> x(kRows * kK), c(kRows * kN), memory(QuantRowsFloats(kRows, kK));
  std::fill_n(x.data(), x.size(), 1.0f);
  const QuantRows rows = QuantizeRows(threads, {x.data(), kRows, kK}, code, memory.data());
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    const double start = NowSeconds();
    QuantGemm(threads, rows, code, weights.data(), kN, {.c = {c.data(), kRows, kN}});
    best = std::max(best, 2.0 * kRows * kN * kK / (NowSeconds() - start));
  }
  return best;
}

}  // namespace qwen25
