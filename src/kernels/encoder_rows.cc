#include "kernels/encoder_rows.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/encoder_rows.cc"
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

void LayerNormRowsImpl(MatrixView<float> x, const float* weight, const float* bias, float eps, size_t begin,
                       size_t end) {
  const size_t width = x.cols;
  const float inverse = 1.0f / static_cast<float>(width);
  for (size_t t = begin; t < end; ++t) {
    float* row = x.Row(t);
    Vec sum = hn::Zero(kTag);
    ForEachVector(
        width, [&](size_t i) HWY_ATTR { sum = hn::Add(sum, hn::LoadU(kTag, row + i)); },
        [&](size_t i, size_t n) HWY_ATTR { sum = hn::Add(sum, LoadFirst(row + i, n)); });
    const Vec mean = hn::Set(kTag, Sum(sum) * inverse);
    Vec squares = hn::Zero(kTag);
    ForEachVector(
        width,
        [&](size_t i) HWY_ATTR {
          const Vec d = hn::Sub(hn::LoadU(kTag, row + i), mean);
          squares = hn::MulAdd(d, d, squares);
        },
        [&](size_t i, size_t n) HWY_ATTR {
          const Vec d = hn::IfThenElseZero(hn::FirstN(kTag, n), hn::Sub(LoadFirst(row + i, n), mean));
          squares = hn::MulAdd(d, d, squares);
        });
    const float variance = Sum(squares) * inverse;
    const Vec scale = hn::Set(kTag, 1.0f / std::sqrt(variance + eps));
    const auto normed = [&](Vec v, Vec w, Vec b)
                            HWY_ATTR { return hn::MulAdd(hn::Mul(hn::Sub(v, mean), scale), w, b); };
    ForEachVector(
        width,
        [&](size_t i) HWY_ATTR {
          hn::StoreU(normed(hn::LoadU(kTag, row + i), hn::LoadU(kTag, weight + i), hn::LoadU(kTag, bias + i)),
                     kTag, row + i);
        },
        [&](size_t i, size_t n) HWY_ATTR {
          StoreFirst(normed(LoadFirst(row + i, n), LoadFirst(weight + i, n), LoadFirst(bias + i, n)), n,
                     row + i);
        });
  }
}

// With a = |x| and the tail h(a) = P(N(0,1) > a), gelu(x) = max(x, 0) - a * h(a). The tail is
// exp(-a^2 / 2) * t * p(t), t = 1 / (1 + 0.3 a), a form that Hastings found for erfc ("Approximations for
// Digital Computers", 1955); the polynomial p of degree 7 is fitted here to the least greatest relative error
// for a from 0 to 13.2, which is 1.2e-7.
HWY_INLINE Vec GeluErf(Vec x) {
  constexpr float kPolynomial[] = {0.11962454f,  0.12082634f, 0.09946492f,  0.13003313f,
                                   -0.05645114f, 0.20934762f, -0.15893450f, 0.03608904f};
  const Vec one = hn::Set(kTag, 1.0f);
  const Vec a = hn::Min(hn::Abs(x), hn::Set(kTag, 13.0f));  // beyond it the tail is below what a float holds
  const Vec t = hn::Div(one, hn::MulAdd(a, hn::Set(kTag, 0.3f), one));
  Vec p = hn::Set(kTag, kPolynomial[7]);
  for (size_t i = 7; i-- > 0;) p = hn::MulAdd(p, t, hn::Set(kTag, kPolynomial[i]));
  const Vec exponential = hn::Exp(kTag, hn::Mul(hn::Mul(a, a), hn::Set(kTag, -0.5f)));
  const Vec tail = hn::Mul(a, hn::Mul(exponential, hn::Mul(t, p)));
  // A NaN is not less than 0: it takes the second way, and stays one.
  return hn::IfThenElse(hn::Lt(x, hn::Zero(kTag)), hn::Neg(tail), hn::Sub(x, tail));
}

// tanh(u) = 2 / (1 + exp(-2 u)) - 1, so that gelu(x) = x / (1 + exp(-2 u)).
HWY_INLINE Vec GeluTanh(Vec x) {
  const Vec cube = hn::Mul(hn::Mul(x, x), x);
  const Vec u = hn::Mul(hn::MulAdd(cube, hn::Set(kTag, 0.044715f), x), hn::Set(kTag, 1.5957691216f));
  // exp(88) is the last that a float holds; Highway's Exp does not saturate.
  const Vec clamped = hn::Max(u, hn::Set(kTag, -88.0f));
  const Vec one = hn::Set(kTag, 1.0f);
  const Vec y = hn::Div(x, hn::Add(one, hn::Exp(kTag, hn::Neg(clamped))));
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

void GeluRowsImpl(MatrixView<float> x, Gelu kind, size_t begin, size_t end) {
  for (size_t t = begin; t < end; ++t) {
    float* row = x.Row(t);
    const auto apply = [&](const auto& gelu) HWY_ATTR {
      ForEachVector(
          x.cols, [&](size_t i) HWY_ATTR { hn::StoreU(gelu(hn::LoadU(kTag, row + i)), kTag, row + i); },
          [&](size_t i, size_t n) HWY_ATTR { StoreFirst(gelu(LoadFirst(row + i, n)), n, row + i); });
    };
    if (kind == Gelu::kErf) {
      apply([](Vec v) HWY_ATTR { return GeluErf(v); });
    } else {
      apply([](Vec v) HWY_ATTR { return GeluTanh(v); });
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace qwen25
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qwen25 {
namespace {
HWY_EXPORT(LayerNormRowsImpl);
HWY_EXPORT(GeluRowsImpl);
}  // namespace

void LayerNormRows(MatrixView<float> x, const float* weight, const float* bias, float eps, size_t begin,
                   size_t end) {
  HWY_DYNAMIC_DISPATCH(LayerNormRowsImpl)(x, weight, bias, eps, begin, end);
}
void GeluRows(MatrixView<float> x, Gelu kind, size_t begin, size_t end) {
  HWY_DYNAMIC_DISPATCH(GeluRowsImpl)(x, kind, begin, end);
}

}  // namespace qwen25
#endif  // HWY_ONCE
