#include "train/validation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace qwen25 {

Result<ValidationMetrics> Validation::Run(BatchSource& source, std::span<const uint32_t> token_bytes,
                                          uint64_t step) {
  source.Rewind();
  ValidationMetrics metrics{.step = step};
  const uint64_t limit =
      options_.validation_tokens > 0 ? options_.validation_tokens : std::numeric_limits<uint64_t>::max();
  const size_t batch_tokens =
      std::max<size_t>(1, kValidationBatchTokens / options_.sequence_length) * options_.sequence_length;
  Execution execution{workspace_.threads, workspace_.tensors, workspace_.scratch};
  const PackedHead head = objective_.PackHeadOf(execution);
  const ObjectivePass pass = {.step = step, .packed_head = &head};
  double sum = 0;
  for (uint64_t used = 0; used < limit;) {
    QWEN25_RETURN_IF_ERROR(source.Next(batch_tokens, batch_));
    if (batch_.tokens.empty()) break;
    used += batch_.tokens.size();
    QWEN25_RETURN_IF_ERROR(CheckTokens(batch_, model_, "validation"));
    const LossSum loss = objective_.Loss(execution, batch_, pass);
    sum += loss.sum;
    metrics.validation_tokens += loss.num_tokens;
    for (const int32_t target : batch_.targets) {
      if (target >= 0 && static_cast<size_t>(target) < token_bytes.size())
        metrics.validation_bytes += token_bytes[target];
    }
  }
  if (metrics.validation_tokens == 0) {
    return InvalidArgument(
        "the validation data has no token to predict, expected a document of at least 2 tokens");
  }
  metrics.loss = sum / static_cast<double>(metrics.validation_tokens);
  if (metrics.validation_bytes > 0) {
    metrics.bits_per_byte = sum / std::numbers::ln2 / static_cast<double>(metrics.validation_bytes);
  }
  if (!std::isfinite(metrics.loss)) {
    return InvalidArgument("step {}: the validation loss is {}{}", step, std::abs(metrics.loss),
                           DescribeNotFinite(model_.parameter_set(), nullptr));
  }
  return metrics;
}

}  // namespace qwen25
