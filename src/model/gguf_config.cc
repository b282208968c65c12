// Reads and writes the configuration of a model in the metadata of a GGUF file.
#include <algorithm>
#include <cmath>

#include "model/gguf_model.h"
#include "quant/gguf_blocks.h"

namespace qwen25 {
namespace {

// Tensors by whose numbers rotary frequencies are divided: always, or up to the trained length and beyond.
constexpr std::string_view kRopeDivisors = "rope_freqs.weight",
                           kRopeShortDivisors = "rope_factors_short.weight",
                           kRopeLongDivisors = "rope_factors_long.weight";

// Reads the keys "<architecture>.<name>".
class Keys {
 public:
  Keys(const GgufFiles& files, const std::string& origin, std::string architecture)
      : files_(files), origin_(origin), prefix_(std::move(architecture) + ".") {}

  const GgufValue* Find(std::string_view name) const { return files_.Find(prefix_ + std::string(name)); }

  // Leaves `out` unchanged if the key is absent.
  Status Read(std::string_view name, uint32_t& out, bool required = false) const {
    const GgufValue* value = Find(name);
    if (value == nullptr) return required ? Missing(name) : Status();
    std::optional<int64_t> number = value->Integer();
    // An array has a value for each layer; equal values count as one.
    if (const auto by_layer = value->Integers(); by_layer && !by_layer->empty()) {
      if (std::ranges::count(*by_layer, by_layer->front()) == std::ssize(*by_layer))
        number = by_layer->front();
    }
    if (number && *number >= 0 && *number <= int64_t{UINT32_MAX}) {
      out = static_cast<uint32_t>(*number);
      return {};
    }
    if (value->type() == GgufType::kArray) {
      return Unsupported("{}: {}{} differs by layer, which this program does not run", origin_, prefix_,
                         name);
    }
    return Wrong(name, *value, "a number from 0 to 4294967295");
  }
  Status Read(std::string_view name, double& out) const {
    const GgufValue* value = Find(name);
    if (value == nullptr) return {};
    const std::optional<double> number = value->Number();
    if (!number || !std::isfinite(*number)) return Wrong(name, *value, "a number");
    out = *number;
    return {};
  }
  Status Read(std::string_view name, std::string& out) const {
    const GgufValue* value = Find(name);
    if (value == nullptr) return {};
    if (!value->String()) return Wrong(name, *value, "a string");
    out = *value->String();
    return {};
  }
  Status Missing(std::string_view name) const {
    return InvalidArgument("{}: the metadata has no {}{}", origin_, prefix_, name);
  }

 private:
  Status Wrong(std::string_view name, const GgufValue& value, const char* wanted) const {
    return InvalidArgument("{}: {}{} is of type {} or out of range, expected {}", origin_, prefix_, name,
                           value.TypeName(), wanted);
  }

  const GgufFiles& files_;
  const std::string& origin_;
  std::string prefix_;
};

// The numbers of a tensor [head_dim / 2] by which rotary frequencies are divided.
Result<std::vector<double>> DivisorsIn(const GgufFiles& files, const std::string& origin,
                                       std::string_view name, uint32_t head_dim) {
  const GgufTensor* tensor = files.FindTensor(name);
  if (tensor == nullptr) return NotFound("{}: holds no tensor {}, which its metadata describe", origin, name);
  const uint64_t wanted = head_dim / 2;
  if (tensor->type != GgmlType::kF32 || !std::ranges::equal(tensor->shape, std::span(&wanted, 1))) {
    return Unsupported("{}: {} is {} of shape {}, expected F32 of shape [{}]", origin, name,
                       GgmlTypeName(tensor->type), ShapeText(tensor->shape), wanted);
  }
  std::vector<float> numbers(wanted);
  DecodeGgufRow(tensor->type, tensor->bytes.data(), numbers.size(), numbers.data());
  return std::vector<double>(numbers.begin(), numbers.end());
}

// Rotary frequencies of a file's own: as Llama 3.1 has them, or two sets of "longrope", of which this program
// runs the one that holds for every length.
Result<std::optional<RopeScaling>> ReadDivisors(const GgufFiles& files, const std::string& origin,
                                                const RopeScaling& stated, double attention_factor,
                                                const ModelConfig& config) {
  if (stated.type != "longrope") {
    QWEN25_TRY(const std::vector<double> divisors, DivisorsIn(files, origin, kRopeDivisors, config.head_dim));
    return RopeScalingByDivisors(divisors, config.rope_theta, config.max_position_embeddings);
  }
  QWEN25_TRY(std::vector<double> within, DivisorsIn(files, origin, kRopeShortDivisors, config.head_dim));
  QWEN25_TRY(const std::vector<double> beyond, DivisorsIn(files, origin, kRopeLongDivisors, config.head_dim));
  const uint32_t trained = stated.original_max_position_embeddings;
  if (within != beyond && (trained == 0 || config.max_position_embeddings > trained)) {
    return Unsupported(
        "{}: rope.scaling.type longrope changes from {} to {} beyond {} positions, which this program does "
        "not "
        "run",
        origin, kRopeShortDivisors, kRopeLongDivisors, trained);
  }
  return std::optional<RopeScaling>(
      RopeScaling{.type = "longrope",
                  .original_max_position_embeddings = trained != 0 ? trained : config.max_position_embeddings,
                  .attention_factor = attention_factor,
                  .divisors = std::move(within)});
}

Status ReadRope(const Keys& keys, const GgufFiles& files, const std::string& origin, ModelConfig& config) {
  config.rope_theta = 10000;
  QWEN25_RETURN_IF_ERROR(keys.Read("rope.freq_base", config.rope_theta));
  uint32_t dimensions = config.head_dim;
  QWEN25_RETURN_IF_ERROR(keys.Read("rope.dimension_count", dimensions));
  if (dimensions != config.head_dim) {
    return Unsupported(
        "{}: rope.dimension_count is {}, expected {}: this program rotates all dimensions of a head", origin,
        dimensions, config.head_dim);
  }
  RopeScaling scaling;
  double factor = 0, attention_factor = 1;
  scaling.type = "linear";  // as llama.cpp reads a factor without a type
  QWEN25_RETURN_IF_ERROR(keys.Read("rope.scale_linear", factor));
  QWEN25_RETURN_IF_ERROR(keys.Read("rope.scaling.type", scaling.type));
  QWEN25_RETURN_IF_ERROR(keys.Read("rope.scaling.factor", factor));
  QWEN25_RETURN_IF_ERROR(
      keys.Read("rope.scaling.original_context_length", scaling.original_max_position_embeddings));
  for (const char* name : {"rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor"}) {
    QWEN25_RETURN_IF_ERROR(keys.Read(name, attention_factor));
  }
  QWEN25_RETURN_IF_ERROR(keys.Read("rope.scaling.yarn_beta_fast", scaling.beta_fast));
  QWEN25_RETURN_IF_ERROR(keys.Read("rope.scaling.yarn_beta_slow", scaling.beta_slow));
  const bool by_tensors = scaling.type == "longrope" || files.FindTensor(kRopeDivisors) != nullptr;
  if (by_tensors) {
    QWEN25_TRY(config.rope_scaling, ReadDivisors(files, origin, scaling, attention_factor, config));
  }
  if (scaling.type == "none" || scaling.type == "longrope" || factor == 0 ||
      (factor == 1 && scaling.type == "linear")) {
    return {};
  }
  if (config.rope_scaling) {
    return Unsupported("{}: has both {} and rope.scaling.type {}, which this program does not run", origin,
                       kRopeDivisors, scaling.type);
  }
  if (scaling.type != "linear" && scaling.type != "yarn") {
    return Unsupported("{}: rope.scaling.type {} is unknown, expected none, linear, yarn or longrope", origin,
                       scaling.type);
  }
  scaling.factor = factor;
  if (scaling.type == "linear") {
    scaling = {.type = "linear", .factor = factor};
  } else {
    uint32_t& trained = scaling.original_max_position_embeddings;
    if (trained == 0) trained = config.max_position_embeddings;
    // ggml multiplies YaRN's usual attention factor by the one in the file.
    if (attention_factor != 1) scaling.attention_factor = attention_factor * YarnAttentionFactor(factor);
    // Files state the length before or after stretching; this configuration states the one before.
    config.max_position_embeddings =
        std::max(trained, static_cast<uint32_t>(config.max_position_embeddings / std::max(factor, 1.0)));
  }
  config.rope_scaling = scaling;
  return {};
}

// Refuses keys of the architectures that this decoder does not support.
Status CheckSupported(const Keys& keys, const std::string& origin) {
  for (const char* name : {"expert_count", "attention.logit_scale", "logit_scale", "residual_scale",
                           "embedding_scale", "attention.clamp_kqv"}) {
    double value = 0;
    QWEN25_RETURN_IF_ERROR(keys.Read(name, value));
    if (value != 0) return Unsupported("{}: {} is {}, which this program does not run", origin, name, value);
  }
  const GgufValue* causal = keys.Find("attention.causal");
  if (causal != nullptr && causal->Bool() == false) {
    return Unsupported("{}: attention.causal is false, which this program does not run", origin);
  }
  return {};
}

// Reads "attention.sliding_window_pattern", a flag for each layer or a number n: of n layers all but the last
// slide; 0 is all. Source: set_swa_pattern in llama.cpp.
Status ReadWindowPattern(const GgufValue& pattern, const std::string& origin, std::vector<bool>& slides) {
  const std::optional<int64_t> period = pattern.Integer();
  if (period && *period >= 0) {
    const auto n = static_cast<size_t>(*period);
    for (size_t i = 0; i < slides.size(); ++i) slides[i] = n == 0 || i % n + 1 < n;
    return {};
  }
  const std::optional<std::vector<GgufValue>> flags = pattern.Elements();
  const auto is_flag = [](const GgufValue& value) { return value.Bool().has_value(); };
  if (flags && flags->size() == slides.size() && std::ranges::all_of(*flags, is_flag)) {
    for (size_t i = 0; i < slides.size(); ++i) slides[i] = *(*flags)[i].Bool();
    return {};
  }
  return InvalidArgument(
      "{}: attention.sliding_window_pattern is of type {}, expected a flag for each of {} layers", origin,
      pattern.TypeName(), slides.size());
}

// Reads which layers slide, and how far they see: of a llama file without a pattern all, which is Mistral's
// way.
Status ReadSlidingWindow(const Keys& keys, const std::string& origin, ModelConfig& config) {
  uint32_t window = 0;
  QWEN25_RETURN_IF_ERROR(keys.Read("attention.sliding_window", window));
  // A window as long as the longest context hides nothing.
  if (window == 0 || window >= config.MaxContext()) return {};
  std::vector<bool> slides(config.num_hidden_layers, true);
  const GgufValue* pattern = keys.Find("attention.sliding_window_pattern");
  if (pattern != nullptr) {
    QWEN25_RETURN_IF_ERROR(ReadWindowPattern(*pattern, origin, slides));
  } else if (config.model_type != "llama") {
    return Unsupported(
        "{}: attention.sliding_window is {}, and no attention.sliding_window_pattern says in which layers",
        origin, window);
  }
  if (std::ranges::count(slides, true) == 0) return {};
  config.sliding_window = window;
  config.sliding_layers = std::move(slides);
  return {};
}

Status ReadEndTokens(const GgufFiles& files, const std::string& origin, ModelConfig& config) {
  const auto read = [&](const char* key, std::optional<int32_t>& id) -> Status {
    const GgufValue* value = files.Find(key);
    if (value == nullptr) return {};
    const std::optional<int64_t> number = value->Integer();
    if (!number)
      return InvalidArgument("{}: {} is of type {}, expected a number", origin, key, value->TypeName());
    // Some writers' "none" is 2^32 - 1. Ids outside the vocabulary are skipped: no text contains them.
    if (*number >= 0 && *number < int64_t{config.vocab_size}) id = static_cast<int32_t>(*number);
    return {};
  };
  QWEN25_RETURN_IF_ERROR(read("tokenizer.ggml.bos_token_id", config.bos_token_id));
  for (const char* key :
       {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    std::optional<int32_t> id;
    QWEN25_RETURN_IF_ERROR(read(key, id));
    if (id && std::ranges::find(config.eos_token_ids, *id) == config.eos_token_ids.end()) {
      config.eos_token_ids.push_back(*id);
    }
  }
  return {};
}

// Whether a tensor whose name ends so is other than zeros.
bool HasBias(const GgufFiles& files, std::initializer_list<std::string_view> endings) {
  return std::ranges::any_of(files.tensors(), [&](const GgufTensor* tensor) {
    const auto ends = [&](std::string_view ending) { return tensor->name.ends_with(ending); };
    return std::ranges::any_of(endings, ends) && !AllAre(*tensor, 0);
  });
}

// llama.cpp adds biases of q, k, v and o wherever a file of architecture "llama" has them.
void FindBiases(const GgufFiles& files, ModelConfig& config) {
  if (config.model_type == "qwen2") return;
  config.attention_output_bias = HasBias(files, {".attn_output.bias"});
  config.attention_bias =
      config.attention_output_bias || HasBias(files, {".attn_q.bias", ".attn_k.bias", ".attn_v.bias"});
  if (config.model_type == "qwen3") config.attention_output_bias = config.attention_bias;
  // The name of a model that has biases of q, k and v alone.
  if (config.model_type == "llama" && config.attention_bias && !config.attention_output_bias) {
    config.model_type = "qwen2";
  }
}

}  // namespace

Result<ModelConfig> ModelConfigFromGguf(const GgufFiles& files, const std::string& origin) {
  const GgufValue* value = files.Find("general.architecture");
  if (value == nullptr || !value->String()) {
    return InvalidArgument("{}: the metadata has no string general.architecture; is this a language model?",
                           origin);
  }
  ModelConfig config;
  config.model_type = *value->String();
  if (config.model_type != "qwen2" && config.model_type != "qwen3" && config.model_type != "llama") {
    return Unsupported("{}: architecture \"{}\" is unknown; this program runs {} models", origin,
                       config.model_type, kHandledGgufArchitectures);
  }
  const Keys keys(files, origin, config.model_type);
  QWEN25_RETURN_IF_ERROR(CheckSupported(keys, origin));
  const GgufTensor* embedding = files.FindTensor("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2 || embedding->shape[0] > UINT32_MAX) {
    return InvalidArgument("{}: holds no matrix token_embd.weight", origin);
  }
  config.vocab_size = static_cast<uint32_t>(embedding->shape[0]);
  config.tie_word_embeddings = files.FindTensor("output.weight") == nullptr;
  config.attention_bias = config.model_type == "qwen2";
  QWEN25_RETURN_IF_ERROR(keys.Read("embedding_length", config.hidden_size, true));
  QWEN25_RETURN_IF_ERROR(keys.Read("feed_forward_length", config.intermediate_size, true));
  QWEN25_RETURN_IF_ERROR(keys.Read("block_count", config.num_hidden_layers, true));
  QWEN25_RETURN_IF_ERROR(keys.Read("attention.head_count", config.num_attention_heads, true));
  config.num_key_value_heads = config.num_attention_heads;
  QWEN25_RETURN_IF_ERROR(keys.Read("attention.head_count_kv", config.num_key_value_heads));
  QWEN25_RETURN_IF_ERROR(keys.Read("context_length", config.max_position_embeddings));
  double epsilon = 1e-5;
  QWEN25_RETURN_IF_ERROR(keys.Read("attention.layer_norm_rms_epsilon", epsilon));
  config.rms_norm_eps = static_cast<float>(epsilon);
  if (config.num_attention_heads != 0) config.head_dim = config.hidden_size / config.num_attention_heads;
  QWEN25_RETURN_IF_ERROR(keys.Read("attention.key_length", config.head_dim));
  uint32_t value_dim = config.head_dim;
  QWEN25_RETURN_IF_ERROR(keys.Read("attention.value_length", value_dim));
  if (value_dim != config.head_dim) {
    return Unsupported("{}: attention.key_length is {} and attention.value_length {}, expected equal lengths",
                       origin, config.head_dim, value_dim);
  }
  if (embedding->shape[1] != config.hidden_size) {
    return InvalidArgument("{}: token_embd.weight has shape {}, but embedding_length is {}", origin,
                           ShapeText(embedding->shape), config.hidden_size);
  }
  QWEN25_RETURN_IF_ERROR(ReadRope(keys, files, origin, config));
  QWEN25_RETURN_IF_ERROR(ReadEndTokens(files, origin, config));
  FindBiases(files, config);
  QWEN25_RETURN_IF_ERROR(config.Validate(origin));  // before there is a list as long as block_count
  QWEN25_RETURN_IF_ERROR(ReadSlidingWindow(keys, origin, config));
  if (config.model_type == "llama" && config.sliding_window != 0) {
    const bool all = std::ranges::count(config.sliding_layers, false) == 0;
    config.model_type = all ? "mistral" : "ministral";
  }
  QWEN25_RETURN_IF_ERROR(config.Validate(origin));
  return config;
}

namespace {

// Kinds of scaling that keys state in full.
bool HasKeysOnly(const RopeScaling& scaling) {
  return scaling.type == "linear" || scaling.type == "yarn";
}
// Kinds that a tensor states in full.
bool IsDivisorsOnly(const RopeScaling& scaling) {
  return scaling.type == "llama3" || (scaling.type == "longrope" && scaling.attention_factor == 1);
}

void SetGgufRope(const RopeScaling& scaling, uint32_t max_positions, const std::string& prefix,
                 GgufMetadata& metadata) {
  if (IsDivisorsOnly(scaling)) return;
  metadata.SetString(prefix + "rope.scaling.type", scaling.type);
  if (scaling.type != "longrope") {
    metadata.SetF32(prefix + "rope.scaling.factor", static_cast<float>(scaling.factor));
  }
  if (scaling.type == "linear") return;
  metadata.SetU32(prefix + "rope.scaling.original_context_length",
                  scaling.original_max_position_embeddings != 0 ? scaling.original_max_position_embeddings
                                                                : max_positions);
  if (scaling.type == "longrope") {
    metadata.SetF32(prefix + "rope.scaling.attn_factor", static_cast<float>(scaling.attention_factor));
    return;
  }
  metadata.SetF32(prefix + "rope.scaling.yarn_beta_fast", static_cast<float>(scaling.beta_fast));
  metadata.SetF32(prefix + "rope.scaling.yarn_beta_slow", static_cast<float>(scaling.beta_slow));
  if (scaling.attention_factor != 0) {
    metadata.SetF32(prefix + "rope.scaling.attn_factor",
                    static_cast<float>(scaling.attention_factor / YarnAttentionFactor(scaling.factor)));
  }
}

}  // namespace

std::string_view GgufArchitectureOf(const ModelConfig& config) {
  const bool is_mistral = config.model_type == "mistral" || config.model_type == "ministral";
  return is_mistral ? std::string_view("llama") : config.model_type;
}

void SetGgufConfig(const ModelConfig& config, GgufMetadata& metadata) {
  const std::string prefix = fmt::format("{}.", GgufArchitectureOf(config));
  metadata.SetString("general.architecture", GgufArchitectureOf(config));
  metadata.SetString("general.type", "model");
  metadata.SetU32(prefix + "context_length", config.max_position_embeddings);
  metadata.SetU32(prefix + "embedding_length", config.hidden_size);
  metadata.SetU32(prefix + "block_count", config.num_hidden_layers);
  metadata.SetU32(prefix + "feed_forward_length", config.intermediate_size);
  metadata.SetU32(prefix + "attention.head_count", config.num_attention_heads);
  metadata.SetU32(prefix + "attention.head_count_kv", config.num_key_value_heads);
  metadata.SetU32(prefix + "attention.key_length", config.head_dim);
  metadata.SetU32(prefix + "attention.value_length", config.head_dim);
  metadata.SetU32(prefix + "rope.dimension_count", config.head_dim);
  metadata.SetU32(prefix + "vocab_size", config.vocab_size);
  metadata.SetF32(prefix + "attention.layer_norm_rms_epsilon", config.rms_norm_eps);
  metadata.SetF32(prefix + "rope.freq_base", static_cast<float>(config.rope_theta));
  if (config.sliding_window != 0) {
    metadata.SetU32(prefix + "attention.sliding_window", config.sliding_window);
    if (config.model_type != "mistral") {
      metadata.SetBools(prefix + "attention.sliding_window_pattern", config.sliding_layers);
    }
  }
  if (config.rope_scaling)
    SetGgufRope(*config.rope_scaling, config.max_position_embeddings, prefix, metadata);
}

std::vector<GgufRopeTensor> GgufRopeTensors(const ModelConfig& config) {
  if (!config.rope_scaling || HasKeysOnly(*config.rope_scaling)) return {};
  const std::vector<float> divisors = DivisorsOf(*config.rope_scaling, config.head_dim, config.rope_theta);
  if (IsDivisorsOnly(*config.rope_scaling)) return {{std::string(kRopeDivisors), divisors}};
  return {{std::string(kRopeLongDivisors), divisors}, {std::string(kRopeShortDivisors), divisors}};
}

}  // namespace qwen25
