// Our matrix product beside oneDNN's, over the shapes of a training step: gemm_bench [rounds]
// One library at a time for all its rounds: OpenMP's threads spin for a while after each call, and would
// slow down whatever runs next.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/clock.h"
#include "kernels/gemm.h"
#include "kernels/isa.h"
#ifdef QWEN25_HAVE_DNNL
#include <dnnl.h>
#endif

namespace {

using namespace qwen25;

struct Shape {
  const char* what;
  size_t m, n, k;
  bool a_transposed, b_transposed;
};
constexpr Shape kShapes[] = {
    {"nano forward q, k, v", 4096, 384, 256, false, true},
    {"nano forward gate, up", 4096, 1408, 256, false, true},
    {"nano forward down", 4096, 256, 704, false, true},
    {"nano weight gradient", 1408, 256, 4096, true, false},
    {"nano input gradient", 4096, 256, 1408, false, false},
    {"small forward gate, up", 2048, 4096, 768, false, true},
    {"small forward down", 2048, 768, 2048, false, true},
    {"small weight gradient", 4096, 768, 2048, true, false},
    {"small input gradient", 2048, 768, 4096, false, false},
    {"square", 2048, 2048, 2048, false, false},
};

template <typename Function>
double BestSeconds(int rounds, const Function& function) {
  double best = 1e30;
  for (int round = 0; round < rounds; ++round) {
    const double start = NowSeconds();
    function();
    best = std::min(best, NowSeconds() - start);
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  ApplyForcedIsa();
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 12;
  ThreadPool threads(DefaultNumThreads());
  Scratch scratch(threads.num_threads());
  fmt::print("{} threads, {}; GFLOP/s, best of {}\n", threads.num_threads(), CurrentIsa(), rounds);
  fmt::print("{:<24}{:>6}{:>6}{:>6}{:>9}{:>9}{:>8}\n", "product", "m", "n", "k", "ours", "oneDNN", "ratio");
  for (const Shape& s : kShapes) {
    AlignedBuffer<float> a(s.m * s.k), b(s.k * s.n), c(s.m * s.n);
    for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i * 2654435761u % 1000) / 500 - 1;
    for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i * 2246822519u % 1000) / 500 - 1;
    const GemmOperand left = {a.data(), s.a_transposed ? s.m : s.k, s.a_transposed};
    const GemmOperand right = {b.data(), s.b_transposed ? s.k : s.n, s.b_transposed};
    const double gflop =
        2e-9 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
    const double ours = gflop / BestSeconds(rounds, [&] {
                          Gemm(threads, scratch, s.m, s.n, s.k, left, right, {.c = {c.data(), s.m, s.n}});
                        });
    fmt::print("{:<24}{:>6}{:>6}{:>6}{:>9.0f}", s.what, s.m, s.n, s.k, ours);
#ifdef QWEN25_HAVE_DNNL
    AlignedBuffer<float> peer(c.size());
    const double theirs =
        gflop / BestSeconds(rounds, [&] {
          dnnl_sgemm(s.a_transposed ? 'T' : 'N', s.b_transposed ? 'T' : 'N', static_cast<dnnl_dim_t>(s.m),
                     static_cast<dnnl_dim_t>(s.n), static_cast<dnnl_dim_t>(s.k), 1, a.data(),
                     static_cast<dnnl_dim_t>(left.stride), b.data(), static_cast<dnnl_dim_t>(right.stride), 0,
                     peer.data(), static_cast<dnnl_dim_t>(s.n));
        });
    float worst = 0;
    for (size_t i = 0; i < c.size(); ++i) worst = std::max(worst, std::fabs(c[i] - peer[i]));
    fmt::print("{:>9.0f}{:>8.2f}   largest difference {:.1e}", theirs, ours / theirs, worst);
#endif
    fmt::print("\n");
  }
}
