#include "train/contrastive.h"

#include "ops/contrastive_loss.h"
#include "ops/mean_pool.h"

namespace qwen25 {

LossSum PairLoss(Execution& execution, const Model& model, const PackedBatch& batch, float temperature,
                 float grad_scale, const DecoderOptions& options) {
  const TokenBatch view = batch.view();
  LossSum loss;
  {
    const Tensor hidden = DecoderForward(execution, model, view, options);
    const Tensor pooled = MeanPool(execution, hidden, view.sequence_starts);
    loss = ContrastiveLoss(execution, pooled, temperature, grad_scale);
  }
  if (execution.tape != nullptr) execution.tape->BackwardTo(0, execution);
  return loss;
}

}  // namespace qwen25
