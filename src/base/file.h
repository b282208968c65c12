// Whole files: read, and replace so that a crash at any instant leaves either the old or the new content.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "base/temporary_file.h"

namespace qwen25 {

// Whether a file is a Git LFS pointer, the small text that stands for a large file until `git lfs pull`
// fetches it. It is the most frequent wrong file in a model folder.
bool IsGitLfsPointer(std::string_view first_bytes);
inline constexpr const char* kGitLfsPointer =
    "is the pointer of a Git LFS file, not the file itself; `git lfs pull` in its folder fetches it";

// The whole content of `path`.
Result<std::string> ReadFile(const std::filesystem::path& path);

// A file that appears under its name only when it is complete: Open() creates a temporary file in the same
// folder; Commit() flushes it to disk, renames it over `path` and flushes the folder. Without Commit(), the
// destructor removes the temporary file; that of a killed process is removed by the next process that writes
// into the folder. If `path` is a symbolic link, the file that it leads to is replaced. The new file has the
// old one's permissions.
//
// A target that is not a regular file (/dev/null, a named pipe, /dev/stdout) is written to in place; a pipe
// gets all of its bytes from Commit().
class AtomicFile {
 public:
  // Waits for a reader if `path` is a named pipe.
  static Result<AtomicFile> Open(const std::filesystem::path& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  Status Write(std::span<const std::byte> bytes);
  Status Write(std::string_view text) { return Write(std::as_bytes(std::span(text))); }
  // Overwrites `bytes.size()` bytes at `offset`, all of which must have been written before (for headers that
  // hold a size known only at the end).
  Status WriteAt(uint64_t offset, std::span<const std::byte> bytes);
  uint64_t bytes_written() const { return bytes_written_; }
  Status Commit();

 private:
  explicit AtomicFile(std::filesystem::path path) : path_(std::move(path)) {}

  Status WriteThrough(int descriptor);
  int descriptor() const { return temporary_ ? temporary_->descriptor() : direct_; }
  std::string name() const { return (temporary_ ? temporary_->path() : path_).string(); }

  std::filesystem::path path_;
  std::optional<TemporaryFile> temporary_;  // becomes the file
  int direct_ = -1;          // or: the target itself, or a buffer file without a name for pipe_
  int pipe_ = -1;            // a target that cannot seek: written by Commit()
  uint64_t first_byte_ = 0;  // of direct_
  uint64_t bytes_written_ = 0;
};

// AtomicFile with one Write.
Status WriteFileAtomically(const std::filesystem::path& path, std::string_view content);

// A file that only grows. Each Append() is one system call, so that a killed process leaves only whole
// records; Sync() makes them survive a power loss.
class AppendFile {
 public:
  // Creates the file if it is missing.
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

// Reserves a folder for one process: while the lock lives, Acquire() of the same folder fails in this and
// every other process. The lock ends with the object or with the process, however that ends.
class FolderLock {
 public:
  // kResourceExhausted if somebody else holds it.
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

// Creates `directory` and its parents if missing. Once it returns OK, the new names survive a power loss.
Status CreateDirectories(const std::filesystem::path& directory);

}  // namespace qwen25
