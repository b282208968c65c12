#include "store/safetensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "base/all_finite.h"
#include "base/file.h"
#include "base/json.h"

namespace qwen25 {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr uint64_t kDataAlignment = 64;
constexpr const char* kCut = "the file was probably cut while it was copied or downloaded; fetch it again";

std::optional<DType> ParseDType(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(DType::kC64); ++i) {
    if (DTypeName(static_cast<DType>(i)) == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

bool IsUnsigned(const Json& value) {
  return value.is_number_unsigned();
}

// A tensor and its place in the data section.
struct PlacedTensor {
  TensorInfo tensor;
  uint64_t begin = 0, end = 0;
};

// Parses one entry of the header. CheckLayout checks that the file has the bytes.
Result<PlacedTensor> ParseEntry(const std::string& path, const std::string& name, const Json& entry) {
  const auto bad = [&](std::string_view what) { return Corrupt("{}: tensor {}: {}", path, name, what); };
  if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") ||
      !entry.contains("data_offsets")) {
    return bad("expected an object with dtype, shape and data_offsets");
  }
  PlacedTensor place;
  TensorInfo& tensor = place.tensor;
  tensor.name = name;
  const std::optional<DType> dtype =
      entry["dtype"].is_string() ? ParseDType(entry["dtype"].get<std::string>()) : std::nullopt;
  if (!dtype) {
    return Unsupported("{}: tensor {}: dtype {} is unknown", path, name, entry["dtype"].dump());
  }
  tensor.dtype = *dtype;
  if (!entry["shape"].is_array() || !std::ranges::all_of(entry["shape"], IsUnsigned)) {
    return bad("shape is not a list of sizes");
  }
  uint64_t num_bytes = DTypeSize(tensor.dtype);
  for (const Json& size : entry["shape"]) {
    tensor.shape.push_back(size.get<uint64_t>());
    if (__builtin_mul_overflow(num_bytes, tensor.shape.back(), &num_bytes))
      return bad("shape is too large to be true");
  }
  const Json& offsets = entry["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !std::ranges::all_of(offsets, IsUnsigned)) {
    return bad("data_offsets are not two offsets");
  }
  place.begin = offsets[0].get<uint64_t>();
  place.end = offsets[1].get<uint64_t>();
  if (place.begin > place.end) {
    return bad(fmt::format("data_offsets {} and {} are out of order", place.begin, place.end));
  }
  if (place.end - place.begin != num_bytes) {
    return bad(fmt::format("holds {} bytes, dtype and shape require {}", place.end - place.begin, num_bytes));
  }
  return place;
}

// Ignores values that are not strings: no reader here needs them.
Status ParseMetadata(const std::string& path, const Json& entry,
                     std::map<std::string, std::string>& metadata) {
  if (entry.is_null()) return {};
  if (!entry.is_object()) return Corrupt("{}: __metadata__ is not an object", path);
  for (const auto& [key, value] : entry.items()) {
    if (value.is_string()) metadata[key] = value.get<std::string>();
  }
  return {};
}

// Adds an entry of the header. An entry may come twice if both are the same.
Status AddPlace(const std::string& path, PlacedTensor place,
                std::map<std::string, size_t, std::less<>>& by_name, std::vector<PlacedTensor>& places) {
  const auto [at, is_new] = by_name.emplace(place.tensor.name, places.size());
  if (is_new) {
    places.push_back(std::move(place));
    return {};
  }
  const PlacedTensor& other = places[at->second];
  if (other.tensor.dtype == place.tensor.dtype && other.tensor.shape == place.tensor.shape &&
      other.begin == place.begin && other.end == place.end) {
    return {};
  }
  return Corrupt("{}: tensor {} comes twice, in different places", path, place.tensor.name);
}

// The tensors, sorted by place, must cover the whole data section without gap or overlap.
Status CheckLayout(const std::string& path, std::span<const PlacedTensor> places, uint64_t num_bytes) {
  uint64_t next = 0;
  for (const PlacedTensor& place : places) {
    if (place.begin != next) {
      return Corrupt("{}: tensor {} starts at byte {} of the data, the one before it ends at {}", path,
                     place.tensor.name, place.begin, next);
    }
    next = place.end;
  }
  if (next > num_bytes) {
    return Corrupt("{}: the tensors fill {} bytes, the file holds {} of them: {} bytes are missing; {}", path,
                   next, num_bytes, next - num_bytes, kCut);
  }
  if (next != num_bytes) {
    return Corrupt("{}: {} bytes follow the last tensor; the file is longer than its header says", path,
                   num_bytes - next);
  }
  return {};
}

// The files of a folder whose index is missing, by their names: every part of
// "model-00001-of-00003.safetensors". Empty where there is none.
Result<std::vector<std::string>> ShardsWithoutIndex(const std::filesystem::path& directory) {
  std::vector<std::string> shards;
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with("model-") && name.ends_with(".safetensors")) shards.push_back(name);
  }
  std::ranges::sort(shards);
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string count = shards.back().substr(std::min<size_t>(shards.back().size(), 15), 5);
    const std::string wanted = fmt::format("model-{:05}-of-{}.safetensors", i + 1, count);
    const bool is_last = i + 1 == shards.size();
    if (shards[i] == wanted && (!is_last || fmt::format("{:05}", i + 1) == count)) continue;
    return NotFound(
        "{}: there is no model.safetensors.index.json, and without it {} should follow; fetch what is "
        "missing",
        directory.string(), is_last && shards[i] == wanted ? "another shard" : wanted);
  }
  return shards;
}

// The files that hold a folder's weights; `weight_map` is what an index says, tensor -> file.
Result<std::vector<std::string>> FilesOf(const std::filesystem::path& directory, Json& weight_map) {
  const auto has = [&](const char* name) {
    std::error_code ignored;  // of a folder that cannot be read: then opening the file says why
    return std::filesystem::exists(directory / name, ignored);
  };
  if (has("model.safetensors")) return std::vector<std::string>{"model.safetensors"};
  if (has("model.safetensors.index.json")) {
    const std::string index = (directory / "model.safetensors.index.json").string();
    QWEN25_TRY(const Json json, ReadJsonFile(index));
    const auto map = json.find("weight_map");
    if (!json.is_object() || map == json.end() || !map->is_object()) {
      return Corrupt("{}: expected an object with \"weight_map\"", index);
    }
    std::vector<std::string> files;
    for (const auto& [name, file] : map->items()) {
      const std::string text = file.is_string() ? file.get<std::string>() : "";
      const bool plain =
          !text.empty() && text != "." && text != ".." && std::filesystem::path(text).filename() == text;
      if (!plain) return Corrupt("{}: tensor {} names no file of this folder: {}", index, name, file.dump());
      if (std::ranges::find(files, text) == files.end()) files.push_back(text);
    }
    weight_map = *map;
    return files;
  }
  QWEN25_TRY(std::vector<std::string> shards, ShardsWithoutIndex(directory));
  if (!shards.empty()) return shards;
  if (has("pytorch_model.bin") || has("pytorch_model.bin.index.json")) {
    return Unsupported(
        "{}: holds pytorch_model.bin files, which can run programs when they are read; convert them to "
        "model.safetensors",
        directory.string());
  }
  return NotFound(
      "{}: there is neither model.safetensors nor model.safetensors.index.json; is this a model folder?",
      directory.string());
}

template <typename Convert>
void ConvertAll(std::span<const std::byte> bytes, std::span<float> out, const Convert& convert) {
  for (size_t i = 0; i < out.size(); ++i) {
    uint16_t bits;
    std::memcpy(&bits, bytes.data() + 2 * i, sizeof bits);
    out[i] = convert(bits);
  }
}

// Writes floats as `dtype`, in pieces that stay in cache.
Status WriteFloats(AtomicFile& file, std::span<const float> floats, DType dtype) {
  if (dtype == DType::kF32) return file.Write(std::as_bytes(floats));
  std::vector<uint16_t> narrow;
  for (size_t begin = 0; begin < floats.size(); begin += size_t{1} << 16) {
    const auto part = floats.subspan(begin, std::min(floats.size() - begin, size_t{1} << 16));
    narrow.resize(part.size());
    std::ranges::transform(part, narrow.begin(), dtype == DType::kBF16 ? FloatToBFloat16 : FloatToFloat16);
    QWEN25_RETURN_IF_ERROR(file.Write(std::as_bytes(std::span(narrow))));
  }
  return {};
}

}  // namespace

Result<SafetensorsReader> SafetensorsReader::Open(const std::filesystem::path& path) {
  QWEN25_TRY(MappedFile file, MappedFile::Open(path));
  SafetensorsReader reader(std::move(file));
  QWEN25_RETURN_IF_ERROR(reader.Parse(path.string()));
  return reader;
}

Status SafetensorsReader::Parse(const std::string& path) {
  const std::span<const std::byte> file = file_.bytes();
  const std::string_view beginning(reinterpret_cast<const char*>(file.data()),
                                   std::min<size_t>(file.size(), 64));
  if (IsGitLfsPointer(beginning)) return Corrupt("{}: {}", path, kGitLfsPointer);
  if (file.size() < kLengthBytes) {
    return Corrupt("{}: {} bytes are too few for a safetensors file; {}", path, file.size(), kCut);
  }
  uint64_t header_bytes;
  std::memcpy(&header_bytes, file.data(), sizeof header_bytes);
  if (header_bytes > kMaxHeaderBytes) {
    return Corrupt("{}: claims a header of {} bytes, the format allows {}; this is not a safetensors file",
                   path, header_bytes, kMaxHeaderBytes);
  }
  if (header_bytes > file.size() - kLengthBytes) {
    return Corrupt("{}: claims a header of {} bytes, the file has only {} after the length; {}", path,
                   header_bytes, file.size() - kLengthBytes, kCut);
  }
  const std::string_view header_text(reinterpret_cast<const char*>(file.data()) + kLengthBytes, header_bytes);
  std::vector<PlacedTensor> places;
  QWEN25_RETURN_IF_ERROR(ForEachMember(header_text, path + " (header)",
                                       [&](const std::string& name, const Json& entry) -> Status {
                                         if (name == "__metadata__")
                                           return ParseMetadata(path, entry, metadata_);
                                         QWEN25_TRY(PlacedTensor place, ParseEntry(path, name, entry));
                                         return AddPlace(path, std::move(place), by_name_, places);
                                       }));
  // Empty tensors sort before the tensor that starts at the same byte.
  std::ranges::stable_sort(places, {},
                           [](const PlacedTensor& place) { return std::pair(place.begin, place.end); });
  const std::span<const std::byte> data = file.subspan(kLengthBytes + header_bytes);
  QWEN25_RETURN_IF_ERROR(CheckLayout(path, places, data.size()));
  for (PlacedTensor& place : places) {
    place.tensor.bytes = data.subspan(place.begin, place.end - place.begin);
    by_name_[place.tensor.name] = tensors_.size();
    tensors_.push_back(std::move(place.tensor));
  }
  return {};
}

const TensorInfo* SafetensorsReader::Find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

Result<CheckpointReader> CheckpointReader::Open(const std::filesystem::path& directory) {
  CheckpointReader checkpoint;
  Json weight_map = Json::object();
  QWEN25_TRY(const std::vector<std::string> files, FilesOf(directory, weight_map));
  for (const std::string& file : files) {
    QWEN25_TRY(SafetensorsReader shard, SafetensorsReader::Open(directory / file));
    for (const TensorInfo& tensor : shard.tensors()) {
      const auto [place, is_new] = checkpoint.by_name_.emplace(tensor.name, checkpoint.tensors_.size());
      if (is_new) {
        checkpoint.tensors_.push_back(tensor);
        continue;
      }
      const TensorInfo& other = checkpoint.tensors_[place->second];
      if (other.dtype == tensor.dtype && other.shape == tensor.shape &&
          std::ranges::equal(other.bytes, tensor.bytes)) {
        continue;  // the same tensor twice is harmless
      }
      return Corrupt("{}: tensor {} is in more than one shard, again and different in {}", directory.string(),
                     tensor.name, file);
    }
    checkpoint.shards_.push_back(std::move(shard));
  }
  for (const auto& [name, file] : weight_map.items()) {
    if (checkpoint.Find(name) == nullptr) checkpoint.missing_.emplace(name, file.get<std::string>());
  }
  return checkpoint;
}

const TensorInfo* CheckpointReader::Find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

std::string_view CheckpointReader::MissingFrom(std::string_view name) const {
  const auto found = missing_.find(name);
  return found == missing_.end() ? std::string_view() : found->second;
}

Status CopyToFloat(const TensorInfo& tensor, uint64_t first, std::span<float> out, bool check_finite) {
  QWEN25_CHECK(first <= tensor.NumElements() && out.size() <= tensor.NumElements() - first);
  const auto bytes =
      tensor.bytes.subspan(first * DTypeSize(tensor.dtype), out.size() * DTypeSize(tensor.dtype));
  switch (tensor.dtype) {
    case DType::kF32:
      if (!out.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
      break;
    case DType::kF16:
      ConvertAll(bytes, out, Float16ToFloat);
      break;
    case DType::kBF16:
      ConvertAll(bytes, out, BFloat16ToFloat);
      break;
    case DType::kF64:
      for (size_t i = 0; i < out.size(); ++i) {
        double value;
        std::memcpy(&value, bytes.data() + 8 * i, sizeof value);
        out[i] = static_cast<float>(value);
      }
      break;
    default:
      return Unsupported("tensor {} is stored as {}, expected F32, F16, BF16 or F64", tensor.name,
                         DTypeName(tensor.dtype));
  }
  if (!check_finite || AllFinite(out)) return {};
  for (size_t i = 0; i < out.size(); ++i) {
    if (!std::isfinite(out[i])) {
      return Corrupt(
          "tensor {} holds {} at element {}; the training run that wrote it diverged, or the file is damaged",
          tensor.name, out[i], first + i);
    }
  }
  return {};
}

Status WriteSafetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                        const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    uint64_t num_elements = 1;
    for (uint64_t size : tensor.shape) num_elements *= size;
    const uint64_t num_bytes = num_elements * DTypeSize(tensor.dtype);
    QWEN25_CHECK(tensor.bytes.empty() ? tensor.floats.size() == num_elements
                                      : tensor.bytes.size() == num_bytes);
    QWEN25_CHECK(!header.contains(tensor.name));
    header[tensor.name] = {{"dtype", DTypeName(tensor.dtype)},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, offset + num_bytes}}};
    offset += num_bytes;
  }
  std::string text = header.dump();
  text.resize(
      (kLengthBytes + text.size() + kDataAlignment - 1) / kDataAlignment * kDataAlignment - kLengthBytes,
      ' ');
  const uint64_t header_bytes = text.size();
  QWEN25_TRY(AtomicFile file, AtomicFile::Open(path));
  QWEN25_RETURN_IF_ERROR(file.Write(std::as_bytes(std::span(&header_bytes, 1))));
  QWEN25_RETURN_IF_ERROR(file.Write(text));
  for (const TensorToWrite& tensor : tensors) {
    if (!tensor.bytes.empty()) {
      QWEN25_RETURN_IF_ERROR(file.Write(tensor.bytes));
    } else {
      QWEN25_RETURN_IF_ERROR(WriteFloats(file, tensor.floats, tensor.dtype));
    }
  }
  return file.Commit();
}

}  // namespace qwen25
