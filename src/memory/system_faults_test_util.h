// Lets system calls fail in tests, as they do on a full or broken disk. The .cc file replaces functions of
// the C library in the test program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace qwen25 {

enum class SystemCall { kFallocate, kPosixFallocate, kRead, kWrite, kSync, kNumCalls };  // read: pread

// While it lives, calls fail with an error number: the first `num_good` succeed, the next `num_bad` fail.
// At most one for each kind of call.
class FailingCalls {
 public:
  FailingCalls(SystemCall call, int error_number, size_t num_good = 0, size_t num_bad = SIZE_MAX);
  ~FailingCalls();
  FailingCalls(const FailingCalls&) = delete;
  FailingCalls& operator=(const FailingCalls&) = delete;

  // Number of calls that failed.
  size_t num_failed() const;

 private:
  SystemCall call_;
};

// While it lives, the first flush (fsync, fdatasync) waits.
class PausedSyncs {
 public:
  PausedSyncs();
  ~PausedSyncs();
  PausedSyncs(const PausedSyncs&) = delete;
  PausedSyncs& operator=(const PausedSyncs&) = delete;

  // Waits until a thread is in a flush.
  void WaitForOne();
};

// While it lives, records the folders that are flushed (fsync).
class SyncedFolders {
 public:
  SyncedFolders();
  ~SyncedFolders();
  SyncedFolders(const SyncedFolders&) = delete;
  SyncedFolders& operator=(const SyncedFolders&) = delete;

  std::vector<std::string> paths() const;
};

}  // namespace qwen25
