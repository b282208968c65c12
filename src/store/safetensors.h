// The safetensors format: 8 bytes of header length, a JSON header {name: {dtype, shape, data_offsets}}, then
// the bytes of the tensors, little-endian. Source: the format's description in huggingface/safetensors.
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

// One file, mapped, with a checked header: every tensor lies inside the file, none overlaps another, and
// sizes agree with shapes.
class SafetensorsReader {
 public:
  static Result<SafetensorsReader> Open(const std::filesystem::path& path);

  // Null when there is none of that name.
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

// The weights of a Hugging Face folder: model.safetensors, or the shards that model.safetensors.index.json
// names.
class CheckpointReader {
 public:
  static Result<CheckpointReader> Open(const std::filesystem::path& directory);

  const TensorInfo* Find(std::string_view name) const;
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  // The file in which the index places a tensor that no file holds; empty if it names none. Readers that do
  // not need the tensor may go on.
  std::string_view MissingFrom(std::string_view name) const;

 private:
  std::map<std::string, std::string, std::less<>> missing_;  // tensor -> file
  std::vector<SafetensorsReader> shards_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, size_t, std::less<>> by_name_;
};

// Converts float32, float16, bfloat16 or float64 numbers, out.size() of them from number `first` on. With
// `check_finite` a NaN or infinity is kCorrupt and named by its place; another dtype is kUnsupported.
Status CopyToFloat(const TensorInfo& tensor, uint64_t first, std::span<float> out, bool check_finite);

// A tensor to be written: float32 numbers in memory, stored as `dtype` (kF32, kF16 or kBF16), or raw bytes.
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

// Replaces `path` atomically. Tensors are written in the given order, the first one 64-byte aligned.
Status WriteSafetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                        const std::map<std::string, std::string>& metadata = {});

}  // namespace qwen25
