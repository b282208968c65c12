// Read-only memory map of a whole file.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <utility>

#include "base/status.h"

namespace qwen25 {

// The map stays valid when the file is replaced by rename; it does not survive truncation of the same file
// (reading past the new end raises SIGBUS), so files that others may shorten are copied, not mapped.
class MappedFile {
 public:
  static Result<MappedFile> Open(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::span<const std::byte> bytes_;
};

}  // namespace qwen25
