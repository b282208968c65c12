#include "model/not_finite.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>

#include "base/all_finite.h"

namespace qwen25 {
namespace {

// Whether the numbers and the sum of their squares, which RMSNorm needs, are finite in float32.
bool FitsFloat32(std::span<const float> row) {
  double squares = 0;
  for (const float value : row) squares += double{value} * value;
  return squares <= std::numeric_limits<float>::max();
}

std::string Place(const Model& model, const std::optional<size_t>& num_layers_done) {
  if (!num_layers_done) {
    return fmt::format("the logits ({} weights)", WeightFormatName(model.lm_head.packed.format));
  }
  if (*num_layers_done == 0) return "model.embed_tokens";
  const size_t layer = *num_layers_done - 1;
  return fmt::format("model.layers.{} of {} layers ({} weights)", layer, model.layers.size(),
                     WeightFormatName(model.layers[layer].down_proj.packed.format));
}

}  // namespace

bool MayHaveOverflowed(std::span<const float> hidden) {
  if (!AllFinite(hidden)) return true;
  return std::ranges::all_of(hidden, [](float value) { return value == 0; });
}

Status ExplainOverflow(Execution& execution, const Model& model, const TokenBatch& batch,
                       DecoderOptions options, bool logits_are_finite) {
  std::optional<size_t> first;
  const std::function<void(size_t, const Tensor&)> observe = [&](size_t num_layers_done, const Tensor& x) {
    for (size_t row = 0; !first && row < x.rows(); ++row) {
      if (!FitsFloat32({x.view().Row(row), x.cols()})) first = num_layers_done;
    }
  };
  options.observe = &observe;
  DecoderForward(execution, model, batch, options);
  if (!first && logits_are_finite) return {};
  return Corrupt(
      "the model's numbers are not finite, first in {}{}{}: a weight is damaged, or too large for these "
      "formats; get the model's files again, or keep weights, keys and values in float32",
      Place(model, first),
      options.adapters.empty()
          ? ""
          : ", with adapters, which may be the cause (leave them out, or scale them down)",
      options.kv.empty() ? std::string()
                         : fmt::format(", with keys and values in {}", KvFormatName(options.kv_format)));
}

Status CheckHidden(Execution& execution, const Model& model, const TokenBatch& batch,
                   const DecoderOptions& options, const Tensor& hidden) {
  for (size_t row = 0; row < hidden.rows(); ++row) {
    if (!MayHaveOverflowed({hidden.view().Row(row), hidden.cols()})) continue;
    return ExplainOverflow(execution, model, batch, options, /*logits_are_finite=*/true);
  }
  return {};
}

}  // namespace qwen25
