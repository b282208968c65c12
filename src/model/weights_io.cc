// Reading and writing a model's folder.
#include <algorithm>
#include <set>

#include "base/file.h"
#include "model/model.h"
#include "model/packed_cache.h"
#include "store/safetensors.h"

namespace qwen25 {
namespace {

constexpr const char* kPackedCacheVersion = "1";  // another one where the layout of packed weights changes

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

// The weights of a Hugging Face folder, checked against its config.json: every parameter is there in its
// shape, and nothing else.
class FolderWeights {
 public:
  static Result<FolderWeights> Open(const std::filesystem::path& directory);

  const ModelConfig& config() const { return config_; }
  // Every parameter of the model that `config` describes must be there in its shape, and nothing else.
  Status Check(std::span<const NamedParameter> parameters) const;
  // Rows [begin, end) of a parameter in float32; a NaN or an infinity is an error.
  Status ReadRows(const NamedParameter& named, size_t begin, size_t end, float* out) const;

 private:
  FolderWeights(std::filesystem::path directory, ModelConfig config, CheckpointReader checkpoint)
      : directory_(std::move(directory)), config_(std::move(config)), checkpoint_(std::move(checkpoint)) {}

  std::filesystem::path directory_;
  ModelConfig config_;
  CheckpointReader checkpoint_;
};

Result<FolderWeights> FolderWeights::Open(const std::filesystem::path& directory) {
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
  return FolderWeights(directory, std::move(config), std::move(checkpoint));
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
  const Status status = CopyToFloat(*checkpoint_.Find(named.name), begin * cols, {out, (end - begin) * cols},
                                    /*check_finite=*/true);
  if (status.ok()) return status;
  return Status(status.code(), fmt::format("{}: {}", directory_.string(), status.message()));
}

}  // namespace

Result<Model> Model::Load(const std::filesystem::path& directory, bool with_gradients) {
  QWEN25_TRY(const FolderWeights weights, FolderWeights::Open(directory));
  Model model(weights.config(), with_gradients);
  QWEN25_RETURN_IF_ERROR(weights.Check(model.parameters()));
  for (const NamedParameter& named : model.parameters()) {
    QWEN25_RETURN_IF_ERROR(weights.ReadRows(named, 0, named.parameter.rows, named.parameter.data));
  }
  return model;
}

Result<WeightFormat> Model::StoredFormat(const std::filesystem::path& directory) {
  QWEN25_TRY(const CheckpointReader checkpoint, CheckpointReader::Open(directory));
  const TensorInfo* embedding = checkpoint.Find("model.embed_tokens.weight");
  if (embedding == nullptr) {
    return NotFound("{}: the weights hold no tensor model.embed_tokens.weight", directory.string());
  }
  return embedding->dtype == DType::kBF16  ? WeightFormat::kBFloat16
         : embedding->dtype == DType::kF16 ? WeightFormat::kFloat16
                                           : WeightFormat::kFloat32;
}

Result<Model> Model::LoadPacked(const std::filesystem::path& directory, WeightFormat format,
                                ThreadPool& threads) {
  std::error_code ignored;
  if (std::filesystem::exists(PackedCachePath(directory, format), ignored)) {
    QWEN25_TRY(const ModelConfig config, ModelConfig::Load(directory / "config.json"));
    Result<Model> cached = LoadPackedCache(config, format, directory);
    if (cached.ok()) return cached;  // else out of date or damaged: packed again from what it was made from
  }
  QWEN25_TRY(const FolderWeights weights, FolderWeights::Open(directory));
  QWEN25_RETURN_IF_ERROR(weights.Check(Model(weights.config(), Storage::kPacked).parameters()));
  return Pack(weights.config(), format, threads,
              [&](const NamedParameter& named, size_t begin, size_t end, float* out) {
                return weights.ReadRows(named, begin, end, out);
              });
}

// Matrices and vectors of another size are those of another program version or config.
Result<Model> Model::LoadPackedCache(const ModelConfig& config, WeightFormat format,
                                     const std::filesystem::path& directory) {
  const std::filesystem::path path = PackedCachePath(directory, format);
  QWEN25_TRY(SafetensorsReader file, SafetensorsReader::Open(path));
  QWEN25_TRY(const std::string source, PackedCacheSource(directory));
  const auto made_from = file.metadata().find("source"), version = file.metadata().find("version");
  if (made_from == file.metadata().end() || made_from->second != source || version == file.metadata().end() ||
      version->second != kPackedCacheVersion) {
    return NotFound("{}: was made from other weights", path.string());
  }
  Model model(config, Storage::kPacked);
  model.num_packed_bytes_ = model.PlacePacked(format, nullptr);
  const TensorInfo *matrices = file.Find("matrices"), *vectors = file.Find("vectors");
  if (matrices == nullptr || vectors == nullptr || matrices->bytes.size() != model.num_packed_bytes_ ||
      vectors->dtype != DType::kF32 || vectors->NumElements() != model.num_weights_ ||
      reinterpret_cast<uintptr_t>(matrices->bytes.data()) % 64 != 0) {
    return Corrupt("{}: does not hold what config.json describes", path.string());
  }
  QWEN25_RETURN_IF_ERROR(CopyToFloat(*vectors, 0, model.weights(), /*check_finite=*/true));
  model.PlacePacked(format, matrices->bytes.data());
  model.packed_file_ = std::move(file);
  return model;
}

Status Model::WritePackedCache(const std::filesystem::path& directory) const {
  QWEN25_CHECK(packed_only_);
  if (packed_file_) return {};  // it is the file
  QWEN25_TRY(const std::string source, PackedCacheSource(directory));
  const std::vector<TensorToWrite> tensors = {
      TensorToWrite::FromBytes("matrices", DType::kU8, {num_packed_bytes_},
                               {packed_.data(), num_packed_bytes_}),
      TensorToWrite::FromFloat("vectors", {num_weights_}, weights())};
  return WriteSafetensors(PackedCachePath(directory, embed_tokens.packed.format), tensors,
                          {{"source", source}, {"version", kPackedCacheVersion}});
}

Status Model::Save(const std::filesystem::path& directory, DType dtype) const {
  QWEN25_CHECK(!packed_only_);
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
