#include "train/step.h"

#include <algorithm>

namespace qwen25 {
Status CheckTokens(const PackedBatch& batch, const Model& model, const char* what) {
  const auto vocabulary = static_cast<int32_t>(model.config().vocab_size);
  for (const int32_t token : batch.tokens) {
    if (token < 0 || token >= vocabulary) {
      return InvalidArgument(
          "the {} data holds token {}, but the model's vocab_size is {}: the shards were written with "
          "another tokenizer, or model.vocab_size is too small",
          what, token, vocabulary);
    }
  }
  return {};
}

std::string DescribeNotFinite(const ParameterSet& parameters, const Gradients* gradients) {
  if (const auto found = FindNotFinite(parameters, parameters.weights())) {
    return fmt::format("; {} holds {} at element {}", found->name, found->value, found->element);
  }
  if (gradients == nullptr) return {};
  const auto found = FindNotFinite(parameters, gradients->values());
  if (!found) return {};
  return fmt::format("; the gradient of {} holds {} at element {}", found->name, found->value,
                     found->element);
}

TrainingStep::TrainingStep(const TrainOptions& options, const Model& model,
                           const TrainingObjective& objective, const Gradients& gradients,
                           TrainingWorkspace& workspace)
    : options_(options),
      model_(model),
      objective_(objective),
      gradients_(gradients),
      workspace_(workspace),
      batches_((options.tokens_per_step + options.micro_batch_tokens - 1) / options.micro_batch_tokens) {}

Status TrainingStep::Load(BatchSource& source) {
  uint64_t left = options_.tokens_per_step;
  for (PackedBatch& batch : batches_) {
    const uint64_t wanted = std::min(left, options_.micro_batch_tokens);
    QWEN25_RETURN_IF_ERROR(source.Next(wanted, batch));
    if (!objective_.IsComplete(batch, wanted)) {
      return InvalidArgument("the training data ended after {} of {} tokens of a micro-batch",
                             batch.tokens.size(), wanted);
    }
    QWEN25_RETURN_IF_ERROR(CheckTokens(batch, model_, "training"));
    left -= wanted;
  }
  return {};
}

Result<double> TrainingStep::Backward(uint64_t step) {
  size_t num_terms = 0;
  for (const PackedBatch& batch : batches_) num_terms += objective_.CountTerms(batch);
  if (num_terms == 0) {
    return InvalidArgument(
        "step {}: none of the {} tokens has a next token to predict in its document; expected training "
        "documents of at least 2 tokens",
        step + 1, options_.tokens_per_step);
  }
  gradients_.Zero(workspace_.threads);
  Execution execution{workspace_.threads, workspace_.tensors, workspace_.scratch, &workspace_.tape,
                      gradients_.ranges()};
  // Every micro-batch adds the gradient of its sum of losses, divided by the terms of the whole step.
  ObjectivePass pass = {.step = step, .grad_scale = static_cast<float>(1.0 / static_cast<double>(num_terms))};
  // A packed head takes memory during the backward passes; it only saves time with several micro-batches.
  const PackedHead head = batches_.size() > 1 ? objective_.PackHeadOf(execution) : PackedHead();
  if (batches_.size() > 1) pass.packed_head = &head;
  double sum = 0;
  for (const PackedBatch& batch : batches_) {
    sum += objective_.Loss(execution, batch, pass).sum;
    workspace_.tape.BackwardTo(0, execution);
  }
  return sum / static_cast<double>(num_terms);
}

uint64_t TrainingStep::num_tokens() const {
  uint64_t num_tokens = 0;
  for (const PackedBatch& batch : batches_) num_tokens += batch.tokens.size();
  return num_tokens;
}

double TrainingStep::flops() const {
  double flops = 0;
  for (const PackedBatch& batch : batches_) {
    double context = 0;
    for (const int32_t position : batch.positions) context += position + 1;
    const auto tokens = static_cast<double>(batch.tokens.size());
    flops += 3 * tokens * model_.config().ForwardFlopsPerToken(context / tokens);
  }
  return flops;
}

}  // namespace qwen25
