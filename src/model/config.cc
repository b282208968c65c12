#include "model/config.h"

#include <algorithm>
#include <cmath>

#include "ops/attention/rotary_table.h"

namespace qwen25 {
namespace {

// These bounds keep every size computed from a configuration far from overflow.
constexpr uint32_t kMaxLayers = 256;
constexpr uint32_t kMaxWidth = 1u << 20;
constexpr uint32_t kMaxVocabulary = 1u << 24;
constexpr uint32_t kMaxPositions = 1u << 24;

Status CheckRange(std::string_view origin, const char* name, uint64_t value, uint64_t low, uint64_t high) {
  if (value >= low && value <= high) return {};
  return InvalidArgument("{}: \"{}\" is {}, expected {} to {}", origin, name, value, low, high);
}

Status ValidateWindows(const ModelConfig& config, std::string_view origin) {
  if (config.sliding_window == 0 && config.sliding_layers.empty()) return {};
  if (config.sliding_window == 0 || config.sliding_layers.size() != config.num_hidden_layers) {
    return InvalidArgument(
        "{}: \"sliding_window\" is {} for {} of {} layers, expected at least 1 and every layer", origin,
        config.sliding_window, config.sliding_layers.size(), config.num_hidden_layers);
  }
  const auto count = std::ranges::count(config.sliding_layers, true);
  const bool all = count == std::ssize(config.sliding_layers);
  if (count > 0 && config.model_type != "llama" && (all || config.model_type != "mistral")) return {};
  return InvalidArgument("{}: {} of {} layers of a {} model slide, which its file cannot state", origin,
                         count, config.num_hidden_layers, config.model_type);
}

// Biases that config.json can state.
Status ValidateBiases(const ModelConfig& config, std::string_view origin) {
  const bool on_qkv = config.attention_bias, on_o = config.attention_output_bias;
  const bool known = config.model_type == "qwen2"                                   ? on_qkv && !on_o
                     : config.model_type == "qwen3" || config.model_type == "llama" ? on_qkv == on_o
                                                                                    : !on_qkv && !on_o;
  if (known) return {};
  return Unsupported("{}: a {} model {} biases on q, k and v and {} on o, which this program does not run",
                     origin, config.model_type, on_qkv ? "with" : "without", on_o ? "one" : "none");
}

}  // namespace

// Long: one rule after another, in the order of the fields.
Status ModelConfig::Validate(std::string_view origin) const {
  QWEN25_RETURN_IF_ERROR(CheckRange(origin, "vocab_size", vocab_size, 1, kMaxVocabulary));
  QWEN25_RETURN_IF_ERROR(CheckRange(origin, "hidden_size", hidden_size, 1, kMaxWidth));
  QWEN25_RETURN_IF_ERROR(CheckRange(origin, "intermediate_size", intermediate_size, 1, kMaxWidth));
  QWEN25_RETURN_IF_ERROR(CheckRange(origin, "num_hidden_layers", num_hidden_layers, 1, kMaxLayers));
  QWEN25_RETURN_IF_ERROR(CheckRange(origin, "num_attention_heads", num_attention_heads, 1, 1024));
  QWEN25_RETURN_IF_ERROR(
      CheckRange(origin, "num_key_value_heads", num_key_value_heads, 1, num_attention_heads));
  QWEN25_RETURN_IF_ERROR(CheckRange(origin, "head_dim", head_dim, 2, 1024));
  QWEN25_RETURN_IF_ERROR(
      CheckRange(origin, "max_position_embeddings", max_position_embeddings, 1, kMaxPositions));
  if (num_attention_heads % num_key_value_heads != 0) {
    return InvalidArgument("{}: \"num_attention_heads\" {} is not a multiple of \"num_key_value_heads\" {}",
                           origin, num_attention_heads, num_key_value_heads);
  }
  if (head_dim % 2 != 0) {
    return InvalidArgument("{}: \"head_dim\" is {}, expected an even number: rotary positions rotate pairs",
                           origin, head_dim);
  }
  if (!(rms_norm_eps > 0) || !std::isfinite(rms_norm_eps)) {
    return InvalidArgument("{}: \"rms_norm_eps\" is {}, expected a small positive number", origin,
                           rms_norm_eps);
  }
  if (!(initializer_range > 0) || !std::isfinite(initializer_range)) {
    return InvalidArgument("{}: \"initializer_range\" is {}, expected a small positive number", origin,
                           initializer_range);
  }
  if (!(rope_theta > 1) || !std::isfinite(rope_theta)) {
    return InvalidArgument("{}: \"rope_theta\" is {}, expected a number above 1", origin, rope_theta);
  }
  if (rope_scaling) {
    QWEN25_RETURN_IF_ERROR(ValidateRopeScaling(*rope_scaling, origin, head_dim, max_position_embeddings));
  }
  QWEN25_RETURN_IF_ERROR(ValidateWindows(*this, origin));
  QWEN25_RETURN_IF_ERROR(ValidateBiases(*this, origin));
  if (head_routing) {
    const Status status = head_routing->Validate(num_key_value_heads);
    if (!status.ok()) return InvalidArgument("{}: {}", origin, status.message());
  }
  for (int32_t id : eos_token_ids) {
    if (id < 0 || static_cast<uint32_t>(id) >= vocab_size) {
      return InvalidArgument("{}: \"eos_token_id\" {} is outside the vocabulary of {}", origin, id,
                             vocab_size);
    }
  }
  return {};
}

size_t ModelConfig::MaxContext() const {
  if (!rope_scaling || rope_scaling->type != "yarn") return max_position_embeddings;
  const uint32_t trained = rope_scaling->original_max_position_embeddings != 0
                               ? rope_scaling->original_max_position_embeddings
                               : max_position_embeddings;
  return std::max<size_t>(max_position_embeddings, static_cast<size_t>(trained * rope_scaling->factor));
}

uint64_t ModelConfig::NumNonEmbeddingParameters() const {
  const uint64_t hidden = hidden_size;
  const uint64_t gate = head_routing ? HeadGateRows(num_key_value_heads) * hidden : 0;
  const uint64_t biases = (attention_bias ? QkvDim() : 0) + (attention_output_bias ? hidden : 0);
  const uint64_t head_norms = has_head_norms() ? uint64_t{2} * head_dim : 0;
  const uint64_t attention = QkvDim() * hidden + biases + head_norms + hidden * QueryDim() + gate;
  return num_hidden_layers * (attention + 3 * hidden * intermediate_size + 2 * hidden) + hidden;
}

uint64_t ModelConfig::NumParameters() const {
  return NumNonEmbeddingParameters() + uint64_t{vocab_size} * hidden_size * (tie_word_embeddings ? 1 : 2);
}

double ModelConfig::ForwardFlopsPerToken(double context) const {
  const double hidden = hidden_size;
  const double weights = hidden * static_cast<double>(QkvDim()) + static_cast<double>(QueryDim()) * hidden +
                         3 * hidden * intermediate_size +
                         (head_routing ? hidden * static_cast<double>(HeadGateRows(num_key_value_heads)) : 0);
  const double running = head_routing ? head_routing->RunningShare(num_key_value_heads) : 1;
  double seen = 0;  // tokens, summed over the layers
  for (uint32_t i = 0; i < num_hidden_layers; ++i) {
    seen += WindowOf(i) == 0 ? context : std::min<double>(context, static_cast<double>(WindowOf(i)));
  }
  const double attention = 4 * running * static_cast<double>(QueryDim()) * seen;
  return num_hidden_layers * 2 * weights + attention + 2 * hidden * vocab_size;
}

uint64_t ModelConfig::KvBytesPerToken(KvFormat format) const {
  return uint64_t{num_hidden_layers} * num_key_value_heads * (KvHeadBytes(format, head_dim) / kBlockTokens);
}

RotaryFrequencies ComputeRotaryFrequencies(const ModelConfig& config) {
  RotaryFrequencies result{InverseFrequencies(config.head_dim, config.rope_theta), 1.0};
  if (config.rope_scaling) {
    result.score_factor = ScaleFrequencies(*config.rope_scaling, config.rope_theta,
                                           config.max_position_embeddings, result.inverse_frequencies);
  }
  return result;
}

}  // namespace qwen25
