#include "model/config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

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

// YaRN's attention factor if a file states none. Source: arXiv:2309.00071; `weight` is transformers'
// "mscale".
double YarnAttentionFactor(double factor, double weight = 1) {
  return factor <= 1 ? 1 : 0.1 * weight * std::log(factor) + 1;
}

// Reads the fields of YaRN; other kinds ignore them.
Status ReadYarn(const Json& json, std::string_view origin, RopeScaling& scaling) {
  double weight = 0, weight_of_all = 0;
  bool truncate = true;
  QWEN25_RETURN_IF_ERROR(
      ReadField(json, "original_max_position_embeddings", origin, scaling.original_max_position_embeddings));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "attention_factor", origin, scaling.attention_factor));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "beta_fast", origin, scaling.beta_fast));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "beta_slow", origin, scaling.beta_slow));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "mscale", origin, weight));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "mscale_all_dim", origin, weight_of_all));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "truncate", origin, truncate));
  if (!truncate) {
    return Unsupported(
        "{}: rope scaling has \"truncate\" false, which this program does not run; expected true", origin);
  }
  // transformers ignores either of the two alone.
  if (scaling.attention_factor == 0 && weight != 0 && weight_of_all != 0) {
    scaling.attention_factor =
        YarnAttentionFactor(scaling.factor, weight) / YarnAttentionFactor(scaling.factor, weight_of_all);
  }
  return {};
}

// transformers 4 writes "rope_scaling" and "rope_theta". transformers 5 writes both into "rope_parameters",
// with an object for each kind of layer if a model has several.
Status ReadRope(const Json& json, std::string_view origin, ModelConfig& config) {
  QWEN25_RETURN_IF_ERROR(ReadField(json, "rope_theta", origin, config.rope_theta));
  double rotated_share = 1;
  QWEN25_RETURN_IF_ERROR(ReadField(json, "partial_rotary_factor", origin, rotated_share));
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const auto found = json.find(key);
    if (found == json.end() || found->is_null()) continue;
    if (!found->is_object()) return InvalidArgument("{}: \"{}\" is not an object", origin, key);
    const auto full = found->find("full_attention");
    const Json& parameters = full != found->end() && full->is_object() ? *full : *found;
    RopeScaling scaling;
    QWEN25_RETURN_IF_ERROR(ReadField(parameters, "rope_theta", origin, config.rope_theta));
    QWEN25_RETURN_IF_ERROR(ReadField(parameters, "partial_rotary_factor", origin, rotated_share));
    QWEN25_RETURN_IF_ERROR(ReadField(parameters, "type", origin, scaling.type));
    QWEN25_RETURN_IF_ERROR(ReadField(parameters, "rope_type", origin, scaling.type));
    // Dynamic scaling changes nothing within the trained length, which is the longest context here; and the
    // three positions that "mrope" gives a token are one in a text.
    if (scaling.type == "default" || scaling.type == "dynamic" || scaling.type == "mrope") continue;
    QWEN25_RETURN_IF_ERROR(ReadField(parameters, "factor", origin, scaling.factor));
    if (scaling.type.empty() && scaling.factor == 1) continue;
    if (scaling.type.empty()) {
      return InvalidArgument(
          "{}: \"{}\" has the factor {} and no \"rope_type\", expected \"linear\" or \"yarn\"", origin, key,
          scaling.factor);
    }
    if (scaling.type == "yarn") QWEN25_RETURN_IF_ERROR(ReadYarn(parameters, origin, scaling));
    if (scaling.original_max_position_embeddings == 0) {
      scaling.original_max_position_embeddings = config.max_position_embeddings;
    }
    config.rope_scaling = scaling;
  }
  if (rotated_share != 1) {
    return Unsupported(
        "{}: \"partial_rotary_factor\" is {}, expected 1: this program rotates all dimensions of a head",
        origin, rotated_share);
  }
  return {};
}

// An error if transformers would restrict a layer to a window. Only Qwen2 has this option.
Status CheckSlidingWindow(const Json& json, std::string_view origin, const ModelConfig& config) {
  if (config.model_type != "qwen2") return {};
  bool used = false;
  uint32_t window = 4096, first = 28;  // defaults of transformers' Qwen2Config
  if (const auto stated = json.find("sliding_window"); stated != json.end() && stated->is_null()) window = 0;
  QWEN25_RETURN_IF_ERROR(ReadField(json, "use_sliding_window", origin, used));
  if (used) {
    QWEN25_RETURN_IF_ERROR(ReadField(json, "sliding_window", origin, window));
    QWEN25_RETURN_IF_ERROR(ReadField(json, "max_window_layers", origin, first));
  }
  bool slides = used && window != 0 && first < config.num_hidden_layers;
  if (const auto kinds = json.find("layer_types"); kinds != json.end() && kinds->is_array()) {
    slides = false;
    for (const Json& kind : *kinds) {
      if (kind == "full_attention") continue;
      if (kind != "sliding_attention") {
        return Unsupported("{}: \"layer_types\" has {}, which this program does not run", origin,
                           kind.dump());
      }
      slides = true;
    }
  }
  // A window as long as the longest context hides nothing.
  if (!slides || (used && window >= config.MaxContext())) return {};
  return Unsupported(
      "{}: some layers would see a window of {} tokens (\"use_sliding_window\", \"layer_types\"), which this "
      "program does not run",
      origin, window);
}

// Ids outside the vocabulary, such as -1, are skipped: no text contains them, so they cannot end one.
Status ReadTokenIds(const Json& json, std::string_view origin, ModelConfig& config) {
  const auto read = [&](const char* key, std::vector<int32_t>& ids) -> Status {
    const auto found = json.find(key);
    if (found == json.end() || found->is_null()) return {};
    for (const Json& value : found->is_array() ? *found : Json::array({*found})) {
      if (value.is_null()) continue;  // names none
      if (!value.is_number_integer()) {
        return InvalidArgument("{}: \"{}\" holds {}, expected a token id", origin, key, value.dump());
      }
      const bool known = value.is_number_unsigned()
                             ? value.get<uint64_t>() < config.vocab_size
                             : value.get<int64_t>() >= 0 && value.get<int64_t>() < int64_t{config.vocab_size};
      if (known) ids.push_back(value.get<int32_t>());
    }
    return {};
  };
  std::vector<int32_t> bos;
  QWEN25_RETURN_IF_ERROR(read("bos_token_id", bos));
  if (!bos.empty()) config.bos_token_id = bos[0];
  return read("eos_token_id", config.eos_token_ids);
}

// The double with the digits of `value`: 1e-06, not 9.99999997e-07.
double Rounded(float value) {
  return std::stod(fmt::format("{}", value));
}

// Ends the model_type of a model with head routing.
constexpr std::string_view kHeadRoutingSuffix = "_head_routing";

// Removes the suffix; returns whether it was there.
bool WithoutSuffix(std::string& model_type) {
  if (!model_type.ends_with(kHeadRoutingSuffix)) return false;
  model_type.resize(model_type.size() - kHeadRoutingSuffix.size());
  return true;
}

Status ReadHeadRouting(const Json& json, std::string_view origin, HeadRouting& routing) {
  if (!json.is_object()) return InvalidArgument("{}: \"head_routing\" is not an object", origin);
  QWEN25_RETURN_IF_ERROR(ReadField(json, "shared_groups", origin, routing.shared_groups));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "top_k", origin, routing.top_k));
  return ReadField(json, "balance_loss", origin, routing.balance_loss);
}

// Reads the settings of this program alone.
Status ReadOwn(const Json& json, std::string_view origin, ModelConfig& config) {
  const auto own = json.find("qwen25");
  if (own == json.end()) return {};
  if (!own->is_object()) return InvalidArgument("{}: \"qwen25\" is not an object", origin);
  if (const auto heads = own->find("head_routing"); heads != own->end()) {
    QWEN25_RETURN_IF_ERROR(ReadHeadRouting(*heads, origin, config.head_routing.emplace()));
  }
  std::string routing;
  QWEN25_RETURN_IF_ERROR(ReadField(*own, "routing", origin, routing));
  if (routing.empty()) return {};
  const Result<RoutingPolicy> policy = RoutingPolicy::Parse(routing);
  if (!policy.ok()) return InvalidArgument("{}: \"qwen25\": {}", origin, policy.status().message());
  config.routing = *policy;
  return {};
}

// Reads "model_type". If it is missing, "architectures" says which one it is.
Result<std::string> ModelTypeOf(const Json& json, std::string_view origin) {
  std::string model_type;
  QWEN25_RETURN_IF_ERROR(ReadField(json, "model_type", origin, model_type));
  const auto architectures = json.find("architectures");
  if (!model_type.empty() || architectures == json.end() || !architectures->is_array()) return model_type;
  for (const Json& name : *architectures) {
    if (name == "Qwen2ForCausalLM") return std::string("qwen2");
    if (name == "LlamaForCausalLM") return std::string("llama");
  }
  return model_type;
}

// Refuses by name what this decoder does not do: ignoring it would run a different model.
Status CheckSupported(const Json& json, std::string_view origin) {
  std::string activation = "silu";
  bool mlp_bias = false;
  QWEN25_TRY(std::string model_type, ModelTypeOf(json, origin));
  WithoutSuffix(model_type);
  QWEN25_RETURN_IF_ERROR(ReadField(json, "hidden_act", origin, activation));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "mlp_bias", origin, mlp_bias));
  if (model_type != "qwen2" && model_type != "llama") {
    return Unsupported(
        "{}: architecture \"{}\" is unknown; this program runs \"qwen2\" (Qwen2 and Qwen2.5) and "
        "\"llama\" models",
        origin, model_type);
  }
  if (activation != "silu" && activation != "swish")
    return Unsupported("{}: activation \"{}\" is unknown, expected \"silu\"", origin, activation);
  if (mlp_bias) return Unsupported("{}: \"mlp_bias\" is true, which this program does not run", origin);
  return {};
}

Json RopeScalingToJson(const RopeScaling& scaling, uint32_t max_position_embeddings) {
  Json json;
  json["type"] = scaling.type;
  json["rope_type"] = scaling.type;
  json["factor"] = scaling.factor;
  if (scaling.type == "yarn") {
    json["original_max_position_embeddings"] = scaling.original_max_position_embeddings != 0
                                                   ? scaling.original_max_position_embeddings
                                                   : max_position_embeddings;
    if (scaling.attention_factor != 0) json["attention_factor"] = scaling.attention_factor;
    json["beta_fast"] = scaling.beta_fast;
    json["beta_slow"] = scaling.beta_slow;
  }
  return json;
}

}  // namespace

Result<ModelConfig> ModelConfig::FromJson(const Json& json, std::string_view origin) {
  if (!json.is_object()) return InvalidArgument("{}: expected a JSON object", origin);
  QWEN25_RETURN_IF_ERROR(CheckSupported(json, origin));
  ModelConfig config;
  // Defaults of the official classes, for keys that a writer may leave out.
  config.tie_word_embeddings = false;
  config.rope_theta = 10000;
  QWEN25_TRY(config.model_type, ModelTypeOf(json, origin));
  const bool has_gates = WithoutSuffix(config.model_type);
  config.attention_bias = config.model_type == "qwen2";
  if (config.model_type == "llama") config.max_position_embeddings = kLlamaPositions;
  for (const char* required :
       {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"}) {
    if (!json.contains(required)) return InvalidArgument("{}: \"{}\" is missing", origin, required);
  }
  QWEN25_RETURN_IF_ERROR(ReadField(json, "vocab_size", origin, config.vocab_size));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "hidden_size", origin, config.hidden_size));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "intermediate_size", origin, config.intermediate_size));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "num_hidden_layers", origin, config.num_hidden_layers));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "num_attention_heads", origin, config.num_attention_heads));
  config.num_key_value_heads = config.num_attention_heads;
  QWEN25_RETURN_IF_ERROR(ReadField(json, "num_key_value_heads", origin, config.num_key_value_heads));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "head_dim", origin, config.head_dim));
  if (config.head_dim == 0 && config.num_attention_heads != 0) {
    if (config.hidden_size % config.num_attention_heads != 0) {
      return InvalidArgument(
          "{}: \"hidden_size\" {} is not a multiple of \"num_attention_heads\" {}, and there is no "
          "\"head_dim\"",
          origin, config.hidden_size, config.num_attention_heads);
    }
    config.head_dim = config.hidden_size / config.num_attention_heads;
  }
  QWEN25_RETURN_IF_ERROR(ReadField(json, "max_position_embeddings", origin, config.max_position_embeddings));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "rms_norm_eps", origin, config.rms_norm_eps));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "tie_word_embeddings", origin, config.tie_word_embeddings));
  double initializer_range = 0;  // matters for new weights only, so that any value is accepted
  QWEN25_RETURN_IF_ERROR(ReadField(json, "initializer_range", origin, initializer_range));
  if (initializer_range > 0 && std::isfinite(initializer_range)) config.initializer_range = initializer_range;
  if (config.model_type == "llama") {
    QWEN25_RETURN_IF_ERROR(ReadField(json, "attention_bias", origin, config.attention_bias));
    if (config.attention_bias) {
      return Unsupported(
          "{}: a llama model with \"attention_bias\" has a bias on o_proj, which this program does not run",
          origin);
    }
  }
  QWEN25_RETURN_IF_ERROR(ReadRope(json, origin, config));
  QWEN25_RETURN_IF_ERROR(CheckSlidingWindow(json, origin, config));
  QWEN25_RETURN_IF_ERROR(ReadTokenIds(json, origin, config));
  QWEN25_RETURN_IF_ERROR(ReadOwn(json, origin, config));
  if (has_gates != config.head_routing.has_value()) {
    return InvalidArgument(
        "{}: either \"model_type\" ends in \"{}\" or \"qwen25\" holds \"head_routing\", expected both or "
        "neither",
        origin, kHeadRoutingSuffix);
  }
  QWEN25_RETURN_IF_ERROR(config.Validate(origin));
  return config;
}

Result<ModelConfig> ModelConfig::Load(const std::filesystem::path& config_json) {
  QWEN25_TRY(const Json json, ReadJsonFile(config_json.string()));
  return FromJson(json, config_json.string());
}

Json ModelConfig::ToJson() const {
  Json json;
  json["architectures"] = {model_type == "llama" ? "LlamaForCausalLM" : "Qwen2ForCausalLM"};
  json["model_type"] = head_routing ? model_type + std::string(kHeadRoutingSuffix) : model_type;
  json["vocab_size"] = vocab_size;
  json["hidden_size"] = hidden_size;
  json["intermediate_size"] = intermediate_size;
  json["num_hidden_layers"] = num_hidden_layers;
  json["num_attention_heads"] = num_attention_heads;
  json["num_key_value_heads"] = num_key_value_heads;
  json["head_dim"] = head_dim;
  json["max_position_embeddings"] = max_position_embeddings;
  json["hidden_act"] = "silu";
  json["rms_norm_eps"] = Rounded(rms_norm_eps);
  json["rope_theta"] = rope_theta;
  if (rope_scaling) json["rope_scaling"] = RopeScalingToJson(*rope_scaling, max_position_embeddings);
  json["tie_word_embeddings"] = tie_word_embeddings;
  if (model_type == "llama") {
    json["attention_bias"] = attention_bias;
    json["mlp_bias"] = false;
  } else {
    json["use_sliding_window"] = false;
  }
  json["attention_dropout"] = 0.0;
  if (bos_token_id) json["bos_token_id"] = *bos_token_id;
  if (eos_token_ids.size() == 1) json["eos_token_id"] = eos_token_ids[0];
  if (eos_token_ids.size() > 1) json["eos_token_id"] = eos_token_ids;
  json["initializer_range"] = initializer_range;
  json["use_cache"] = true;
  if (routing != RoutingPolicy()) json["qwen25"]["routing"] = routing.ToString();
  if (head_routing) {
    json["qwen25"]["head_routing"] = {{"shared_groups", head_routing->shared_groups},
                                      {"top_k", head_routing->top_k},
                                      {"balance_loss", Rounded(head_routing->balance_loss)}};
  }
  return json;
}

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
    if (rope_scaling->type != "linear" && rope_scaling->type != "yarn") {
      return Unsupported("{}: rope scaling \"{}\" is unknown, expected \"linear\" or \"yarn\"", origin,
                         rope_scaling->type);
    }
    if (!(rope_scaling->factor >= 1) || rope_scaling->factor > 1024) {
      return InvalidArgument("{}: rope scaling \"factor\" is {}, expected 1 to 1024", origin,
                             rope_scaling->factor);
    }
    if (max_position_embeddings * rope_scaling->factor > kMaxPositions) {
      return InvalidArgument("{}: \"max_position_embeddings\" {} times \"factor\" {} is more than {}", origin,
                             max_position_embeddings, rope_scaling->factor, kMaxPositions);
    }
    if (rope_scaling->original_max_position_embeddings * rope_scaling->factor > kMaxPositions) {
      return InvalidArgument(
          "{}: \"original_max_position_embeddings\" {} times \"factor\" {} is more than {}", origin,
          rope_scaling->original_max_position_embeddings, rope_scaling->factor, kMaxPositions);
    }
    if (!(rope_scaling->attention_factor >= 0) || rope_scaling->attention_factor > 1024) {
      return InvalidArgument("{}: rope scaling \"attention_factor\" is {}, expected 0 to 1024", origin,
                             rope_scaling->attention_factor);
    }
    if (!(rope_scaling->beta_slow > 0) || !(rope_scaling->beta_fast > rope_scaling->beta_slow)) {
      return InvalidArgument("{}: rope scaling betas are {} and {}, expected beta_fast > beta_slow > 0",
                             origin, rope_scaling->beta_fast, rope_scaling->beta_slow);
    }
  }
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
  const uint64_t attention = QkvDim() * hidden + (attention_bias ? QkvDim() : 0) + hidden * QueryDim() + gate;
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
  const double attention = 4 * running * static_cast<double>(QueryDim()) * context;
  return num_hidden_layers * (2 * weights + attention) + 2 * hidden * vocab_size;
}

uint64_t ModelConfig::KvBytesPerToken(KvFormat format) const {
  return uint64_t{num_hidden_layers} * num_key_value_heads * (KvHeadBytes(format, head_dim) / kBlockTokens);
}

RotaryFrequencies ComputeRotaryFrequencies(const ModelConfig& config) {
  RotaryFrequencies result{InverseFrequencies(config.head_dim, config.rope_theta), 1.0};
  if (!config.rope_scaling) return result;
  const RopeScaling& scaling = *config.rope_scaling;
  std::vector<double>& frequencies = result.inverse_frequencies;
  if (scaling.type == "linear") {
    for (double& frequency : frequencies) frequency /= scaling.factor;
    return result;
  }
  // YaRN: a frequency with more than beta_fast rotations within the trained length is kept, one with fewer
  // than beta_slow is divided by `factor`, and those between are blended.
  const double trained_length = scaling.original_max_position_embeddings != 0
                                    ? scaling.original_max_position_embeddings
                                    : config.max_position_embeddings;
  const auto dimension_of = [&](double rotations) {
    return config.head_dim * std::log(trained_length / (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(config.rope_theta));
  };
  const double low = std::max(std::floor(dimension_of(scaling.beta_fast)), 0.0);
  double high = std::min(std::ceil(dimension_of(scaling.beta_slow)), config.head_dim - 1.0);
  if (high == low) high += 0.001;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double slowed = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = frequencies[i] / scaling.factor * slowed + frequencies[i] * (1 - slowed);
  }
  const double attention_factor =
      scaling.attention_factor != 0 ? scaling.attention_factor : YarnAttentionFactor(scaling.factor);
  result.score_factor = attention_factor * attention_factor;
  return result;
}

}  // namespace qwen25
