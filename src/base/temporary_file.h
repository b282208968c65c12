// Files that are written under a temporary name, and the removal of those left by dead processes.
#pragma once

#include <filesystem>

#include "base/status.h"

namespace qwen25 {

// A new file `TARGET.tmp.PID.N` beside its target. The destructor removes it unless MoveToTarget() has
// renamed it. The writing process holds a lock (flock) on it, which ends with the process, however that ends;
// RemoveLeftovers() relies on it.
class TemporaryFile {
 public:
  // First removes leftovers in the folder of `target`, once per folder and process.
  static Result<TemporaryFile> Create(const std::filesystem::path& target);
  TemporaryFile(TemporaryFile&& other) noexcept;
  TemporaryFile& operator=(TemporaryFile&&) = delete;
  ~TemporaryFile();

  int descriptor() const { return descriptor_; }
  const std::filesystem::path& path() const { return path_; }

  // Renames the file over its target and closes it. After an error of renaming, the file is removed.
  Status MoveToTarget();

 private:
  TemporaryFile(std::filesystem::path target, std::filesystem::path path, int descriptor, int slot)
      : target_(std::move(target)), path_(std::move(path)), descriptor_(descriptor), slot_(slot) {}
  void Remove();

  std::filesystem::path target_, path_;
  int descriptor_;  // -1: closed
  int slot_;        // in the list for RemoveTemporaryFilesInSignalHandler; -1: in none
};

// Removes files `*.tmp.PID.N` in `directory` whose process is dead: nobody holds their lock, and process PID
// does not exist or started after the file was last written. Returns the number of removed files. A leftover
// that cannot be removed stays, which is not an error.
size_t RemoveLeftovers(const std::filesystem::path& directory);

// Removes the temporary files of this process. Async-signal-safe: for handlers of signals that end the
// process.
void RemoveTemporaryFilesInSignalHandler();

// The system's folder for temporary files: $TMPDIR, else /tmp. kNotFound, with advice, if it is not a folder.
Result<std::filesystem::path> SystemTemporaryFolder();

}  // namespace qwen25
