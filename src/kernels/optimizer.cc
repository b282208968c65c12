#include "kernels/optimizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/optimizer.cc"
#include <hwy/foreach_target.h>
// Highway's header must come after foreach_target.h.
#include <hwy/highway.h>

#ifndef QWEN25_KERNELS_OPTIMIZER_ONCE_
#define QWEN25_KERNELS_OPTIMIZER_ONCE_
namespace qwen25 {
namespace {

// AdamWStep with every product of constants done once, in double.
struct AdamWFactors {
  float grad_scale;
  float beta1, one_minus_beta1;
  float beta2, one_minus_beta2;
  float keep;       // 1 - learning_rate * weight_decay
  float step_size;  // learning_rate / correction1
  float inverse_sqrt_correction2;
  float epsilon;
};

}  // namespace
}  // namespace qwen25
#endif

HWY_BEFORE_NAMESPACE();
namespace qwen25 {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

const hn::ScalableTag<float> kTag;

// Calls body(load, store) for vectors of [0, n): full ones in place, the tail through a buffer (below AVX-512
// a masked load of Highway reads the whole vector, behind the end of the memory).
template <class Body>
HWY_INLINE void ForVectors(size_t n, const Body& body) {
  using V = hn::Vec<decltype(kTag)>;
  const size_t lanes = hn::Lanes(kTag);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    body([i](const float* p) HWY_ATTR { return hn::LoadU(kTag, p + i); },
         [i](V x, float* p) HWY_ATTR { hn::StoreU(x, kTag, p + i); });
  }
  if (i == n) return;
  const size_t tail_bytes = (n - i) * sizeof(float);
  body(
      [i, tail_bytes](const float* p) HWY_ATTR {
        HWY_ALIGN float buffer[hn::MaxLanes(kTag)] = {};
        std::memcpy(buffer, p + i, tail_bytes);
        return hn::Load(kTag, buffer);
      },
      [i, tail_bytes](V x, float* p) HWY_ATTR {
        HWY_ALIGN float buffer[hn::MaxLanes(kTag)];
        hn::Store(x, kTag, buffer);
        std::memcpy(p + i, buffer, tail_bytes);
      });
}

void AdamWChunk(const AdamWFactors& factors, size_t n, float* weight, const float* grad, float* m, float* v) {
  const auto set = [](float x) HWY_ATTR { return hn::Set(kTag, x); };
  const auto grad_scale = set(factors.grad_scale), keep = set(factors.keep);
  const auto beta1 = set(factors.beta1), one_minus_beta1 = set(factors.one_minus_beta1);
  const auto beta2 = set(factors.beta2), one_minus_beta2 = set(factors.one_minus_beta2);
  const auto step_size = set(factors.step_size), epsilon = set(factors.epsilon);
  const auto inverse_sqrt_correction2 = set(factors.inverse_sqrt_correction2);
  ForVectors(n, [&](auto load, auto store) HWY_ATTR {
    const auto g = hn::Mul(load(grad), grad_scale);
    const auto new_m = hn::MulAdd(beta1, load(m), hn::Mul(one_minus_beta1, g));
    const auto new_v = hn::MulAdd(beta2, load(v), hn::Mul(one_minus_beta2, hn::Mul(g, g)));
    const auto denominator = hn::MulAdd(hn::Sqrt(new_v), inverse_sqrt_correction2, epsilon);
    const auto update = hn::Div(hn::Mul(step_size, new_m), denominator);
    store(new_m, m);
    store(new_v, v);
    store(hn::Sub(hn::Mul(load(weight), keep), update), weight);
  });
}

void MomentumChunk(float beta, float grad_scale, size_t n, const float* grad, float* momentum,
                   float* update) {
  const auto factor = hn::Set(kTag, beta), scale = hn::Set(kTag, grad_scale);
  ForVectors(n, [&](auto load, auto store) HWY_ATTR {
    const auto g = hn::Mul(load(grad), scale);
    const auto new_momentum = hn::MulAdd(factor, load(momentum), g);
    store(new_momentum, momentum);
    store(hn::MulAdd(factor, new_momentum, g), update);
  });
}

void ScaleAddChunk(size_t n, float scale_y, float* y, float scale_x, const float* x) {
  const auto factor_y = hn::Set(kTag, scale_y), factor_x = hn::Set(kTag, scale_x);
  ForVectors(n, [&](auto load, auto store)
                    HWY_ATTR { store(hn::MulAdd(factor_x, load(x), hn::Mul(factor_y, load(y))), y); });
}

double SumOfSquaresChunk(size_t n, const float* x) {
  const hn::ScalableTag<double> tag;
  const hn::Rebind<float, decltype(tag)> half;
  const size_t lanes = hn::Lanes(tag);
  auto sum0 = hn::Zero(tag), sum1 = sum0;  // two chains hide the latency of the addition
  size_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const auto a = hn::PromoteTo(tag, hn::LoadU(half, x + i));
    const auto b = hn::PromoteTo(tag, hn::LoadU(half, x + i + lanes));
    sum0 = hn::MulAdd(a, a, sum0);
    sum1 = hn::MulAdd(b, b, sum1);
  }
  double sum = hn::GetLane(hn::SumOfLanes(tag, hn::Add(sum0, sum1)));
  for (; i < n; ++i) sum += double{x[i]} * double{x[i]};
  return sum;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace qwen25
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qwen25 {
namespace {

HWY_EXPORT(AdamWChunk);
HWY_EXPORT(MomentumChunk);
HWY_EXPORT(ScaleAddChunk);
HWY_EXPORT(SumOfSquaresChunk);

// Calls body(begin, count, chunk) for each chunk of [0, n).
template <class Body>
void ForChunks(ThreadPool& threads, size_t n, const Body& body) {
  threads.ParallelFor(NumOptimizerChunks(n), [&](size_t chunk, size_t) {
    const size_t begin = chunk * kOptimizerChunk;
    body(begin, std::min(kOptimizerChunk, n - begin), chunk);
  });
}

}  // namespace

void AdamWUpdate(ThreadPool& threads, const AdamWStep& step, size_t n, float* weight, const float* grad,
                 float* m, float* v) {
  const AdamWFactors factors = {
      .grad_scale = step.grad_scale,
      .beta1 = static_cast<float>(step.beta1),
      .one_minus_beta1 = static_cast<float>(1 - step.beta1),
      .beta2 = static_cast<float>(step.beta2),
      .one_minus_beta2 = static_cast<float>(1 - step.beta2),
      .keep = static_cast<float>(1 - step.learning_rate * step.weight_decay),
      .step_size = static_cast<float>(step.learning_rate / step.correction1),
      .inverse_sqrt_correction2 = static_cast<float>(1 / std::sqrt(step.correction2)),
      .epsilon = static_cast<float>(step.epsilon),
  };
  ForChunks(threads, n, [&](size_t begin, size_t count, size_t) {
    HWY_DYNAMIC_DISPATCH(AdamWChunk)(factors, count, weight + begin, grad + begin, m + begin, v + begin);
  });
}

void MomentumUpdate(ThreadPool& threads, float beta, float grad_scale, size_t n, const float* grad,
                    float* momentum, float* update) {
  ForChunks(threads, n, [&](size_t begin, size_t count, size_t) {
    HWY_DYNAMIC_DISPATCH(MomentumChunk)
    (beta, grad_scale, count, grad + begin, momentum + begin, update + begin);
  });
}

void ScaleAdd(ThreadPool& threads, size_t n, float scale_y, float* y, float scale_x, const float* x) {
  ForChunks(threads, n, [&](size_t begin, size_t count, size_t) {
    HWY_DYNAMIC_DISPATCH(ScaleAddChunk)(count, scale_y, y + begin, scale_x, x + begin);
  });
}

double SumOfSquares(ThreadPool& threads, size_t n, const float* x, std::span<double> partials) {
  QWEN25_CHECK(partials.size() >= NumOptimizerChunks(n));
  ForChunks(threads, n, [&](size_t begin, size_t count, size_t chunk) {
    partials[chunk] = HWY_DYNAMIC_DISPATCH(SumOfSquaresChunk)(count, x + begin);
  });
  double sum = 0;
  for (size_t chunk = 0; chunk < NumOptimizerChunks(n); ++chunk) sum += partials[chunk];
  return sum;
}

}  // namespace qwen25
#endif  // HWY_ONCE
