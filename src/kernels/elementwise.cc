#include "kernels/elementwise.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise.cc"
#include <hwy/foreach_target.h>
// Highway's headers must come after foreach_target.h.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "kernels/row_vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qwen25 {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

HWY_INLINE Vec Sigmoid(Vec x) {
  const Vec one = hn::Set(kTag, 1.0f);
  x = hn::Max(
      x, hn::Set(kTag, -88.0f));  // exp(88) is the last that float holds; Highway's Exp does not saturate
  return hn::Div(one, hn::Add(one, hn::Exp(kTag, hn::Neg(x))));
}

void RmsNormRowsImpl(MatrixView<const float> x, const float* weight, float eps, size_t begin, size_t end,
                     MatrixView<float> y, float* r) {
  const size_t width = x.cols;
  for (size_t t = begin; t < end; ++t) {
    const float* from = x.Row(t);
    float* to = y.Row(t);
    Vec squares = hn::Zero(kTag);
    const auto add_square = [&](Vec v) HWY_ATTR { squares = hn::MulAdd(v, v, squares); };
    ForEachVector(
        width, [&](size_t i) HWY_ATTR { add_square(hn::LoadU(kTag, from + i)); },
        [&](size_t i, size_t n) HWY_ATTR { add_square(LoadFirst(from + i, n)); });
    const float scale = 1.0f / std::sqrt(eps + Sum(squares) / static_cast<float>(width));
    if (r != nullptr) r[t] = scale;
    const Vec scale_v = hn::Set(kTag, scale);
    ForEachVector(
        width,
        [&](size_t i) HWY_ATTR {
          hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(kTag, from + i), scale_v), hn::LoadU(kTag, weight + i)), kTag,
                     to + i);
        },
        [&](size_t i, size_t n) HWY_ATTR {
          StoreFirst(hn::Mul(hn::Mul(LoadFirst(from + i, n), scale_v), LoadFirst(weight + i, n)), n, to + i);
        });
  }
}

void RmsNormBackwardRowsImpl(MatrixView<const float> dy, MatrixView<const float> x, const float* weight,
                             const float* r, size_t begin, size_t end, bool add, MatrixView<float> dx,
                             float* dweight) {
  const size_t width = x.cols;
  for (size_t t = begin; t < end; ++t) {
    const float *dy_row = dy.Row(t), *x_row = x.Row(t);
    float* dx_row = dx.Row(t);
    const Vec scale = hn::Set(kTag, r[t]);
    Vec dot = hn::Zero(kTag);
    ForEachVector(
        width,
        [&](size_t i) HWY_ATTR {
          const Vec product = hn::Mul(hn::LoadU(kTag, dy_row + i), hn::LoadU(kTag, x_row + i));
          dot = hn::MulAdd(product, hn::LoadU(kTag, weight + i), dot);
          hn::StoreU(hn::MulAdd(product, scale, hn::LoadU(kTag, dweight + i)), kTag, dweight + i);
        },
        [&](size_t i, size_t n) HWY_ATTR {
          const Vec product = hn::Mul(LoadFirst(dy_row + i, n), LoadFirst(x_row + i, n));
          dot = hn::MulAdd(product, LoadFirst(weight + i, n), dot);
          StoreFirst(hn::MulAdd(product, scale, LoadFirst(dweight + i, n)), n, dweight + i);
        });
    const Vec c = hn::Set(kTag, r[t] * r[t] * (Sum(dot) / static_cast<float>(width)));
    const auto value = [&](Vec dy_v, Vec x_v, Vec weight_v) HWY_ATTR {
      return hn::Mul(scale, hn::NegMulAdd(x_v, c, hn::Mul(weight_v, dy_v)));
    };
    ForEachVector(
        width,
        [&](size_t i) HWY_ATTR {
          Vec v = value(hn::LoadU(kTag, dy_row + i), hn::LoadU(kTag, x_row + i), hn::LoadU(kTag, weight + i));
          if (add) v = hn::Add(v, hn::LoadU(kTag, dx_row + i));
          hn::StoreU(v, kTag, dx_row + i);
        },
        [&](size_t i, size_t n) HWY_ATTR {
          Vec v = value(LoadFirst(dy_row + i, n), LoadFirst(x_row + i, n), LoadFirst(weight + i, n));
          if (add) v = hn::Add(v, LoadFirst(dx_row + i, n));
          StoreFirst(v, n, dx_row + i);
        });
  }
}

void SwiGluRowsImpl(MatrixView<const float> gate_up, size_t begin, size_t end, MatrixView<float> y) {
  const size_t width = y.cols;
  for (size_t t = begin; t < end; ++t) {
    const float *gate = gate_up.Row(t), *up = gate + width;
    float* to = y.Row(t);
    const auto value = [](Vec g, Vec u) HWY_ATTR { return hn::Mul(hn::Mul(g, Sigmoid(g)), u); };
    ForEachVector(
        width,
        [&](size_t i)
            HWY_ATTR { hn::StoreU(value(hn::LoadU(kTag, gate + i), hn::LoadU(kTag, up + i)), kTag, to + i); },
        [&](size_t i, size_t n)
            HWY_ATTR { StoreFirst(value(LoadFirst(gate + i, n), LoadFirst(up + i, n)), n, to + i); });
  }
}

void SwiGluBackwardRowsImpl(MatrixView<const float> dy, MatrixView<const float> gate_up, size_t begin,
                            size_t end, MatrixView<float> dgate_up) {
  const size_t width = dy.cols;
  const Vec one = hn::Set(kTag, 1.0f);
  for (size_t t = begin; t < end; ++t) {
    const float *gate = gate_up.Row(t), *up = gate + width, *d = dy.Row(t);
    float *dgate = dgate_up.Row(t), *dup = dgate + width;
    const auto values = [&](Vec g, Vec u, Vec d_v, Vec& dg, Vec& du) HWY_ATTR {
      const Vec s = Sigmoid(g);
      const Vec silu = hn::Mul(g, s);
      du = hn::Mul(d_v, silu);
      dg = hn::Mul(hn::Mul(d_v, u), hn::MulAdd(silu, hn::Sub(one, s), s));
    };
    ForEachVector(
        width,
        [&](size_t i) HWY_ATTR {
          Vec dg, du;
          values(hn::LoadU(kTag, gate + i), hn::LoadU(kTag, up + i), hn::LoadU(kTag, d + i), dg, du);
          hn::StoreU(dg, kTag, dgate + i);
          hn::StoreU(du, kTag, dup + i);
        },
        [&](size_t i, size_t n) HWY_ATTR {
          Vec dg, du;
          values(LoadFirst(gate + i, n), LoadFirst(up + i, n), LoadFirst(d + i, n), dg, du);
          StoreFirst(dg, n, dgate + i);
          StoreFirst(du, n, dup + i);
        });
  }
}

double CrossEntropyRowImpl(float* logits, size_t num_logits, int32_t target, float dlogits_scale) {
  const float target_logit = logits[target];
  float max = logits[0];
  Vec max_v = hn::Set(kTag, max);
  ForEachVector(
      num_logits, [&](size_t i) HWY_ATTR { max_v = hn::Max(max_v, hn::LoadU(kTag, logits + i)); },
      [&](size_t i, size_t n) {
        for (size_t j = 0; j < n; ++j) max = std::max(max, logits[i + j]);
      });
  max = std::max(max, hn::GetLane(hn::MaxOfLanes(kTag, max_v)));
  const bool want_gradient = dlogits_scale != 0.0f;
  const Vec max_all = hn::Set(kTag, max);
  Vec sum_v = hn::Zero(kTag);
  double rest = 0;
  ForEachVector(
      num_logits,
      [&](size_t i) HWY_ATTR {
        const Vec e = hn::Exp(kTag, hn::Sub(hn::LoadU(kTag, logits + i), max_all));
        sum_v = hn::Add(sum_v, e);
        if (want_gradient) hn::StoreU(e, kTag, logits + i);
      },
      [&](size_t i, size_t n) HWY_ATTR {
        const Vec e = hn::Exp(kTag, hn::Sub(LoadFirst(logits + i, n), max_all));
        HWY_ALIGN float lanes[kLanes];
        hn::Store(e, kTag, lanes);
        for (size_t j = 0; j < n; ++j) rest += lanes[j];
        if (want_gradient) std::memcpy(logits + i, lanes, n * sizeof(float));
      });
  const double sum = Sum(sum_v) + rest;
  if (want_gradient) {
    const float factor = static_cast<float>(dlogits_scale / sum);
    const Vec factor_v = hn::Set(kTag, factor);
    ForEachVector(
        num_logits,
        [&](size_t i)
            HWY_ATTR { hn::StoreU(hn::Mul(hn::LoadU(kTag, logits + i), factor_v), kTag, logits + i); },
        [&](size_t i, size_t n) {
          for (size_t j = 0; j < n; ++j) logits[i + j] *= factor;
        });
    logits[target] -= dlogits_scale;
  }
  return std::log(sum) + max - target_logit;
}

void AddColumnSumsImpl(MatrixView<const float> x, size_t begin, size_t end, float* total) {
  for (size_t t = 0; t < x.rows; ++t) {
    const float* row = x.Row(t) + begin;
    ForEachVector(
        end - begin,
        [&](size_t i) HWY_ATTR {
          float* to = total + begin + i;
          hn::StoreU(hn::Add(hn::LoadU(kTag, to), hn::LoadU(kTag, row + i)), kTag, to);
        },
        [&](size_t i, size_t n) {
          for (size_t j = 0; j < n; ++j) total[begin + i + j] += row[i + j];
        });
  }
}

size_t ArgMaxImpl(const float* x, size_t count) {
  const Vec smallest = hn::Neg(hn::Inf(kTag));
  Vec max_v = smallest;
  float max = -std::numeric_limits<float>::infinity();
  ForEachVector(
      count,
      [&](size_t i) HWY_ATTR {
        const Vec v = hn::LoadU(kTag, x + i);
        max_v = hn::Max(max_v, hn::IfThenElse(hn::IsNaN(v), smallest, v));
      },
      [&](size_t i, size_t n) {
        for (size_t j = 0; j < n; ++j) {
          if (x[i + j] > max) max = x[i + j];
        }
      });
  max = std::max(max, hn::GetLane(hn::MaxOfLanes(kTag, max_v)));
  const Vec max_all = hn::Set(kTag, max);
  size_t i = 0;
  while (i + kLanes <= count && hn::AllFalse(kTag, hn::Eq(hn::LoadU(kTag, x + i), max_all))) i += kLanes;
  while (i < count && x[i] != max) ++i;
  return i < count ? i : 0;
}

void RunMaximaImpl(const float* x, size_t count, float* maxima) {
  const Vec smallest = hn::Neg(hn::Inf(kTag));
  for (size_t begin = 0; begin < count; begin += kMaximaRun) {
    const size_t end = std::min(begin + kMaximaRun, count);
    Vec max_v = smallest;
    size_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      const Vec v = hn::LoadU(kTag, x + i);
      max_v = hn::Max(max_v, hn::IfThenElse(hn::IsNaN(v), smallest, v));
    }
    float max = hn::GetLane(hn::MaxOfLanes(kTag, max_v));
    for (; i < end; ++i) {
      if (x[i] > max) max = x[i];
    }
    *maxima++ = max;
  }
}

void AddOrCopyImpl(const float* x, size_t count, bool add, float* y) {
  if (!add) {
    std::copy(x, x + count, y);
    return;
  }
  ForEachVector(
      count,
      [&](size_t i)
          HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(kTag, x + i), hn::LoadU(kTag, y + i)), kTag, y + i); },
      [&](size_t i, size_t n) {
        for (size_t j = 0; j < n; ++j) y[i + j] += x[i + j];
      });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace qwen25
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qwen25 {
namespace {
HWY_EXPORT(RmsNormRowsImpl);
HWY_EXPORT(RmsNormBackwardRowsImpl);
HWY_EXPORT(SwiGluRowsImpl);
HWY_EXPORT(SwiGluBackwardRowsImpl);
HWY_EXPORT(CrossEntropyRowImpl);
HWY_EXPORT(AddColumnSumsImpl);
HWY_EXPORT(ArgMaxImpl);
HWY_EXPORT(RunMaximaImpl);
HWY_EXPORT(AddOrCopyImpl);
}  // namespace

void RmsNormRows(MatrixView<const float> x, const float* weight, float eps, size_t begin, size_t end,
                 MatrixView<float> y, float* r) {
  HWY_DYNAMIC_DISPATCH(RmsNormRowsImpl)(x, weight, eps, begin, end, y, r);
}
void RmsNormBackwardRows(MatrixView<const float> dy, MatrixView<const float> x, const float* weight,
                         const float* r, size_t begin, size_t end, bool add, MatrixView<float> dx,
                         float* dweight) {
  HWY_DYNAMIC_DISPATCH(RmsNormBackwardRowsImpl)(dy, x, weight, r, begin, end, add, dx, dweight);
}
void SwiGluRows(MatrixView<const float> gate_up, size_t begin, size_t end, MatrixView<float> y) {
  HWY_DYNAMIC_DISPATCH(SwiGluRowsImpl)(gate_up, begin, end, y);
}
void SwiGluBackwardRows(MatrixView<const float> dy, MatrixView<const float> gate_up, size_t begin, size_t end,
                        MatrixView<float> dgate_up) {
  HWY_DYNAMIC_DISPATCH(SwiGluBackwardRowsImpl)(dy, gate_up, begin, end, dgate_up);
}
double CrossEntropyRow(float* logits, size_t num_logits, int32_t target, float dlogits_scale) {
  QWEN25_CHECK(target >= 0 && static_cast<size_t>(target) < num_logits);
  return HWY_DYNAMIC_DISPATCH(CrossEntropyRowImpl)(logits, num_logits, target, dlogits_scale);
}
void AddColumnSums(MatrixView<const float> x, size_t begin, size_t end, float* total) {
  HWY_DYNAMIC_DISPATCH(AddColumnSumsImpl)(x, begin, end, total);
}
void RunMaxima(const float* x, size_t count, float* maxima) {
  HWY_DYNAMIC_DISPATCH(RunMaximaImpl)(x, count, maxima);
}

size_t ArgMax(const float* x, size_t count) {
  QWEN25_CHECK(count > 0);
  return HWY_DYNAMIC_DISPATCH(ArgMaxImpl)(x, count);
}
void AddOrCopy(const float* x, size_t count, bool add, float* y) {
  HWY_DYNAMIC_DISPATCH(AddOrCopyImpl)(x, count, add, y);
}

}  // namespace qwen25
#endif  // HWY_ONCE
