#include "model/decoder.h"

#include <algorithm>
#include <optional>

#include "ops/attention/self_attention.h"
#include "ops/head_norms.h"
#include "ops/routing/head_gate.h"

namespace qwen25 {
namespace {

// The input of every layer of a pass. The tape may keep a copy per layer (about 250 bytes), which outlives
// the call.
struct LayerInput {
  const Model* model;
  TokenBatch batch;
  DecoderOptions options;
};

const Parameter* BiasOrNull(const Parameter& bias) {
  return bias.data == nullptr ? nullptr : &bias;
}

// Adds what adapters change of a layer's product of x.
void AddAdapters(Execution& execution, const LayerInput& input, size_t index,
                 LowRankUpdate AdapterSet::Layer::*update, const Tensor& x, const Tensor& out) {
  for (const auto& [adapters, rows] : input.options.adapters) {
    (adapters->layers()[index].*update).AddTo(execution, x, rows, out);
  }
}

// Attention over norm(x): what its output projection reads.
Tensor AttentionForward(Execution& execution, const LayerInput& input, size_t index, const Tensor& x) {
  const Model& model = *input.model;
  const DecoderLayer& layer = model.layers[index];
  const float eps = model.config().rms_norm_eps;
  AttentionShape shape = model.attention_shape();
  shape.kv_format = input.options.kv_format;
  if (const size_t window = model.config().WindowOf(index); window != 0) shape.window = window;
  const RotaryTable& rotary = input.options.rotary != nullptr ? *input.options.rotary : model.rotary();

  const Tensor normed = RmsNorm(execution, x, layer.input_layernorm, eps);
  Tensor qkv = Linear(execution, normed, layer.qkv_proj, BiasOrNull(layer.qkv_bias));
  AddAdapters(execution, input, index, &AdapterSet::Layer::qkv_proj, normed, qkv);
  if (model.config().has_head_norms()) {
    qkv = NormalizeHeads(execution, std::move(qkv), {shape.num_heads, shape.num_kv_heads}, layer.q_norm,
                         layer.k_norm, eps);
  }
  const std::optional<HeadRouting>& heads = model.config().head_routing;
  const Tensor head_weights = heads ? HeadGate(execution, *heads, Linear(execution, normed, layer.head_gate),
                                               input.options.head_balance_scale)
                                    : Tensor();
  const size_t num_routings = input.options.routing.size() / model.layers.size();  // per layer
  const auto routing = input.options.routing.subspan(index * num_routings, num_routings);
  Tensor attended;
  if (input.options.kv.empty()) {
    attended = SelfAttention(execution, {.shape = shape,
                                         .rotary = rotary,
                                         .qkv = qkv,
                                         .batch = input.batch,
                                         .mask = input.options.mask,
                                         .prefix_lengths = input.options.prefix_lengths,
                                         .routing = routing,
                                         .head_weights = head_weights});
  } else {
    const size_t num_sequences = input.batch.num_sequences();
    const BlockAttentionCall call = {.shape = shape,
                                     .rotary = rotary,
                                     .qkv = qkv,
                                     .batch = input.batch,
                                     .kv = input.options.kv.subspan(index * num_sequences, num_sequences),
                                     .mask = input.options.mask,
                                     .routing = routing,
                                     .head_weights = head_weights};
    AppendKv(execution, call);
    attended = AttendBlocks(execution, call);
  }
  return heads ? WeighHeads(execution, attended, head_weights) : attended;
}

// Returns y + feed_forward(norm(y)) with y = x + attention(norm(x)).
Tensor LayerForward(Execution& execution, const LayerInput& input, size_t index, const Tensor& x) {
  const DecoderLayer& layer = input.model->layers[index];
  Tensor attended = AttentionForward(execution, input, index, x);
  const Tensor middle = Linear(execution, attended, layer.o_proj, BiasOrNull(layer.o_bias), &x);
  AddAdapters(execution, input, index, &AdapterSet::Layer::o_proj, attended, middle);
  attended.Reset();
  const Tensor activated = [&] {
    const Tensor normed =
        RmsNorm(execution, middle, layer.post_attention_layernorm, input.model->config().rms_norm_eps);
    const Tensor gate_up = Linear(execution, normed, layer.gate_up_proj);
    AddAdapters(execution, input, index, &AdapterSet::Layer::gate_up_proj, normed, gate_up);
    return SwiGlu(execution, gate_up);
  }();
  Tensor out = Linear(execution, activated, layer.down_proj, nullptr, &middle);
  AddAdapters(execution, input, index, &AdapterSet::Layer::down_proj, activated, out);
  return out;
}

}  // namespace

Tensor DecoderForward(Execution& execution, const Model& model, const TokenBatch& batch,
                      const DecoderOptions& options) {
  QWEN25_CHECK(options.kv.empty() || options.kv.size() == model.layers.size() * batch.num_sequences());
  QWEN25_CHECK(options.routing.empty() || options.routing.size() == model.layers.size() ||
               options.routing.size() == model.layers.size() * batch.num_sequences());
  const LayerInput input = {&model, batch, options};
  Tensor x = Embedding(execution, model.embed_tokens, batch.tokens);
  for (const auto& [adapters, rows] : options.adapters) {
    adapters->embed_tokens().AddTo(execution, batch.tokens, rows, x);
  }
  if (options.observe != nullptr) (*options.observe)(0, x);
  for (size_t index = 0; index < model.layers.size(); ++index) {
    if (options.recompute_layers) {
      x = Recompute(execution, x, [input, index](Execution& inner, const Tensor& layer_input) {
        return LayerForward(inner, input, index, layer_input);
      });
    } else {
      x = LayerForward(execution, input, index, x);
    }
    if (options.observe != nullptr) (*options.observe)(index + 1, x);
  }
  return RmsNorm(execution, x, model.norm, model.config().rms_norm_eps);
}

LossSum DecoderLoss(Execution& execution, const Model& model, const TokenBatch& batch,
                    std::span<const int32_t> targets, float grad_scale, const DecoderOptions& options,
                    std::span<float> row_losses) {
  DecoderOptions with_balance = options;
  if (model.config().head_routing) {
    with_balance.head_balance_scale = grad_scale * model.config().head_routing->balance_loss;
  }
  const Tensor hidden = DecoderForward(execution, model, batch, with_balance);
  return CrossEntropy(execution, hidden, model.lm_head, targets, grad_scale, row_losses, options.packed_head);
}

Tensor Logits(Execution& execution, const Model& model, const Tensor& hidden, std::span<const int32_t> rows,
              std::span<const AdapterRows> adapters) {
  const size_t width = hidden.cols();
  const Tensor picked = execution.tensors.New(rows.size(), width);
  for (size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(hidden.data() + static_cast<size_t>(rows[i]) * width, width, picked.data() + i * width);
  }
  Tensor logits = Linear(execution, picked, model.lm_head);
  for (const auto& [set, rows_of_set] : adapters) {
    set->lm_head().AddTo(execution, picked, rows_of_set, logits);
  }
  return logits;
}

}  // namespace qwen25
