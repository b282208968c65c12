// Reads and writes config.json.
#include <algorithm>
#include <array>
#include <cmath>

#include "model/config.h"

namespace qwen25 {
namespace {

// A class of transformers and the model_type that stands for it.
struct ModelClass {
  std::string_view model_type, name;
};
constexpr std::array<ModelClass, 5> kModelClasses = {{{"qwen2", "Qwen2ForCausalLM"},
                                                      {"qwen3", "Qwen3ForCausalLM"},
                                                      {"llama", "LlamaForCausalLM"},
                                                      {"mistral", "MistralForCausalLM"},
                                                      {"ministral", "MinistralForCausalLM"}}};

bool IsMistral(const ModelConfig& config) {
  return config.model_type == "mistral" || config.model_type == "ministral";
}

// transformers 4 writes "rope_scaling" and "rope_theta". transformers 5 writes both into "rope_parameters",
// with an object for each kind of layer if a model has several.
Status ReadRope(const Json& json, std::string_view origin, ModelConfig& config) {
  QWEN25_RETURN_IF_ERROR(ReadField(json, "rope_theta", origin, config.rope_theta));
  double rotated_share = 1;
  uint32_t trained_length = 0;
  QWEN25_RETURN_IF_ERROR(ReadField(json, "partial_rotary_factor", origin, rotated_share));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "original_max_position_embeddings", origin, trained_length));
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const auto found = json.find(key);
    if (found == json.end() || found->is_null()) continue;
    if (!found->is_object()) return InvalidArgument("{}: \"{}\" is not an object", origin, key);
    const auto full = found->find("full_attention"), sliding = found->find("sliding_attention");
    const bool by_kind = full != found->end() && full->is_object();
    if (by_kind && sliding != found->end() && *sliding != *full) {
      return Unsupported(
          "{}: \"{}\" differs between \"full_attention\" and \"sliding_attention\", which this program does "
          "not run",
          origin, key);
    }
    const Json& parameters = by_kind ? *full : *found;
    QWEN25_RETURN_IF_ERROR(ReadField(parameters, "rope_theta", origin, config.rope_theta));
    QWEN25_RETURN_IF_ERROR(ReadField(parameters, "partial_rotary_factor", origin, rotated_share));
    QWEN25_TRY(std::optional<RopeScaling> scaling,
               ReadRopeScaling(parameters, key, origin, config.max_position_embeddings, trained_length));
    if (scaling) config.rope_scaling = std::move(scaling);
  }
  if (rotated_share != 1) {
    return Unsupported(
        "{}: \"partial_rotary_factor\" is {}, expected 1: this program rotates all dimensions of a head",
        origin, rotated_share);
  }
  return {};
}

// Reads "layer_types"; leaves `slides` as it is if there are none.
Status ReadLayerTypes(const Json& json, std::string_view origin, const ModelConfig& config,
                      std::vector<bool>& slides) {
  const auto kinds = json.find("layer_types");
  if (kinds == json.end() || kinds->is_null()) return {};
  if (!kinds->is_array() || kinds->size() != config.num_hidden_layers) {
    return InvalidArgument("{}: \"layer_types\" is {}, expected a list of \"num_hidden_layers\" {} names",
                           origin, kinds->is_array() ? fmt::format("a list of {}", kinds->size()) : "no list",
                           config.num_hidden_layers);
  }
  slides.clear();
  for (const Json& kind : *kinds) {
    if (kind != "full_attention" && kind != "sliding_attention") {
      return Unsupported("{}: \"layer_types\" has {}, which this program does not run", origin, kind.dump());
    }
    slides.push_back(kind == "sliding_attention");
  }
  return {};
}

// Reads which layers slide, and how far they see. transformers gives llama models no such option.
Status ReadSlidingWindow(const Json& json, std::string_view origin, ModelConfig& config) {
  if (config.model_type == "llama") return {};
  uint32_t window = 4096, first = 28;  // defaults of transformers' classes
  bool used = IsMistral(config);
  if (const auto stated = json.find("sliding_window"); stated != json.end() && stated->is_null()) window = 0;
  if (!used) QWEN25_RETURN_IF_ERROR(ReadField(json, "use_sliding_window", origin, used));
  if (used) QWEN25_RETURN_IF_ERROR(ReadField(json, "sliding_window", origin, window));
  if (IsMistral(config)) {
    first = 0;
  } else if (used) {
    QWEN25_RETURN_IF_ERROR(ReadField(json, "max_window_layers", origin, first));
  }
  std::vector<bool> slides(config.num_hidden_layers);
  if (used && window != 0) {
    for (size_t i = first; i < slides.size(); ++i) slides[i] = true;
  }
  QWEN25_RETURN_IF_ERROR(ReadLayerTypes(json, origin, config, slides));
  if (std::ranges::count(slides, true) == 0) return {};
  if (!used || window == 0) {
    return InvalidArgument(
        "{}: \"layer_types\" has \"sliding_attention\", but there is no window{}; expected "
        "\"sliding_window\" "
        "of at least 1",
        origin, used ? "" : " (\"use_sliding_window\" is false)");
  }
  // A window as long as the longest context hides nothing.
  if (window >= config.MaxContext()) return {};
  config.sliding_window = window;
  config.sliding_layers = std::move(slides);
  return {};
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
    for (const ModelClass& known : kModelClasses) {
      if (name == known.name) return std::string(known.model_type);
    }
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
  if (std::ranges::find(kModelClasses, model_type, &ModelClass::model_type) == kModelClasses.end()) {
    return Unsupported("{}: architecture \"{}\" is unknown; this program runs {} models", origin, model_type,
                       kHandledModelTypes);
  }
  if (activation != "silu" && activation != "swish")
    return Unsupported("{}: activation \"{}\" is unknown, expected \"silu\"", origin, activation);
  if (mlp_bias) return Unsupported("{}: \"mlp_bias\" is true, which this program does not run", origin);
  return {};
}

// Defaults of the official classes, for keys that a writer may leave out.
void SetDefaults(ModelConfig& config) {
  config.tie_word_embeddings = false;
  config.rope_theta = 10000;
  config.attention_bias = config.model_type == "qwen2";
  config.num_key_value_heads = IsMistral(config) ? 8 : 0;
  if (config.model_type == "qwen3") config.head_dim = 128;
  if (config.model_type == "llama") config.max_position_embeddings = kLlamaPositions;
  if (IsMistral(config)) config.max_position_embeddings = kMistralPositions;
}

Status ReadSizes(const Json& json, std::string_view origin, ModelConfig& config) {
  for (const char* required :
       {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"}) {
    if (!json.contains(required)) return InvalidArgument("{}: \"{}\" is missing", origin, required);
  }
  QWEN25_RETURN_IF_ERROR(ReadField(json, "vocab_size", origin, config.vocab_size));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "hidden_size", origin, config.hidden_size));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "intermediate_size", origin, config.intermediate_size));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "num_hidden_layers", origin, config.num_hidden_layers));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "num_attention_heads", origin, config.num_attention_heads));
  const auto kv_heads = json.find("num_key_value_heads");
  const bool stated = kv_heads != json.end() && !kv_heads->is_null();
  if (kv_heads != json.end() || config.num_key_value_heads == 0) {
    config.num_key_value_heads = config.num_attention_heads;
  }
  if (stated) {
    QWEN25_RETURN_IF_ERROR(ReadField(json, "num_key_value_heads", origin, config.num_key_value_heads));
  }
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
  return ReadField(json, "max_position_embeddings", origin, config.max_position_embeddings);
}

// The keys of sliding windows, in the words of each class.
void WriteSlidingWindow(const ModelConfig& config, Json& json) {
  const std::vector<bool>& slides = config.sliding_layers;
  const bool used = config.sliding_window != 0;
  if (config.model_type == "llama") return;
  if (!IsMistral(config)) {
    json["use_sliding_window"] = used;
    if (used) json["sliding_window"] = config.sliding_window;
    // Of use to versions of transformers that do not know "layer_types".
    const auto first = std::ranges::find(slides, true);
    if (used && std::find(first, slides.end(), false) == slides.end()) {
      json["max_window_layers"] = first - slides.begin();
    }
  } else {
    json["sliding_window"] = used ? Json(config.sliding_window) : Json();
    if (config.model_type == "mistral") return;
  }
  if (!used && config.model_type != "ministral") return;
  for (uint32_t i = 0; i < config.num_hidden_layers; ++i) {
    json["layer_types"].push_back(config.WindowOf(i) != 0 ? "sliding_attention" : "full_attention");
  }
}

}  // namespace

Result<ModelConfig> ModelConfig::FromJson(const Json& json, std::string_view origin) {
  if (!json.is_object()) return InvalidArgument("{}: expected a JSON object", origin);
  QWEN25_RETURN_IF_ERROR(CheckSupported(json, origin));
  ModelConfig config;
  QWEN25_TRY(config.model_type, ModelTypeOf(json, origin));
  const bool has_gates = WithoutSuffix(config.model_type);
  // As transformers' AutoConfig takes them.
  if (config.model_type == "mistral" && json.contains("layer_types")) config.model_type = "ministral";
  SetDefaults(config);
  QWEN25_RETURN_IF_ERROR(ReadSizes(json, origin, config));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "rms_norm_eps", origin, config.rms_norm_eps));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "tie_word_embeddings", origin, config.tie_word_embeddings));
  double initializer_range = 0;  // matters for new weights only, so that any value is accepted
  QWEN25_RETURN_IF_ERROR(ReadField(json, "initializer_range", origin, initializer_range));
  if (initializer_range > 0 && std::isfinite(initializer_range)) config.initializer_range = initializer_range;
  if (config.model_type == "llama" || config.model_type == "qwen3") {
    QWEN25_RETURN_IF_ERROR(ReadField(json, "attention_bias", origin, config.attention_bias));
    config.attention_output_bias = config.attention_bias;
  }
  QWEN25_RETURN_IF_ERROR(ReadRope(json, origin, config));
  QWEN25_RETURN_IF_ERROR(config.Validate(origin));  // before there is a list as long as "num_hidden_layers"
  QWEN25_RETURN_IF_ERROR(ReadSlidingWindow(json, origin, config));
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
  for (const ModelClass& known : kModelClasses) {
    if (known.model_type == model_type) json["architectures"] = {known.name};
  }
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
  if (model_type == "llama" || model_type == "qwen3") json["attention_bias"] = attention_bias;
  if (model_type == "llama") json["mlp_bias"] = false;
  WriteSlidingWindow(*this, json);
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

}  // namespace qwen25
