// The forward pass of training, scoring and inference (docs/design.md, "One forward pass").
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "model/adapter/adapter_set.h"
#include "model/model.h"
#include "ops/attention/block_attention.h"
#include "ops/ops.h"
#include "ops/token_batch.h"

namespace qwen25 {

struct DecoderOptions {
  AttentionMask mask = AttentionMask::kCausal;
  std::span<const int32_t> prefix_lengths;  // [S], for AttentionMask::kPrefix
  // Training: keep only each layer's input and run the layer again during backward. Activations shrink from
  // about (6 hidden + 2 qkv + 3 intermediate) to `hidden` numbers per token and layer; a step takes a third
  // more time.
  bool recompute_layers = false;
  // Inference: the KV blocks of layer l and sequence s at [l * S + s], for AttentionMask::kCausal only.
  // Empty: the batch holds whole sequences, which attend to themselves.
  std::span<const SequenceKv> kv;
  KvFormat kv_format = KvFormat::kFloat32;
  // Routing by layer [layers], or by layer and sequence at [l * S + s]. Empty: dense.
  std::span<const LayerRouting> routing;
  // Training with head routing: the factor on each layer's balance loss, per token (ops/routing/head_gate.h).
  // Set by DecoderLoss.
  float head_balance_scale = 0;
  // Inference: the rows that use adapters, each row at most once. Empty: none does.
  std::span<const AdapterRows> adapters;
  const RotaryTable* rotary = nullptr;  // a table that clamps, instead of the model's own
  // DecoderLoss: the model's output projection, packed by the caller for several calls, or null.
  const PackedHead* packed_head = nullptr;
  // Called with the hidden states [T, hidden] of the embedding (0 layers done), then of each layer's output.
  // May be null.
  const std::function<void(size_t num_layers_done, const Tensor& x)>* observe = nullptr;
};

// Returns the normalised final hidden states [T, hidden]. If execution.tape is set, the model and the arrays
// that `batch` and `options` refer to must outlive the tape's records.
Tensor DecoderForward(Execution& execution, const Model& model, const TokenBatch& batch,
                      const DecoderOptions& options = {});

// Returns the sum of the losses over `targets` [T]; -1 is ignored. If execution.tape is set, the caller's
// Tape::BackwardTo adds the gradients of grad_scale times the loss. `row_losses` receives the loss of each
// row [T], or is empty (CrossEntropy in ops.h).
LossSum DecoderLoss(Execution& execution, const Model& model, const TokenBatch& batch,
                    std::span<const int32_t> targets, float grad_scale, const DecoderOptions& options = {},
                    std::span<float> row_losses = {});

// Returns the logits [R, vocab] of the rows `rows` [R] of `hidden`, such as the last token of each sequence.
// `adapters` counts rows of the result.
Tensor Logits(Execution& execution, const Model& model, const Tensor& hidden, std::span<const int32_t> rows,
              std::span<const AdapterRows> adapters = {});

}  // namespace qwen25
