#include "model/open_weights.h"

#include <algorithm>
#include <set>

#include "base/mmap.h"
#include "model/gguf_model.h"
#include "store/safetensors.h"

namespace qwen25 {
namespace {

// Tensors that checkpoints hold and a decoder does not need: a tied output projection written out, and the
// rotary frequencies that old exporters saved.
bool IsRedundant(const ModelConfig& config, std::string_view name) {
  return (config.tie_word_embeddings && name == "lm_head.weight") || name.ends_with("rotary_emb.inv_freq");
}

// A Hugging Face folder.
class FolderWeights : public WeightsReader {
 public:
  static Result<std::unique_ptr<WeightsReader>> Open(const std::filesystem::path& directory);

  const ModelConfig& config() const override { return config_; }
  Status Check(std::span<const NamedParameter> parameters) const override;
  Status ReadRows(const NamedParameter& named, size_t begin, size_t end, float* out) const override;
  WeightFormat StoredFormat(const NamedParameter& named) const override;
  void Release(std::span<const NamedParameter* const> parts) const override;

 private:
  FolderWeights(std::filesystem::path directory, ModelConfig config, CheckpointReader checkpoint)
      : directory_(std::move(directory)), config_(std::move(config)), checkpoint_(std::move(checkpoint)) {}

  std::filesystem::path directory_;
  ModelConfig config_;
  CheckpointReader checkpoint_;
};

Result<std::unique_ptr<WeightsReader>> FolderWeights::Open(const std::filesystem::path& directory) {
  QWEN25_TRY(ModelConfig config, ModelConfig::Load(directory / "config.json"));
  QWEN25_TRY(CheckpointReader checkpoint, CheckpointReader::Open(directory));
  // Checked before memory is taken for the weights: a wrong config.json may ask for terabytes.
  if (const TensorInfo* embedding = checkpoint.Find("model.embed_tokens.weight"); embedding != nullptr) {
    const std::vector<uint64_t> wanted = {config.vocab_size, config.hidden_size};
    if (!std::ranges::equal(embedding->shape, wanted)) {
      return InvalidArgument(
          "{}: model.embed_tokens.weight has shape {}, config.json wants {}; the two files do not "
          "belong together",
          directory.string(), ShapeText(embedding->shape), ShapeText(wanted));
    }
  }
  return std::unique_ptr<WeightsReader>(
      new FolderWeights(directory, std::move(config), std::move(checkpoint)));
}

Status FolderWeights::Check(std::span<const NamedParameter> parameters) const {
  std::set<std::string_view> wanted_names;
  for (const NamedParameter& named : parameters) {
    wanted_names.insert(named.name);
    const TensorInfo* tensor = checkpoint_.Find(named.name);
    if (tensor == nullptr) {
      return NotFound("{}: the weights hold no tensor {}; config.json wants it", directory_.string(),
                      named.name);
    }
    const std::vector<uint64_t> shape = ShapeOf(named);
    if (!std::ranges::equal(tensor->shape, shape)) {
      return InvalidArgument("{}: {} has shape {}, config.json wants {}", directory_.string(), named.name,
                             ShapeText(tensor->shape), ShapeText(shape));
    }
  }
  for (const TensorInfo& tensor : checkpoint_.tensors()) {
    if (!wanted_names.contains(tensor.name) && !IsRedundant(config_, tensor.name)) {
      return InvalidArgument("{}: the weights hold a tensor {} that a {} model of {} layers does not have",
                             directory_.string(), tensor.name, config_.model_type, config_.num_hidden_layers);
    }
  }
  return {};
}

Status FolderWeights::ReadRows(const NamedParameter& named, size_t begin, size_t end, float* out) const {
  const size_t cols = named.parameter.cols;
  const TensorInfo& tensor = *checkpoint_.Find(named.name);
  const Status status = CopyToFloat(tensor, begin * cols, {out, (end - begin) * cols}, /*check_finite=*/true);
  const size_t row_bytes = cols * DTypeSize(tensor.dtype);
  MappedFile::ReleaseBehind(tensor.bytes, begin * row_bytes, end * row_bytes);
  if (status.ok()) return status;
  return Status(status.code(), fmt::format("{}: {}", directory_.string(), status.message()));
}

WeightFormat FolderWeights::StoredFormat(const NamedParameter& named) const {
  const DType dtype = checkpoint_.Find(named.name)->dtype;
  return dtype == DType::kBF16  ? WeightFormat::kBFloat16
         : dtype == DType::kF16 ? WeightFormat::kFloat16
                                : WeightFormat::kFloat32;
}

void FolderWeights::Release(std::span<const NamedParameter* const> parts) const {
  for (const NamedParameter* part : parts) MappedFile::Release(checkpoint_.Find(part->name)->bytes);
}

}  // namespace

Result<std::unique_ptr<WeightsReader>> OpenWeights(const std::filesystem::path& path) {
  if (!IsGgufPath(path)) return FolderWeights::Open(path);
  QWEN25_TRY(GgufWeights weights, GgufWeights::Open(path));
  return std::unique_ptr<WeightsReader>(new GgufWeights(std::move(weights)));
}

}  // namespace qwen25
