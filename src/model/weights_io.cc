// Reads and writes a model's folder or file.
#include <algorithm>

#include "base/file.h"
#include "model/model.h"
#include "model/open_weights.h"
#include "model/packed_cache.h"
#include "quant/weight_range.h"
#include "store/safetensors.h"

namespace qwen25 {
namespace {

// To be raised when the layout of packed weights changes, or the numbers that packing gives.
constexpr const char* kPackedCacheVersion = "4";

}  // namespace

Result<Model> Model::Load(const std::filesystem::path& path) {
  QWEN25_TRY(const std::unique_ptr<WeightsReader> source, OpenWeights(path));
  return Load(*source);
}

Result<Model> Model::Load(const WeightsReader& source) {
  QWEN25_RETURN_IF_ERROR(source.Check(ParametersOf(source.config())));
  Model model(source.config());
  model.remarks_.assign(source.remarks().begin(), source.remarks().end());
  for (const NamedParameter& named : model.parameters()) {
    QWEN25_RETURN_IF_ERROR(source.ReadRows(named, 0, named.parameter.rows, named.parameter.data));
  }
  return model;
}

Result<Model> Model::LoadPacked(const WeightsReader& source, std::optional<WeightFormat> format,
                                ThreadPool& threads) {
  QWEN25_RETURN_IF_ERROR(source.Check(ParametersOf(source.config())));
  Model model(source.config(), Storage::kPacked);
  model.remarks_.assign(source.remarks().begin(), source.remarks().end());
  QWEN25_RETURN_IF_ERROR(model.PackFrom(source, model.ChooseFormats(source, format), threads));
  return model;
}

Result<Model> Model::LoadPacked(const std::filesystem::path& path, std::optional<WeightFormat> format,
                                ThreadPool& threads, bool use_cache) {
  std::string state;
  if (use_cache) {
    QWEN25_TRY(const std::vector<std::filesystem::path> files, PackedCacheSources(path));
    QWEN25_TRY(state, StateOfFiles(files));
  }
  QWEN25_TRY(const std::unique_ptr<WeightsReader> source, OpenWeights(path));
  QWEN25_RETURN_IF_ERROR(source->Check(ParametersOf(source->config())));
  Model model(source->config(), Storage::kPacked);
  model.remarks_.assign(source->remarks().begin(), source->remarks().end());
  model.source_state_ = std::move(state);
  const std::vector<WeightFormat> formats = model.ChooseFormats(*source, format);
  std::error_code ignored;
  if (use_cache && std::filesystem::exists(PackedCachePath(path, formats), ignored)) {
    if (model.MapPackedCache(formats, path, threads).ok()) return model;
    // The cache is out of date or damaged: pack the weights again.
  }
  QWEN25_RETURN_IF_ERROR(model.PackFrom(*source, formats, threads));
  return model;
}

// Tensors of other sizes come from another version of the program or of config.json.
Status Model::MapPackedCache(std::span<const WeightFormat> formats, const std::filesystem::path& model_path,
                             ThreadPool& threads) {
  const std::filesystem::path path = PackedCachePath(model_path, formats);
  QWEN25_TRY(SafetensorsReader file, SafetensorsReader::Open(path));
  const auto holds = [&](const char* key, std::string_view value) {
    const auto found = file.metadata().find(key);
    return found != file.metadata().end() && found->second == value;
  };
  if (!holds("formats", PackedCacheFormats(formats)) || !holds("version", kPackedCacheVersion)) {
    return NotFound("{}: was made for other weight formats or by another version of the program",
                    path.string());
  }
  const size_t num_packed_bytes = PlacePacked(formats, nullptr);
  const TensorInfo *matrices = file.Find("matrices"), *vectors = file.Find("vectors");
  if (matrices == nullptr || vectors == nullptr || matrices->bytes.size() != num_packed_bytes ||
      vectors->dtype != DType::kF32 || vectors->NumElements() != weights().size() ||
      reinterpret_cast<uintptr_t>(matrices->bytes.data()) % 64 != 0) {
    return Corrupt("{}: does not hold what the model's configuration describes", path.string());
  }
  QWEN25_RETURN_IF_ERROR(CheckPackedCache(path, model_path, file, threads));
  QWEN25_RETURN_IF_ERROR(CopyToFloat(*vectors, 0, weights(), /*check_finite=*/true));
  num_packed_bytes_ = num_packed_bytes;
  packed_formats_.assign(formats.begin(), formats.end());
  PlacePacked(formats, matrices->bytes.data());
  packed_file_ = std::move(file);
  return {};
}

Status Model::WritePackedCache(const std::filesystem::path& path, ThreadPool& threads) const {
  QWEN25_CHECK(packed_only_);
  if (packed_file_) return {};  // the model was mapped from it
  QWEN25_TRY(const std::vector<std::filesystem::path> files, PackedCacheSources(path));
  QWEN25_TRY(const std::string source, HashOfFiles(files, threads));
  QWEN25_TRY(const std::string state, StateOfFiles(files));
  if (state != source_state_) {
    return InvalidArgument("{}: the model's files changed while it was loaded; start again", path.string());
  }
  const std::vector<TensorToWrite> tensors = {
      TensorToWrite::FromBytes("matrices", DType::kU8, {num_packed_bytes_},
                               {packed_.data(), num_packed_bytes_}),
      TensorToWrite::FromFloat("vectors", {weights().size()}, weights())};
  const std::vector<std::span<const std::byte>> parts = {{packed_.data(), num_packed_bytes_},
                                                         std::as_bytes(weights())};
  const std::filesystem::path cache = PackedCachePath(path, packed_formats_);
  if (const std::filesystem::path folder = PackedCacheFolder(path); !folder.empty()) {
    QWEN25_RETURN_IF_ERROR(CreateDirectories(folder));
  }
  QWEN25_RETURN_IF_ERROR(WriteSafetensors(cache, tensors,
                                          {{"content", HashOfParts(parts, threads)},
                                           {"formats", PackedCacheFormats(packed_formats_)},
                                           {"source", source},
                                           {"version", kPackedCacheVersion}}));
  RememberPackedCache(cache, path);
  return {};
}

Status Model::Save(const std::filesystem::path& directory, DType dtype) const {
  QWEN25_CHECK(!packed_only_);
  if (dtype == DType::kF16) {
    for (const NamedParameter& named : parameters()) {
      const std::span<const float> values(named.parameter.data, named.parameter.rows * named.parameter.cols);
      QWEN25_RETURN_IF_ERROR(
          CheckWeightsFit(values, LargestWeight(WeightFormat::kFloat16), "float16", named.name));
    }
  }
  QWEN25_RETURN_IF_ERROR(CreateDirectories(directory));
  std::vector<TensorToWrite> tensors;
  for (const NamedParameter& named : parameters()) {
    const std::span<const float> values(named.parameter.data, named.parameter.rows * named.parameter.cols);
    tensors.push_back(TensorToWrite::FromFloat(named.name, ShapeOf(named), values, dtype));
  }
  QWEN25_RETURN_IF_ERROR(WriteSafetensors(directory / "model.safetensors", tensors, {{"format", "pt"}}));
  Json config = config_.ToJson();
  config["torch_dtype"] = dtype == DType::kF32 ? "float32" : dtype == DType::kF16 ? "float16" : "bfloat16";
  return WriteFileAtomically(directory / "config.json", config.dump(2) + "\n");
}

}  // namespace qwen25
