// Safetensors files that are written piece by piece: larger than RAM, or of a size that the end decides.
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

// Tensors come one after the other, each row by row; the number of rows is known when the last one is there.
// Room for the header stays free at the start of the file, and is filled by Commit, which gives the file its
// name: before that, and where Commit is never called, `path` is as it was.
class SafetensorsStream {
 public:
  // `header_bytes` is the most that the header may need: about 120 for each tensor, and the metadata.
  static Result<SafetensorsStream> Open(const std::filesystem::path& path, size_t header_bytes);

  // Ends the tensor before and begins one of shape [rows, row_shape...].
  void Begin(std::string name, DType dtype, std::vector<uint64_t> row_shape);
  // Bytes of its rows, little-endian; a row may come in parts.
  Status Append(std::span<const std::byte> bytes);

  // Names and metadata must be UTF-8. kResourceExhausted where they need more than `header_bytes`.
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
