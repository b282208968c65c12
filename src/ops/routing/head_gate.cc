#include "ops/routing/head_gate.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "ops/row_tasks.h"

namespace qwen25 {
namespace {

// Rows are as short as a model has kv heads; the products around them are what takes time.

void Softmax(const float* logits, size_t count, float* out) {
  const float greatest = *std::max_element(logits, logits + count);
  float sum = 0;
  for (size_t i = 0; i < count; ++i) sum += out[i] = std::exp(logits[i] - greatest);
  for (size_t i = 0; i < count; ++i) out[i] /= sum;
}

// dlogits = p (dp - sum p dp), added or written.
void SoftmaxBackward(const float* p, const float* dp, size_t count, bool add, float* dlogits) {
  float dot = 0;
  for (size_t i = 0; i < count; ++i) dot += p[i] * dp[i];
  for (size_t i = 0; i < count; ++i) dlogits[i] = (add ? dlogits[i] : 0.0f) + p[i] * (dp[i] - dot);
}

// Whether fewer than top_k others stand before p[i].
bool IsChosen(const float* p, size_t count, size_t i, size_t top_k) {
  size_t before = 0;
  for (size_t j = 0; j < count; ++j) before += p[j] > p[i] || (p[j] == p[i] && j < i);
  return before < top_k;
}

struct HeadGateRecord {
  HeadRouting routing;
  Tensor logits, probabilities, weights;  // probabilities [T, K + 2]: q, p, a
  float balance_scale;

  void Backward(Execution& execution) {
    const size_t num_groups = weights.cols(), shared = routing.shared_groups, routed = num_groups - shared;
    const bool add = !logits.MakeGrad();
    // Gradient of the balance loss by p, the same for every token.
    const Tensor balance = execution.tensors.New(1, routed);
    std::fill_n(balance.data(), routed, 0.0f);
    for (size_t t = 0; t < weights.rows(); ++t) {
      for (size_t i = 0; i < routed; ++i) balance.data()[i] += weights.view().Row(t)[shared + i] != 0;
    }
    const float factor = balance_scale / static_cast<float>(weights.rows());
    for (size_t i = 0; i < routed; ++i) balance.data()[i] *= factor;

    const Tensor dprobabilities = execution.tensors.New(weights.rows(), num_groups + 2);
    ForRows(execution.threads, weights.rows(), [&](size_t begin, size_t end, size_t) {
      for (size_t t = begin; t < end; ++t) {
        const float *dw = weights.grad_view().Row(t), *w = weights.view().Row(t);
        const float *p = probabilities.view().Row(t), *a = p + num_groups;
        float *dp = dprobabilities.view().Row(t), *da = dp + num_groups;
        float* dlogit = logits.grad_view().Row(t);
        da[0] = da[1] = 0;
        for (size_t i = 0; i < num_groups; ++i) {
          const bool is_shared = i < shared;
          const float scale = 2.0f * static_cast<float>(is_shared ? shared : routed);
          dp[i] = w[i] == 0 ? 0.0f : scale * a[is_shared ? 0 : 1] * dw[i];
          da[is_shared ? 0 : 1] += w[i] == 0 ? 0.0f : scale * p[i] * dw[i];
          if (!is_shared) dp[i] += balance.data()[i - shared];
        }
        SoftmaxBackward(p, dp, shared, add, dlogit);
        SoftmaxBackward(p + shared, dp + shared, routed, add, dlogit + shared);
        SoftmaxBackward(a, da, 2, add, dlogit + num_groups);
      }
    });
    weights.FreeGrad();
  }
};

struct WeighHeadsRecord {
  Tensor x, weights, out;

  void Backward(Execution& execution) {
    const size_t num_groups = weights.cols(), width = x.cols() / num_groups;
    QWEN25_CHECK(x.MakeGrad());        // nothing else reads the outputs of the heads
    QWEN25_CHECK(weights.MakeGrad());  // nor computes with the weights
    ForRows(execution.threads, x.rows(), [&](size_t begin, size_t end, size_t) {
      for (size_t t = begin; t < end; ++t) {
        const float *w = weights.view().Row(t), *from = x.view().Row(t), *dout = out.grad_view().Row(t);
        float *dx = x.grad_view().Row(t), *dw = weights.grad_view().Row(t);
        for (size_t i = 0; i < num_groups; ++i) {
          float dot = 0;
          for (size_t c = i * width; c < (i + 1) * width; ++c) {
            dot += from[c] * dout[c];
            dx[c] = w[i] * dout[c];
          }
          dw[i] = dot;
        }
      }
    });
    out.FreeGrad();
  }
};

}  // namespace

Status HeadRouting::Validate(uint32_t num_kv_heads) const {
  if (num_kv_heads < 2) {
    return InvalidArgument("head routing needs at least 2 kv heads to choose from, the model has {}",
                           num_kv_heads);
  }
  if (shared_groups < 1 || shared_groups >= num_kv_heads) {
    return InvalidArgument("head routing: shared_groups is {}, expected 1 to {}", shared_groups,
                           num_kv_heads - 1);
  }
  if (top_k < 1 || top_k > num_kv_heads - shared_groups) {
    return InvalidArgument("head routing: top_k is {}, expected 1 to {}, the groups that are not shared",
                           top_k, num_kv_heads - shared_groups);
  }
  if (!(balance_loss >= 0) || !std::isfinite(balance_loss)) {
    return InvalidArgument("head routing: balance_loss is {}, expected 0 or a small positive number",
                           balance_loss);
  }
  return {};
}

Tensor HeadGate(Execution& execution, const HeadRouting& routing, const Tensor& logits, float balance_scale) {
  QWEN25_CHECK(logits.cols() > 2);
  const size_t num_groups = logits.cols() - 2, shared = routing.shared_groups;
  QWEN25_CHECK(routing.Validate(static_cast<uint32_t>(num_groups)).ok());
  const size_t routed = num_groups - shared;
  Tensor weights = execution.tensors.New(logits.rows(), num_groups);
  const Tensor probabilities = execution.tensors.New(logits.rows(), num_groups + 2);
  ForRows(execution.threads, logits.rows(), [&](size_t begin, size_t end, size_t) {
    for (size_t t = begin; t < end; ++t) {
      const float* z = logits.view().Row(t);
      float *p = probabilities.view().Row(t), *a = p + num_groups, *w = weights.view().Row(t);
      Softmax(z, shared, p);
      Softmax(z + shared, routed, p + shared);
      Softmax(z + num_groups, 2, a);
      for (size_t i = 0; i < shared; ++i) w[i] = 2.0f * a[0] * static_cast<float>(shared) * p[i];
      for (size_t i = 0; i < routed; ++i) {
        const bool runs = IsChosen(p + shared, routed, i, routing.top_k);
        w[shared + i] = runs ? 2.0f * a[1] * static_cast<float>(routed) * p[shared + i] : 0.0f;
      }
    }
  });
  if (execution.tape != nullptr) {
    execution.tape->Push(HeadGateRecord{routing, logits, probabilities, weights, balance_scale});
  }
  return weights;
}

Tensor WeighHeads(Execution& execution, const Tensor& x, const Tensor& weights) {
  QWEN25_CHECK(weights.rows() == x.rows() && x.cols() % weights.cols() == 0);
  const size_t num_groups = weights.cols(), width = x.cols() / num_groups;
  Tensor out = execution.tensors.New(x.rows(), x.cols());
  ForRows(execution.threads, x.rows(), [&](size_t begin, size_t end, size_t) {
    for (size_t t = begin; t < end; ++t) {
      const float *from = x.view().Row(t), *w = weights.view().Row(t);
      float* to = out.view().Row(t);
      for (size_t i = 0; i < num_groups; ++i) {
        for (size_t c = i * width; c < (i + 1) * width; ++c) to[c] = w[i] * from[c];
      }
    }
  });
  if (execution.tape != nullptr) execution.tape->Push(WeighHeadsRecord{x, weights, out});
  return out;
}

}  // namespace qwen25
