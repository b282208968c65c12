// Reading and writing a model's folder.
#include <algorithm>
#include <set>

#include "base/file.h"
#include "model/model.h"
#include "store/safetensors.h"

namespace qwen25 {
namespace {

std::string ShapeText(std::span<const uint64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::vector<uint64_t> ShapeOf(const NamedParameter& named) {
  if (named.is_vector) return {named.parameter.cols};
  return {named.parameter.rows, named.parameter.cols};
}

// Tensors that checkpoints hold and a decoder does not need: a tied output projection written out, and the
// rotary frequencies that old exporters saved.
bool IsRedundant(const ModelConfig& config, std::string_view name) {
  return (config.tie_word_embeddings && name == "lm_head.weight") || name.ends_with("rotary_emb.inv_freq");
}

}  // namespace

Result<Model> Model::Load(const std::filesystem::path& directory, bool with_gradients) {
  QWEN25_TRY(const ModelConfig config, ModelConfig::Load(directory / "config.json"));
  QWEN25_TRY(const CheckpointReader checkpoint, CheckpointReader::Open(directory));
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
  Model model(config, with_gradients);
  std::set<std::string_view> wanted_names;
  for (const NamedParameter& named : model.parameters()) {
    wanted_names.insert(named.name);
    const TensorInfo* tensor = checkpoint.Find(named.name);
    if (tensor == nullptr) {
      return NotFound("{}: the weights hold no tensor {}; config.json wants it", directory.string(),
                      named.name);
    }
    const std::vector<uint64_t> shape = ShapeOf(named);
    if (!std::ranges::equal(tensor->shape, shape)) {
      return InvalidArgument("{}: {} has shape {}, config.json wants {}", directory.string(), named.name,
                             ShapeText(tensor->shape), ShapeText(shape));
    }
    const std::span<float> out(named.parameter.data, named.parameter.rows * named.parameter.cols);
    const Status status = CopyToFloat(*tensor, out, /*check_finite=*/true);
    if (!status.ok())
      return Status(status.code(), fmt::format("{}: {}", directory.string(), status.message()));
  }
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    if (!wanted_names.contains(tensor.name) && !IsRedundant(config, tensor.name)) {
      return InvalidArgument("{}: the weights hold a tensor {} that a {} model of {} layers does not have",
                             directory.string(), tensor.name, config.model_type, config.num_hidden_layers);
    }
  }
  return model;
}

Status Model::Save(const std::filesystem::path& directory, DType dtype) const {
  QWEN25_RETURN_IF_ERROR(CreateDirectories(directory));
  std::vector<TensorToWrite> tensors;
  for (const NamedParameter& named : parameters_) {
    const std::span<const float> values(named.parameter.data, named.parameter.rows * named.parameter.cols);
    tensors.push_back(TensorToWrite::FromFloat(named.name, ShapeOf(named), values, dtype));
  }
  QWEN25_RETURN_IF_ERROR(WriteSafetensors(directory / "model.safetensors", tensors, {{"format", "pt"}}));
  Json config = config_.ToJson();
  config["torch_dtype"] = dtype == DType::kF32 ? "float32" : dtype == DType::kF16 ? "float16" : "bfloat16";
  return WriteFileAtomically(directory / "config.json", config.dump(2) + "\n");
}

}  // namespace qwen25
