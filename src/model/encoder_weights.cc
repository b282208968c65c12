#include "model/encoder_weights.h"

#include <algorithm>
#include <array>

#include "model/quantized_folder.h"
#include "model/weights_reader.h"
#include "quant/gguf_blocks.h"

namespace qwen25 {
namespace {

using Name = std::pair<std::string_view, std::string_view>;

// Names without ".weight" and ".bias", in GGUF and in folders.
constexpr std::array<Name, 4> kGgufNames = {{
    {"token_embd", "embeddings.word_embeddings"},
    {"position_embd", "embeddings.position_embeddings"},
    {"token_types", "embeddings.token_type_embeddings"},
    {"token_embd_norm", "embeddings.LayerNorm"},
}};
constexpr std::array<Name, 8> kGgufLayerNames = {{
    {"attn_q", "attention.self.query"},
    {"attn_k", "attention.self.key"},
    {"attn_v", "attention.self.value"},
    {"attn_output", "attention.output.dense"},
    {"attn_output_norm", "attention.output.LayerNorm"},
    {"ffn_up", "intermediate.dense"},
    {"ffn_down", "output.dense"},
    {"layer_output_norm", "output.LayerNorm"},
}};

// "blk.3.ffn_up.weight" -> "encoder.layer.3.intermediate.dense.weight". A name that is not known is returned
// under "encoder.", so that it is not overlooked; that of another part is empty.
std::string FolderName(std::string_view gguf) {
  const size_t last = gguf.rfind('.');
  if (gguf.starts_with("cls.") || last == std::string_view::npos) return "";
  const std::string_view stem = gguf.substr(0, last), ending = gguf.substr(last);
  if (const auto* found = std::ranges::find(kGgufNames, stem, &Name::first); found != kGgufNames.end()) {
    return fmt::format("{}{}", found->second, ending);
  }
  constexpr std::string_view kLayer = "blk.";
  if (stem.starts_with(kLayer)) {
    const size_t dot = stem.find('.', kLayer.size());
    const std::string_view rest = dot == std::string_view::npos ? "" : stem.substr(dot + 1);
    const auto* found = std::ranges::find(kGgufLayerNames, rest, &Name::first);
    if (found != kGgufLayerNames.end()) {
      return fmt::format("encoder.layer.{}.{}{}", stem.substr(kLayer.size(), dot - kLayer.size()),
                         found->second, ending);
    }
  }
  return fmt::format("encoder.{}", gguf);
}

// TensorFlow's names of a norm's weight and bias, in folders that were converted long ago.
std::string WithoutOldEndings(std::string name) {
  for (const auto& [old, now] : {std::pair{".gamma", ".weight"}, {".beta", ".bias"}}) {
    if (name.ends_with(old)) name.replace(name.size() - std::string_view(old).size(), std::string::npos, now);
  }
  return name;
}

// What stands before "embeddings.word_embeddings.weight"; all other names of the encoder begin with it, too.
Result<std::string> FindPrefix(std::span<const TensorInfo> tensors, const std::string& origin) {
  constexpr std::string_view kEmbedding = "embeddings.word_embeddings.weight";
  for (const TensorInfo& tensor : tensors) {
    if (!tensor.name.ends_with(kEmbedding)) continue;
    return tensor.name.substr(0, tensor.name.size() - kEmbedding.size());
  }
  return NotFound("{}: the weights hold no tensor {}, which a model of architecture \"bert\" has", origin,
                  kEmbedding);
}

// Parts that sentence vectors do not need, and buffers.
bool IsKnownToBeUnused(std::string_view name) {
  return name.starts_with("pooler.") || name.starts_with("cls.") || name.starts_with("classifier.") ||
         name.ends_with("position_ids") || name.ends_with("token_type_ids");
}

}  // namespace

Status EncoderWeights::ListFolder(CheckpointReader reader) {
  folder_ = std::move(reader);
  QWEN25_RETURN_IF_ERROR(CheckTensorsNotQuantized(folder_->tensors(), origin_));
  QWEN25_TRY(const std::string prefix, FindPrefix(folder_->tensors(), origin_));
  size_t num_unknown = 0;
  std::string unknown;
  for (const TensorInfo& tensor : folder_->tensors()) {
    const bool inside = tensor.name.starts_with(prefix);
    const std::string name = WithoutOldEndings(inside ? tensor.name.substr(prefix.size()) : tensor.name);
    if (IsKnownToBeUnused(name)) continue;
    if (!inside || !(name.starts_with("embeddings.") || name.starts_with("encoder."))) {
      if (num_unknown++ == 0) unknown = tensor.name;
      continue;
    }
    const std::optional<GgmlType> type = tensor.dtype == DType::kF32    ? GgmlType::kF32
                                         : tensor.dtype == DType::kF16  ? GgmlType::kF16
                                         : tensor.dtype == DType::kBF16 ? std::optional(GgmlType::kBF16)
                                                                        : std::nullopt;
    if (!type) {
      return Unsupported("{}: {} is stored as {}; of encoders, F32, F16 and BF16 are read", origin_,
                         tensor.name, DTypeName(tensor.dtype));
    }
    tensors_[name] = {{tensor.name, *type, tensor.shape, tensor.bytes}};
  }
  if (num_unknown > 0) {
    remarks_.push_back(fmt::format("{}: the weights hold {} that an encoder does not use: {}{}", origin_,
                                   num_unknown == 1 ? "a tensor" : fmt::format("{} tensors", num_unknown),
                                   unknown, num_unknown == 1 ? "" : " and others"));
  }
  return {};
}

void EncoderWeights::ListGguf(GgufFiles files) {
  gguf_ = std::move(files);
  for (const GgufTensor* tensor : gguf_->tensors()) {
    const std::string name = FolderName(tensor->name);
    if (!name.empty()) tensors_[name] = {{tensor->name, tensor->type, tensor->shape, tensor->bytes}};
  }
}

Result<EncoderWeights> EncoderWeights::Open(const std::filesystem::path& path) {
  if (IsGgufPath(path)) {
    QWEN25_TRY(GgufFiles files, GgufFiles::Open(path));
    QWEN25_TRY(const EncoderConfig config, EncoderConfig::FromGguf(files, path.string()));
    EncoderWeights weights(path.string(), config);
    weights.ListGguf(std::move(files));
    return weights;
  }
  const std::filesystem::path file = path / "config.json";
  QWEN25_TRY(const Json json, ReadJsonFile(file.string()));
  QWEN25_RETURN_IF_ERROR(CheckConfigNotQuantized(json, path));
  QWEN25_TRY(const EncoderConfig config, EncoderConfig::FromJson(json, file.string()));
  QWEN25_TRY(CheckpointReader reader, CheckpointReader::Open(path));
  EncoderWeights weights(path.string(), config);
  QWEN25_RETURN_IF_ERROR(weights.ListFolder(std::move(reader)));
  return weights;
}

Result<const StoredTensor*> EncoderWeights::Get(const std::string& name,
                                                std::span<const uint64_t> shape) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    return NotFound("{}: the weights hold no tensor {}, which a model of {} layers has", origin_, name,
                    config_.num_hidden_layers);
  }
  const StoredTensor& tensor = found->second.tensor;
  // A matrix of one row may be stored as a vector.
  const bool same =
      std::ranges::equal(tensor.shape, shape) ||
      (shape.size() == 2 && shape[0] == 1 && std::ranges::equal(tensor.shape, shape.subspan(1)));
  if (!same) {
    return InvalidArgument("{}: {} has shape {}, expected {} by the configuration", origin_, tensor.name,
                           ShapeText(tensor.shape), ShapeText(shape));
  }
  if (!CanDecodeGguf(tensor.type)) {
    return Unsupported("{}: {} is stored as {}, which this program does not read (docs/formats/gguf.md)",
                       origin_, tensor.name, GgmlTypeName(tensor.type));
  }
  found->second.used = true;
  return &tensor;
}

Status EncoderWeights::CheckAllUsed() const {
  for (const auto& [name, entry] : tensors_) {
    if (entry.used) continue;
    return InvalidArgument(
        "{}: the weights hold a tensor {} that a model of architecture \"bert\" of {} layers does not have",
        origin_, entry.tensor.name, config_.num_hidden_layers);
  }
  return {};
}

}  // namespace qwen25
