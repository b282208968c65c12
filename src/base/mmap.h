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

  // Gives the memory of `part`, which lies in a mapped file, back to the system. Reading it again works, and
  // takes it from the file's cache or the disk.
  static void Release(std::span<const std::byte> part);
  // For a part that is read from front to back, by several threads side by side: bytes [begin, end) of it are
  // being read now, and what lies well before them is given back, some megabytes at a time.
  static void ReleaseBehind(std::span<const std::byte> part, size_t begin, size_t end);

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::span<const std::byte> bytes_;
};

}  // namespace qwen25
