// The one forward pass: training, scoring and serving all run it (docs/design.md, "One forward pass").
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "model/model.h"
#include "ops/attention/block_attention.h"
#include "ops/ops.h"
#include "ops/token_batch.h"

namespace qwen25 {

struct DecoderOptions {
  AttentionMask mask = AttentionMask::kCausal;
  std::span<const int32_t> prefix_lengths;  // [S], for AttentionMask::kPrefix
  // Training: keep only each layer's input and run the layer again during backward. Memory for activations
  // falls from about (6 hidden + 2 qkv + 3 intermediate) to `hidden` numbers per token and layer; a step
  // costs a third more.
  bool recompute_layers = false;
  // Inference: the blocks of every layer and sequence, entry layer * S + s; AttentionMask::kCausal only.
  // Empty: the batch holds whole sequences, which attend to themselves.
  std::span<const SequenceKv> kv;
  KvFormat kv_format = KvFormat::kFloat32;
  // Which blocks each layer reads: an entry per layer, for all sequences, or entry layer * S + s. Empty: all
  // of them.
  std::span<const LayerRouting> routing;
  // Training with head routing: factor on each layer's balance loss, per token (ops/routing/head_gate.h).
  // DecoderLoss sets it from the model's configuration.
  float head_balance_scale = 0;
  const RotaryTable* rotary = nullptr;  // instead of the model's own: one that clamps
  // DecoderLoss: the output projection of the model, packed by the caller for several calls.
  const PackedHead* packed_head = nullptr;
  // Called with the hidden states [T, hidden] that the layers read: those of the embedding (0 layers done),
  // then those that each layer gives. Null: not called.
  const std::function<void(size_t num_layers_done, const Tensor& x)>* observe = nullptr;
};

// The final hidden states [T, hidden], normalised, ready for the output projection. If execution.tape is set,
// the arrays that `batch` and `options` refer to, and the model, must outlive the tape's records.
Tensor DecoderForward(Execution& execution, const Model& model, const TokenBatch& batch,
                      const DecoderOptions& options = {});

// One training or scoring pass: the loss. If execution.tape is set, the tape holds what is needed to add the
// gradients of grad_scale times the loss: the caller walks back over it (Tape::BackwardTo). targets [T], -1
// ignored; row_losses [T] or empty (ops.h: CrossEntropy).
LossSum DecoderLoss(Execution& execution, const Model& model, const TokenBatch& batch,
                    std::span<const int32_t> targets, float grad_scale, const DecoderOptions& options = {},
                    std::span<float> row_losses = {});

// Logits [R, vocab] of the hidden-state rows `rows` (ascending), e.g. the last token of each sequence.
Tensor Logits(Execution& execution, const Model& model, const Tensor& hidden, std::span<const int32_t> rows);

}  // namespace qwen25
