// Read-only memory map of a whole file.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <utility>

#include "base/status.h"

namespace qwen25 {

// The map stays valid if the file is replaced by rename, but not if the file is truncated: reading past the
// new end raises SIGBUS. So copy files that others may shorten, or guard them (map_guard.h).
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

  // Gives the memory of `part` of a mapped file back to the system. Later reads take the bytes from the file
  // cache or the disk.
  static void Release(std::span<const std::byte> part);
  // For a part that several threads read from front to back: bytes [begin, end) of it are being read now.
  // Gives back the bytes well before them, some megabytes at a time.
  static void ReleaseBehind(std::span<const std::byte> part, size_t begin, size_t end);

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::span<const std::byte> bytes_;
};

}  // namespace qwen25
