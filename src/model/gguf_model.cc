#include "model/gguf_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/mmap.h"
#include "quant/gguf_blocks.h"

namespace qwen25 {
namespace {

// Names of a layer's tensors, here and in GGUF.
constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kLayerNames = {{
    {"input_layernorm.weight", "attn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.k_proj.weight", "attn_k.weight"},
    {"self_attn.v_proj.weight", "attn_v.weight"},
    {"self_attn.q_proj.bias", "attn_q.bias"},
    {"self_attn.k_proj.bias", "attn_k.bias"},
    {"self_attn.v_proj.bias", "attn_v.bias"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"post_attention_layernorm.weight", "ffn_norm.weight"},
    {"mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
}};

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

// ggml multiplies YaRN's usual attention factor by the one in the file.
double YarnAttentionFactor(double factor) {
  return 0.1 * std::log(factor) + 1.0;
}

// Whether all numbers of a tensor are `value`; false for quantised types.
bool AllAre(const GgufTensor& tensor, float value) {
  if (IsGgufQuantized(tensor.type)) return false;
  std::vector<float> numbers(tensor.NumElements());
  DecodeGgufRow(tensor.type, tensor.bytes.data(), numbers.size(), numbers.data());
  return std::ranges::count(numbers, value) == std::ssize(numbers);
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
  if (const GgufTensor* own = files.FindTensor("rope_freqs.weight"); own != nullptr && !AllAre(*own, 1)) {
    return Unsupported(
        "{}: has rotary frequencies of its own (rope_freqs.weight, as Llama 3.1), which this program does "
        "not run",
        origin);
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
  if (scaling.type == "none" || factor == 0 || (factor == 1 && scaling.type == "linear")) return {};
  scaling.factor = factor;
  if (scaling.type == "linear") {
    scaling = {.type = "linear", .factor = factor};
  } else {
    uint32_t& trained = scaling.original_max_position_embeddings;
    if (trained == 0) trained = config.max_position_embeddings;
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

// A window as long as the longest context hides nothing.
Status CheckSlidingWindow(const Keys& keys, const std::string& origin, const ModelConfig& config) {
  uint32_t window = 0;
  QWEN25_RETURN_IF_ERROR(keys.Read("attention.sliding_window", window));
  if (window == 0 || window >= config.MaxContext()) return {};
  return Unsupported("{}: attention.sliding_window is {}, which this program does not run", origin, window);
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

// Biases of q, k and v other than zeros, which llama.cpp adds wherever a file of architecture "llama" has
// them.
bool HasAttentionBias(const GgufFiles& files) {
  return std::ranges::any_of(files.tensors(), [](const GgufTensor* tensor) {
    const std::string& name = tensor->name;
    return (name.ends_with(".attn_q.bias") || name.ends_with(".attn_k.bias") ||
            name.ends_with(".attn_v.bias")) &&
           !AllAre(*tensor, 0);
  });
}

}  // namespace

bool TurnsByRotation(std::string_view parameter_name) {
  const std::string_view name = parameter_name.substr(0, parameter_name.rfind('.'));
  return name.ends_with(".q_proj") || name.ends_with(".k_proj");
}

Result<ModelConfig> ModelConfigFromGguf(const GgufFiles& files, const std::string& origin) {
  const GgufValue* value = files.Find("general.architecture");
  if (value == nullptr || !value->String()) {
    return InvalidArgument("{}: the metadata has no string general.architecture; is this a language model?",
                           origin);
  }
  ModelConfig config;
  config.model_type = *value->String();
  if (config.model_type != "qwen2" && config.model_type != "llama") {
    return Unsupported(
        "{}: architecture \"{}\" is unknown; this program runs \"qwen2\" (Qwen2 and Qwen2.5) and \"llama\" "
        "models",
        origin, config.model_type);
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
  QWEN25_RETURN_IF_ERROR(CheckSlidingWindow(keys, origin, config));
  QWEN25_RETURN_IF_ERROR(ReadEndTokens(files, origin, config));
  if (config.model_type == "llama" && HasAttentionBias(files)) {
    config.model_type = "qwen2";
    config.attention_bias = true;
  }
  QWEN25_RETURN_IF_ERROR(config.Validate(origin));
  return config;
}

void SetGgufConfig(const ModelConfig& config, GgufMetadata& metadata) {
  const std::string prefix = config.model_type + ".";
  metadata.SetString("general.architecture", config.model_type);
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
  if (!config.rope_scaling) return;
  const RopeScaling& scaling = *config.rope_scaling;
  metadata.SetString(prefix + "rope.scaling.type", scaling.type);
  metadata.SetF32(prefix + "rope.scaling.factor", static_cast<float>(scaling.factor));
  if (scaling.type != "yarn") return;
  metadata.SetU32(prefix + "rope.scaling.original_context_length",
                  scaling.original_max_position_embeddings != 0 ? scaling.original_max_position_embeddings
                                                                : config.max_position_embeddings);
  metadata.SetF32(prefix + "rope.scaling.yarn_beta_fast", static_cast<float>(scaling.beta_fast));
  metadata.SetF32(prefix + "rope.scaling.yarn_beta_slow", static_cast<float>(scaling.beta_slow));
  if (scaling.attention_factor != 0) {
    metadata.SetF32(prefix + "rope.scaling.attn_factor",
                    static_cast<float>(scaling.attention_factor / YarnAttentionFactor(scaling.factor)));
  }
}

std::string GgufTensorName(const std::string& name) {
  constexpr std::string_view kLayers = "model.layers.";
  if (name == "model.embed_tokens.weight") return "token_embd.weight";
  if (name == "model.norm.weight") return "output_norm.weight";
  if (name == "lm_head.weight") return "output.weight";
  QWEN25_CHECK(name.starts_with(kLayers));
  const size_t dot = name.find('.', kLayers.size());
  const std::string_view rest = std::string_view(name).substr(dot + 1);
  const auto* found =
      std::ranges::find(kLayerNames, rest, &std::pair<std::string_view, std::string_view>::first);
  QWEN25_CHECK(found != kLayerNames.end());
  return fmt::format("blk.{}.{}", name.substr(kLayers.size(), dot - kLayers.size()), found->second);
}

size_t GgufRowOf(size_t row, size_t head_dim) {
  const size_t in_head = row % head_dim, half = head_dim / 2;
  return row - in_head + 2 * (in_head % half) + in_head / half;
}

size_t HuggingFaceRowOf(size_t row, size_t head_dim) {
  const size_t in_head = row % head_dim, half = head_dim / 2;
  return row - in_head + in_head % 2 * half + in_head / 2;
}

namespace {

// Whether ignoring a tensor changes nothing: rotary frequencies (checked by ReadRope), or a bias of zeros.
bool IsHarmless(const GgufTensor& tensor) {
  return tensor.name == "rope_freqs.weight" || tensor.name.ends_with(".attn_rot_embd") ||
         tensor.name.ends_with(".attn_rot_embd.weight") ||
         (tensor.name.ends_with(".bias") && AllAre(tensor, 0));
}

}  // namespace

Result<GgufWeights> GgufWeights::Open(const std::filesystem::path& path) {
  QWEN25_TRY(GgufFiles files, GgufFiles::Open(path));
  QWEN25_TRY(ModelConfig config, ModelConfigFromGguf(files, path.string()));
  const bool is_llama = files.Find("general.architecture")->String() == "llama";
  return GgufWeights(path.string(), std::move(config), std::move(files), is_llama);
}

Status GgufWeights::Check(std::span<const NamedParameter> parameters) const {
  std::set<std::string> wanted_names;
  for (const NamedParameter& named : parameters) {
    const std::string& name = *wanted_names.insert(GgufTensorName(named.name)).first;
    const GgufTensor* tensor = files_.FindTensor(name);
    if (tensor == nullptr)
      return NotFound("{}: holds no tensor {}, which its metadata describe", origin_, name);
    const std::vector<uint64_t> shape = ShapeOf(named);
    if (!std::ranges::equal(tensor->shape, shape)) {
      return InvalidArgument("{}: {} has shape {}, expected {} by the metadata", origin_, name,
                             ShapeText(tensor->shape), ShapeText(shape));
    }
    if (!CanDecodeGguf(tensor->type)) {
      return Unsupported(
          "{}: {} is stored as {}; this program reads F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, "
          "Q5_K and Q6_K",
          origin_, name, GgmlTypeName(tensor->type));
    }
  }
  for (const GgufTensor* tensor : files_.tensors()) {
    if (wanted_names.contains(tensor->name) || IsHarmless(*tensor)) continue;
    if (tensor->name.ends_with(".bias")) {
      return Unsupported("{}: {} is a bias that is not zero; this program adds biases to q, k and v only",
                         origin_, tensor->name);
    }
    return InvalidArgument("{}: holds a tensor {} that a {} model of {} layers does not have", origin_,
                           tensor->name, config_.model_type, config_.num_hidden_layers);
  }
  return {};
}

GgufRow GgufWeights::Row(const NamedParameter& named, size_t row) const {
  const GgufTensor& tensor = *files_.FindTensor(GgufTensorName(named.name));
  if (IsInterleaved(named) && !named.is_vector) row = GgufRowOf(row, config_.head_dim);
  return {tensor.type, tensor.bytes.data() + row * GgmlRowBytes(tensor.type, named.parameter.cols)};
}

Status GgufWeights::ReadRows(const NamedParameter& named, size_t begin, size_t end, float* out) const {
  const size_t cols = named.parameter.cols;
  for (size_t row = begin; row < end; ++row, out += cols) {
    const Status status = DecodeFiniteGgufRow(Row(named, row), cols, out);
    if (!status.ok()) {
      return Status(status.code(), fmt::format("{}: {}: row {}: {}", origin_, GgufTensorName(named.name), row,
                                               status.message()));
    }
  }
  if (named.is_vector && IsInterleaved(named)) {
    const std::vector<float> stored(out - cols, out);
    for (size_t i = 0; i < cols; ++i) out[i - cols] = stored[GgufRowOf(i, config_.head_dim)];
  }
  return {};
}

WeightFormat GgufWeights::StoredFormat(const NamedParameter& named) const {
  return StoredFormatOf(files_.FindTensor(GgufTensorName(named.name))->type);
}

Status GgufWeights::PackMatrix(ThreadPool& threads, WeightFormat format,
                               std::span<const NamedParameter* const> parts, size_t rows, size_t cols,
                               std::byte* memory) const {
  // Looked up once per part instead of once per row.
  struct Part {
    size_t end;  // row of the whole after its last row
    const GgufTensor* tensor;
    bool permuted;
  };
  std::vector<Part> places;
  size_t end = 0;
  for (const NamedParameter* part : parts) {
    end += part->parameter.rows;
    places.push_back({end, files_.FindTensor(GgufTensorName(part->name)), IsInterleaved(*part)});
  }
  const auto row_of = [&](size_t row) -> GgufRow {
    size_t begin = 0;
    auto place = places.begin();
    for (; row >= place->end; ++place) begin = place->end;
    const size_t at = place->permuted ? GgufRowOf(row - begin, config_.head_dim) : row - begin;
    const size_t row_bytes = GgmlRowBytes(place->tensor->type, cols);
    MappedFile::ReleaseBehind(place->tensor->bytes, at * row_bytes, (at + 1) * row_bytes);
    return {place->tensor->type, place->tensor->bytes.data() + at * row_bytes};
  };
  const Status status = PackGgufWeight(threads, format, rows, cols, row_of, memory);
  if (status.ok()) return status;
  return Status(status.code(),
                fmt::format("{}: {}: {}", origin_, GgufTensorName(parts[0]->name), status.message()));
}

void GgufWeights::Release(std::span<const NamedParameter* const> parts) const {
  for (const NamedParameter* part : parts) {
    MappedFile::Release(files_.FindTensor(GgufTensorName(part->name))->bytes);
  }
}

}  // namespace qwen25
