#include "model/open_weights.h"

#include <algorithm>
#include <set>

#include "base/json.h"
#include "base/mmap.h"
#include "model/gguf_model.h"
#include "model/quantized_folder.h"
#include "quant/weight_range.h"
#include "store/safetensors.h"

namespace qwen25 {
namespace {

// Whether a tensor is a buffer that transformers ignores: rotary tables, causal masks, positions.
bool IsBuffer(std::string_view name) {
  for (const char* ending : {"rotary_emb.inv_freq", "rotary_emb.cos_cached", "rotary_emb.sin_cached",
                             "attn.bias", "attn.masked_bias", "position_ids"}) {
    if (name.ends_with(ending)) return true;
  }
  return false;
}

// Whether a name belongs to the decoder that `config` describes, not to a further layer, another tower or
// another task's head.
bool IsOfDecoder(const ModelConfig& config, std::string_view name) {
  constexpr std::string_view kLayers = "model.layers.";
  if (!name.starts_with(kLayers)) {
    return name.starts_with("model.embed_tokens.") || name.starts_with("model.norm.") ||
           name.starts_with("lm_head.");
  }
  name.remove_prefix(kLayers.size());
  uint32_t layer = 0;
  size_t digits = 0;
  while (digits < name.size() && digits < 9 && name[digits] >= '0' && name[digits] <= '9') {
    layer = 10 * layer + static_cast<uint32_t>(name[digits++] - '0');
  }
  return digits == 0 || layer < config.num_hidden_layers;
}

// Whether all numbers of a tensor are zero; false for types that cannot be read.
bool IsZero(const TensorInfo& tensor) {
  std::vector<float> values(tensor.NumElements());
  return CopyToFloat(tensor, 0, values, /*check_finite=*/false).ok() &&
         std::ranges::count(values, 0.0f) == std::ssize(values);
}

// kUnsupported if there are the low-rank matrices of an adapter.
Status CheckNoAdapter(std::span<const TensorInfo> tensors, const std::filesystem::path& directory) {
  const auto found = std::ranges::find_if(
      tensors, [](const TensorInfo& tensor) { return tensor.name.find(".lora_A") != std::string::npos; });
  if (found == tensors.end()) return {};
  return Unsupported("{}: holds an adapter that is not merged into its model (tensor {}); merge it first",
                     directory.string(), found->name);
}

bool Holds(const Json& json, const char* key, const Json& value) {
  const auto found = json.find(key);
  return found != json.end() && *found == value;
}

bool IsLlamaWithBiases(const Json& json) {
  return Holds(json, "model_type", "llama") && Holds(json, "attention_bias", true);
}

// Rewrites config.json for biases that this decoder has. A llama model with biases computes what a qwen2
// model does if the bias of o_proj is zero, and Qwen2 weights are often published so (SettleBiases). Check
// refuses other biases that are not zero.
Json WithKnownBiases(Json json) {
  if (!json.is_object()) return json;
  if (Holds(json, "mlp_bias", true)) json.erase("mlp_bias");
  if (!IsLlamaWithBiases(json)) return json;
  json["model_type"] = "qwen2";
  // Llama models do not have the options of sliding windows, and another default length.
  for (const char* key : {"use_sliding_window", "sliding_window", "layer_types"}) json.erase(key);
  if (!json.contains("max_position_embeddings")) json["max_position_embeddings"] = kLlamaPositions;
  return json;
}

// Whether two matrices of the same shape hold the same numbers, in any two formats.
Result<bool> SameNumbers(const TensorInfo& a, const TensorInfo& b) {
  if (a.dtype == b.dtype) return std::ranges::equal(a.bytes, b.bytes);
  constexpr uint64_t kPiece = 1 << 16;
  std::vector<float> x, y;
  for (uint64_t begin = 0; begin < a.NumElements(); begin += kPiece) {
    x.resize(std::min(kPiece, a.NumElements() - begin));
    y.resize(x.size());
    QWEN25_RETURN_IF_ERROR(CopyToFloat(a, begin, x, /*check_finite=*/false));
    QWEN25_RETURN_IF_ERROR(CopyToFloat(b, begin, y, /*check_finite=*/false));
    if (x != y) return false;
  }
  return true;
}

// A Hugging Face folder.
class FolderWeights : public WeightsReader {
 public:
  static Result<std::unique_ptr<WeightsReader>> Open(const std::filesystem::path& directory);

  const ModelConfig& config() const override { return config_; }
  std::span<const std::string> remarks() const override { return remarks_; }
  Status Check(std::span<const NamedParameter> parameters) const override;
  Status ReadRows(const NamedParameter& named, size_t begin, size_t end, float* out) const override;
  WeightFormat StoredFormat(const NamedParameter& named) const override;
  void Release(std::span<const NamedParameter* const> parts) const override;

 private:
  FolderWeights(std::filesystem::path directory, ModelConfig config, CheckpointReader checkpoint)
      : directory_(std::move(directory)), config_(std::move(config)), checkpoint_(std::move(checkpoint)) {}

  // Null if there is no tensor for a parameter of that name.
  const TensorInfo* Find(std::string_view name) const;
  // The parameter's name for a tensor.
  std::string ParameterName(std::string_view tensor) const;
  // Sets prefix_ and bare_names_ by the name of the embedding.
  void FindNames();
  // Turns the configuration back into one of llama if no tensor holds a bias, or if o has one.
  void SettleBiases();
  // Checks the embedding's shape, and whether the output projection is really tied to it.
  Status ReadHead();
  // Adds a remark about tensors of other parts, which are not used.
  void NoteUnused();
  Status Missing(const std::string& name) const;
  Status WrongShape(const std::string& name, const TensorInfo& tensor,
                    std::span<const uint64_t> wanted) const;
  Status Extra(const std::string& name, const TensorInfo& tensor) const;

  std::filesystem::path directory_;
  ModelConfig config_;
  CheckpointReader checkpoint_;
  std::string prefix_;       // what a wrapper put in front of all names
  bool bare_names_ = false;  // exported without the head: "layers.0..." for "model.layers.0..."
  std::vector<std::string> remarks_;
};

Result<std::unique_ptr<WeightsReader>> FolderWeights::Open(const std::filesystem::path& directory) {
  const std::filesystem::path file = directory / "config.json";
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored) &&
      std::filesystem::exists(directory / "adapter_config.json", ignored)) {
    return Unsupported(
        "{}: holds an adapter (adapter_config.json), not a model; give it to its base model as --adapter",
        directory.string());
  }
  QWEN25_TRY(const Json json, ReadJsonFile(file.string()));
  QWEN25_RETURN_IF_ERROR(CheckConfigNotQuantized(json, directory));
  QWEN25_TRY(ModelConfig config, ModelConfig::FromJson(WithKnownBiases(json), file.string()));
  QWEN25_TRY(CheckpointReader checkpoint, CheckpointReader::Open(directory));
  std::unique_ptr<FolderWeights> weights(
      new FolderWeights(directory, std::move(config), std::move(checkpoint)));
  weights->FindNames();
  if (IsLlamaWithBiases(json)) weights->SettleBiases();
  QWEN25_RETURN_IF_ERROR(weights->ReadHead());
  weights->NoteUnused();
  if (std::filesystem::exists(directory / "adapter_config.json", ignored)) {
    weights->remarks_.push_back(fmt::format(
        "{}: an adapter stands beside the weights (adapter_config.json); it is not applied to them",
        directory.string()));
  }
  return std::unique_ptr<WeightsReader>(std::move(weights));
}

// Every model has an embedding.
void FolderWeights::FindNames() {
  constexpr std::string_view kEmbedding = "embed_tokens.weight", kModel = "model.";
  const std::string whole = fmt::format("{}{}", kModel, kEmbedding);
  if (checkpoint_.Find(whole) != nullptr) return;
  std::vector<std::string_view> found;
  for (const TensorInfo& tensor : checkpoint_.tensors()) {
    const std::string_view name = tensor.name;
    const size_t begin = name.size() - std::min(name.size(), kEmbedding.size());
    if (name.substr(begin) == kEmbedding && (begin == 0 || name[begin - 1] == '.')) found.push_back(name);
  }
  if (found.size() != 1) return;  // Check says what is missing
  std::string_view prefix = found[0].substr(0, found[0].size() - kEmbedding.size());
  bare_names_ = !prefix.ends_with(kModel) || (prefix.size() > kModel.size() && !prefix.ends_with(".model."));
  if (!bare_names_) prefix.remove_suffix(kModel.size());
  prefix_ = prefix;
}

void FolderWeights::SettleBiases() {
  bool any = false;
  for (const TensorInfo& tensor : checkpoint_.tensors()) {
    for (const char* ending : {"q_proj.bias", "k_proj.bias", "v_proj.bias"}) {
      any = any || tensor.name.ends_with(ending);
    }
    if (!tensor.name.ends_with("o_proj.bias") || IsZero(tensor)) continue;
    any = config_.attention_output_bias = true;
  }
  if (any && !config_.attention_output_bias) return;
  config_.model_type = "llama";
  config_.attention_bias = any;
}

const TensorInfo* FolderWeights::Find(std::string_view name) const {
  constexpr std::string_view kPrefix = "model.";
  const std::string_view rest = bare_names_ && name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
  if (prefix_.empty()) return checkpoint_.Find(rest);
  const TensorInfo* wrapped = checkpoint_.Find(prefix_ + std::string(rest));
  return wrapped != nullptr ? wrapped : checkpoint_.Find(name);  // wrappers may leave the head outside
}

std::string FolderWeights::ParameterName(std::string_view tensor) const {
  if (!tensor.starts_with(prefix_)) return std::string(tensor);
  tensor.remove_prefix(prefix_.size());
  return bare_names_ && tensor != "lm_head.weight" ? fmt::format("model.{}", tensor) : std::string(tensor);
}

Status FolderWeights::ReadHead() {
  // Checked before memory is allocated: a wrong config.json may describe terabytes.
  const TensorInfo* embedding = Find("model.embed_tokens.weight");
  if (embedding == nullptr) return {};  // Check says so
  const std::vector<uint64_t> wanted = {config_.vocab_size, config_.hidden_size};
  if (!std::ranges::equal(embedding->shape, wanted)) {
    QWEN25_RETURN_IF_ERROR(CheckTensorsNotQuantized(checkpoint_.tensors(), directory_));
    return InvalidArgument(
        "{}: model.embed_tokens.weight has shape {}, expected {} by config.json; the two files do not belong "
        "together",
        directory_.string(), ShapeText(embedding->shape), ShapeText(wanted));
  }
  const TensorInfo* head = Find("lm_head.weight");
  if (!config_.tie_word_embeddings || head == nullptr) return {};
  if (head->shape == embedding->shape) {
    QWEN25_TRY(const bool same, SameNumbers(*embedding, *head));
    if (same) return {};
  }
  config_.tie_word_embeddings = false;
  remarks_.push_back(fmt::format(
      "{}: the weights hold an output projection of their own (lm_head.weight), which is used although "
      "config.json ties it to the embedding (tie_word_embeddings)",
      directory_.string()));
  return {};
}

void FolderWeights::NoteUnused() {
  size_t count = 0;
  std::string first;
  for (const TensorInfo& tensor : checkpoint_.tensors()) {
    const std::string name = ParameterName(tensor.name);
    if (IsBuffer(name) || IsOfDecoder(config_, name)) continue;
    if (count++ == 0) first = tensor.name;
  }
  if (count == 0) return;
  remarks_.push_back(
      fmt::format("{}: the weights hold {} that a {} model of {} layers does not use: {}{}",
                  directory_.string(), count == 1 ? "a tensor" : fmt::format("{} tensors", count),
                  config_.model_type, config_.num_hidden_layers, first, count == 1 ? "" : " and others"));
}

// The error for a missing tensor, with the cause if other tensors show it.
Status FolderWeights::Missing(const std::string& name) const {
  QWEN25_RETURN_IF_ERROR(CheckTensorsNotQuantized(checkpoint_.tensors(), directory_));
  QWEN25_RETURN_IF_ERROR(CheckNoAdapter(checkpoint_.tensors(), directory_));
  if (const std::string_view file = checkpoint_.MissingFrom(name); !file.empty()) {
    return Corrupt("{}: tensor {} should be in {}, but no shard holds it; fetch that file again",
                   directory_.string(), name, file);
  }
  if (name == "lm_head.weight") {
    return NotFound(
        "{}: the weights hold no tensor lm_head.weight, which config.json requires (tie_word_embeddings is "
        "not true); was the model saved without its output, or for another task?",
        directory_.string());
  }
  return NotFound("{}: the weights hold no tensor {}, which config.json requires", directory_.string(), name);
}

Status FolderWeights::WrongShape(const std::string& name, const TensorInfo& tensor,
                                 std::span<const uint64_t> wanted) const {
  QWEN25_RETURN_IF_ERROR(CheckTensorsNotQuantized(checkpoint_.tensors(), directory_));
  return InvalidArgument("{}: {} has shape {}, expected {} by config.json", directory_.string(), name,
                         ShapeText(tensor.shape), ShapeText(wanted));
}

// A tensor of the decoder that no parameter of it is.
Status FolderWeights::Extra(const std::string& name, const TensorInfo& tensor) const {
  QWEN25_RETURN_IF_ERROR(CheckTensorsNotQuantized(checkpoint_.tensors(), directory_));
  QWEN25_RETURN_IF_ERROR(CheckNoAdapter(checkpoint_.tensors(), directory_));
  if (name.ends_with(".bias")) {
    return Unsupported(
        "{}: the weights hold {}, a bias that is not zero; this program adds biases to q, k and v only, "
        "and of llama and qwen3 models, whose o may have one, if config.json states \"attention_bias\"",
        directory_.string(), tensor.name);
  }
  return InvalidArgument("{}: the weights hold a tensor {} that a {} model of {} layers does not have",
                         directory_.string(), tensor.name, config_.model_type, config_.num_hidden_layers);
}

Status FolderWeights::Check(std::span<const NamedParameter> parameters) const {
  std::set<std::string_view> wanted_names;
  for (const NamedParameter& named : parameters) {
    wanted_names.insert(named.name);
    const TensorInfo* tensor = Find(named.name);
    if (tensor == nullptr) return Missing(named.name);
    const std::vector<uint64_t> shape = ShapeOf(named);
    if (!std::ranges::equal(tensor->shape, shape)) return WrongShape(named.name, *tensor, shape);
  }
  for (const TensorInfo& tensor : checkpoint_.tensors()) {
    const std::string name = ParameterName(tensor.name);
    if (wanted_names.contains(name) || IsBuffer(name) || !IsOfDecoder(config_, name)) continue;
    if (name == "lm_head.weight" && config_.tie_word_embeddings) continue;  // ReadHead: the same numbers
    if (name.ends_with(".bias") && IsZero(tensor)) continue;
    return Extra(name, tensor);
  }
  return {};
}

Status FolderWeights::ReadRows(const NamedParameter& named, size_t begin, size_t end, float* out) const {
  const size_t cols = named.parameter.cols;
  const TensorInfo& tensor = *Find(named.name);
  const std::span<float> numbers(out, (end - begin) * cols);
  Status status = CopyToFloat(tensor, begin * cols, numbers, /*check_finite=*/false);
  if (status.ok() && FindTooLarge(numbers, kLargestWeight) < numbers.size()) {
    status = CheckWeights(numbers, "tensor " + tensor.name, begin * cols);
  }
  const size_t row_bytes = cols * DTypeSize(tensor.dtype);
  MappedFile::ReleaseBehind(tensor.bytes, begin * row_bytes, end * row_bytes);
  if (status.ok()) return status;
  return Status(status.code(), fmt::format("{}: {}", directory_.string(), status.message()));
}

WeightFormat FolderWeights::StoredFormat(const NamedParameter& named) const {
  const DType dtype = Find(named.name)->dtype;
  return dtype == DType::kBF16  ? WeightFormat::kBFloat16
         : dtype == DType::kF16 ? WeightFormat::kFloat16
                                : WeightFormat::kFloat32;
}

void FolderWeights::Release(std::span<const NamedParameter* const> parts) const {
  for (const NamedParameter* part : parts) MappedFile::Release(Find(part->name)->bytes);
}

}  // namespace

Result<std::unique_ptr<WeightsReader>> OpenWeights(const std::filesystem::path& path) {
  if (!IsGgufPath(path)) return FolderWeights::Open(path);
  QWEN25_TRY(GgufWeights weights, GgufWeights::Open(path));
  return std::unique_ptr<WeightsReader>(new GgufWeights(std::move(weights)));
}

}  // namespace qwen25
