// One contrastive pass: a batch of pairs through the decoder.
#pragma once

#include "model/decoder.h"
#include "train/batch_source.h"

namespace qwen25 {

// The contrastive loss (ops/contrastive_loss.h) of the mean-pooled final hidden states of `batch`, whose
// sequences 2 i and 2 i + 1 are pairs, two at least. Where execution.tape is set, the gradient of grad_scale
// times it is added to the model's gradients.
LossSum PairLoss(Execution& execution, const Model& model, const PackedBatch& batch, float temperature,
                 float grad_scale, const DecoderOptions& options);

}  // namespace qwen25
