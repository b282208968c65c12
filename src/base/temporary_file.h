// Files that are being written under another name, and what becomes of them when their process dies.
#pragma once

#include <filesystem>

#include "base/status.h"

namespace qwen25 {

// A new file `TARGET.tmp.PID.N` beside its target, for this object's lifetime: it is removed with the object
// unless MoveToTarget() has renamed it. While a process writes it, it holds a lock (flock) on it, which ends
// with the process however that dies; RemoveLeftovers() tells by it.
class TemporaryFile {
 public:
  // Removes leftovers in the folder of `target` first, once per process.
  static Result<TemporaryFile> Create(const std::filesystem::path& target);
  TemporaryFile(TemporaryFile&& other) noexcept;
  TemporaryFile& operator=(TemporaryFile&&) = delete;
  ~TemporaryFile();

  int descriptor() const { return descriptor_; }
  const std::filesystem::path& path() const { return path_; }

  // Closes the file and renames it over its target. It is gone afterwards, also after an error.
  Status MoveToTarget();

 private:
  TemporaryFile(std::filesystem::path target, std::filesystem::path path, int descriptor, int slot)
      : target_(std::move(target)), path_(std::move(path)), descriptor_(descriptor), slot_(slot) {}
  void Remove();

  std::filesystem::path target_, path_;
  int descriptor_;  // -1: closed
  int slot_;        // in the list of what a signal removes; -1: in none
};

// Removes files `*.tmp.PID.N` in `directory` whose process is dead: nobody holds their lock, and there is no
// process PID, or it started after the file was last written. Returns how many there were. What cannot be
// removed stays; a leftover is not a reason to stop anybody.
size_t RemoveLeftovers(const std::filesystem::path& directory);

// Removes all temporary files of this process. For handlers of signals that end it: it only makes calls that
// are allowed there.
void RemoveTemporaryFilesInSignalHandler();

// The system's folder for temporary files: TMPDIR, else /tmp. kNotFound, with advice, if that is not a
// folder.
Result<std::filesystem::path> SystemTemporaryFolder();

}  // namespace qwen25
