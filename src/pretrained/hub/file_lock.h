// Locks on files, of the kind that huggingface_hub takes while it writes to its cache (flock).
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <utility>

#include "base/status.h"

namespace qwen25 {

// Held while it lives; it ends with the process, however that ends.
class FileLock {
 public:
  // Creates the file if it is missing. While another process holds the lock, calls `wait` every tenth of a
  // second; kCancelled if it returns false. Without `wait`, kResourceExhausted at once.
  static Result<FileLock> Acquire(const std::filesystem::path& path, const std::function<bool()>& wait = {});
  FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileLock& operator=(FileLock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~FileLock();

  // Writes this process's number into the file, for those who wait.
  void NameHolder() const;
  // " (process 1234)" as such a file names it; empty if it does not.
  static std::string Holder(const std::filesystem::path& path);

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;
};

}  // namespace qwen25
