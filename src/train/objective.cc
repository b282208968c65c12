#include "train/objective.h"

#include <algorithm>
#include <vector>

#include "ops/contrastive_loss.h"
#include "ops/mean_pool.h"

namespace qwen25 {
namespace {

// Empty if every layer is dense.
std::vector<LayerRouting> TrainedRouting(const Model& model) {
  const RoutingPolicy& routing = model.config().routing;
  if (routing.kind == RoutingPolicy::Kind::kDense) return {};
  return RouteLayers(routing, model.layers.size(), nullptr);
}

// Predicts the next token.
class NextToken : public TrainingObjective {
 public:
  NextToken(const TrainOptions& options, const Model& model)
      : model_(model),
        recompute_(options.recompute),
        routing_from_step_(options.routing_from_step),
        routing_(TrainedRouting(model)) {}

  bool IsComplete(const PackedBatch& batch, size_t num_tokens) const override {
    return batch.tokens.size() == num_tokens;
  }
  size_t CountTerms(const PackedBatch& batch) const override {
    return static_cast<size_t>(std::ranges::count_if(batch.targets, [](int32_t t) { return t >= 0; }));
  }
  PackedHead PackHeadOf(Execution& execution) const override { return PackHead(execution, model_.lm_head); }
  LossSum Loss(Execution& execution, const PackedBatch& batch, const ObjectivePass& pass) const override {
    DecoderOptions decoder;
    decoder.recompute_layers = execution.tape != nullptr && recompute_;
    decoder.packed_head = pass.packed_head;
    if (pass.step >= routing_from_step_) decoder.routing = routing_;
    return DecoderLoss(execution, model_, batch.view(), batch.targets, pass.grad_scale, decoder);
  }

 private:
  const Model& model_;
  const bool recompute_;
  const uint64_t routing_from_step_;
  const std::vector<LayerRouting> routing_;  // [layers]; empty if the model is dense
};

// The contrastive loss (ops/contrastive_loss.h) of mean-pooled final hidden states, which makes the vectors
// of a pair's two texts similar. Sequences 2 i and 2 i + 1 of a batch are a pair; a batch has at least two
// pairs.
class Contrastive : public TrainingObjective {
 public:
  Contrastive(const TrainOptions& options, const Model& model)
      : model_(model),
        recompute_(options.recompute),
        causal_(options.causal),
        temperature_(options.temperature) {}

  bool IsComplete(const PackedBatch& batch, size_t) const override {
    return batch.sequence_starts.size() > 4;
  }
  size_t CountTerms(const PackedBatch& batch) const override { return batch.view().num_sequences() / 2; }
  PackedHead PackHeadOf(Execution&) const override { return {}; }
  LossSum Loss(Execution& execution, const PackedBatch& batch, const ObjectivePass& pass) const override {
    DecoderOptions decoder;
    decoder.recompute_layers = execution.tape != nullptr && recompute_;
    if (!causal_) decoder.mask = AttentionMask::kBidirectional;
    const TokenBatch view = batch.view();
    const Tensor hidden = DecoderForward(execution, model_, view, decoder);
    const Tensor pooled = MeanPool(execution, hidden, view.sequence_starts);
    return ContrastiveLoss(execution, pooled, temperature_, pass.grad_scale);
  }

 private:
  const Model& model_;
  const bool recompute_, causal_;
  const float temperature_;
};

}  // namespace

std::unique_ptr<TrainingObjective> MakeObjective(const TrainOptions& options, const Model& model) {
  if (options.objective == Objective::kContrastive) return std::make_unique<Contrastive>(options, model);
  return std::make_unique<NextToken>(options, model);
}

}  // namespace qwen25
