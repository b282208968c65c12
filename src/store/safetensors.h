// The safetensors format: the header's length (8 bytes), a JSON header {name: {dtype, shape, data_offsets}},
// then the tensors' bytes; little-endian. Source: the format's description in huggingface/safetensors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "base/mmap.h"
#include "base/status.h"

namespace qwen25 {

struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<uint64_t> shape;
  std::span<const std::byte> bytes;  // into the mapped file

  uint64_t NumElements() const { return bytes.size() / DTypeSize(dtype); }
};

// One mapped file with a checked header: the tensors fill the data section without gap or overlap, and sizes
// agree with shapes.
class SafetensorsReader {
 public:
  // kCorrupt, kUnsupported (unknown dtype), or an error of reading.
  static Result<SafetensorsReader> Open(const std::filesystem::path& path);

  // Null if there is none of that name.
  const TensorInfo* Find(std::string_view name) const;
  // By ascending offset in the file.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  explicit SafetensorsReader(MappedFile file) : file_(std::move(file)) {}
  Status Parse(const std::string& path);

  MappedFile file_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, size_t, std::less<>> by_name_;
  std::map<std::string, std::string> metadata_;
};

// The weights in a Hugging Face folder: model.safetensors, or the shards named by
// model.safetensors.index.json.
class CheckpointReader {
 public:
  // Errors as SafetensorsReader::Open; kNotFound if the folder has neither file, kUnsupported if it has only
  // pytorch_model.bin.
  static Result<CheckpointReader> Open(const std::filesystem::path& directory);

  const TensorInfo* Find(std::string_view name) const;
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  // For a tensor that no file holds: the file that should hold it according to the index, or empty. A missing
  // tensor is an error only for readers that need it.
  std::string_view MissingFrom(std::string_view name) const;

 private:
  std::map<std::string, std::string, std::less<>> missing_;  // tensor -> file
  std::vector<SafetensorsReader> shards_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, size_t, std::less<>> by_name_;
};

// Converts out.size() numbers of a float32, float16, bfloat16 or float64 tensor, beginning with number
// `first`. kUnsupported for another dtype; with `check_finite`, kCorrupt, naming the place, for a NaN or an
// infinity.
Status CopyToFloat(const TensorInfo& tensor, uint64_t first, std::span<float> out, bool check_finite);

// A tensor to write: float32 numbers, which are stored as `dtype` (kF32, kF16 or kBF16), or raw bytes of any
// dtype.
struct TensorToWrite {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<uint64_t> shape;
  std::span<const float> floats;     // either
  std::span<const std::byte> bytes;  // or

  static TensorToWrite FromFloat(std::string name, std::vector<uint64_t> shape, std::span<const float> values,
                                 DType dtype = DType::kF32) {
    return {std::move(name), dtype, std::move(shape), values, {}};
  }
  static TensorToWrite FromBytes(std::string name, DType dtype, std::vector<uint64_t> shape,
                                 std::span<const std::byte> bytes) {
    return {std::move(name), dtype, std::move(shape), {}, bytes};
  }
};

// Writes a file, atomically replacing `path`. Tensors are written in the given order; the data section begins
// at a multiple of 64 bytes.
Status WriteSafetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                        const std::map<std::string, std::string>& metadata = {});

}  // namespace qwen25
