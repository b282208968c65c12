// Whole files: read, and replace so that a crash at any instant leaves either the old or the new content.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"

namespace qwen25 {

// Whether a file's first bytes are those of the small text that stands for a large file in a Git repository
// until `git lfs pull` fetches it: the most frequent wrong file in a model folder.
bool IsGitLfsPointer(std::string_view first_bytes);
inline constexpr const char* kGitLfsPointer =
    "is the pointer of a Git LFS file, not the file itself; `git lfs pull` in its folder fetches it";

// The whole content of `path`.
Result<std::string> ReadFile(const std::filesystem::path& path);

// A file that appears under its name only when it is complete: Open() writes to a temporary file in the same
// folder; Commit() flushes it to disk, renames it over `path` and flushes the folder. Destroyed without
// Commit(), it leaves nothing behind.
class AtomicFile {
 public:
  static Result<AtomicFile> Open(const std::filesystem::path& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  Status Write(std::span<const std::byte> bytes);
  Status Write(std::string_view text) { return Write(std::as_bytes(std::span(text))); }
  // Overwrites `bytes.size()` bytes at `offset`, all of which must have been written before (headers that
  // hold a size known only at the end).
  Status WriteAt(uint64_t offset, std::span<const std::byte> bytes);
  uint64_t bytes_written() const { return bytes_written_; }
  Status Commit();

 private:
  AtomicFile(std::filesystem::path path, std::filesystem::path temporary, int descriptor);

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_;
  uint64_t bytes_written_ = 0;
};

// AtomicFile with one Write.
Status WriteFileAtomically(const std::filesystem::path& path, std::string_view content);

// A file that only grows. Each Append() is one write to the system, so that a killed process leaves whole
// records; Sync() makes them survive a power loss.
class AppendFile {
 public:
  // Creates the file where it is missing.
  static Result<AppendFile> Open(const std::filesystem::path& path);
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&&) = delete;
  ~AppendFile();

  Status Append(std::span<const std::byte> bytes);
  Status Append(std::string_view text) { return Append(std::as_bytes(std::span(text))); }
  Status Sync();
  const std::string& path() const { return path_; }

 private:
  AppendFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

  std::string path_;
  int descriptor_;
};

// Flushes a folder's entries (created, renamed, removed names) to disk.
Status SyncDirectory(const std::filesystem::path& directory);

// Keeps a folder for one process: while the lock lives, Acquire() of the same folder fails in every other
// process (and in this one). It ends with the object or with the process, however that dies.
class FolderLock {
 public:
  // kResourceExhausted where somebody else holds it.
  static Result<FolderLock> Acquire(const std::filesystem::path& directory);
  FolderLock(FolderLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FolderLock& operator=(FolderLock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~FolderLock();

 private:
  explicit FolderLock(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;
};

// Creates `directory` and its parents where missing.
Status CreateDirectories(const std::filesystem::path& directory);

}  // namespace qwen25
