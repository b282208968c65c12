// Writes safetensors files piece by piece: files that are larger than RAM, or whose size is not known in
// advance.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/file.h"
#include "base/status.h"

namespace qwen25 {

// Tensors are written in sequence, each row by row; the number of rows need not be known in advance. Open
// leaves room for the header at the start of the file. Commit fills it and replaces `path`, which does not
// change before.
class SafetensorsStream {
 public:
  // `header_bytes` is the room for the JSON header: about 120 bytes for each tensor, plus the metadata.
  static Result<SafetensorsStream> Open(const std::filesystem::path& path, size_t header_bytes);

  // Ends the current tensor and begins one of shape [rows, row_shape...], with sizes > 0 and a new name.
  void Begin(std::string name, DType dtype, std::vector<uint64_t> row_shape);
  // Appends bytes of the tensor's rows, little-endian; a row may come in parts.
  Status Append(std::span<const std::byte> bytes);

  // Names and metadata must be UTF-8. kResourceExhausted if the header needs more than `header_bytes`.
  Status Commit(const std::map<std::string, std::string>& metadata);

 private:
  struct Tensor {
    std::string name;
    DType dtype;
    std::vector<uint64_t> row_shape;
    uint64_t begin;  // in the data section
  };

  SafetensorsStream(AtomicFile file, size_t header_bytes)
      : file_(std::move(file)), header_bytes_(header_bytes) {}
  uint64_t DataBytes() const;
  std::string Header(const std::map<std::string, std::string>& metadata) const;

  AtomicFile file_;
  size_t header_bytes_;
  std::vector<Tensor> tensors_;
};

}  // namespace qwen25
