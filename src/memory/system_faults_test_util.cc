#include "memory/system_faults_test_util.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/check.h"

namespace qwen25 {
namespace {

struct Fault {
  int error_number = 0;  // 0: none
  size_t num_good = 0, num_bad = 0, num_failed = 0;
};

std::mutex mutex;
std::array<Fault, static_cast<size_t>(SystemCall::kNumCalls)> faults;
std::condition_variable changed;
bool pauses_syncs = false, is_paused = false;
bool notes_folders = false;
std::vector<std::string> synced_folders;

Fault& FaultOf(SystemCall call) {
  return faults[static_cast<size_t>(call)];
}

// The error number of this call; 0 if it succeeds.
int ErrorOf(SystemCall call) {
  const std::lock_guard lock(mutex);
  Fault& fault = FaultOf(call);
  if (fault.error_number == 0) return 0;
  if (fault.num_good > 0) {
    --fault.num_good;
    return 0;
  }
  if (fault.num_bad == 0) return 0;
  --fault.num_bad;
  ++fault.num_failed;
  return fault.error_number;
}

void NoteFolder(int descriptor) {
  const std::lock_guard lock(mutex);
  struct stat info {};
  if (!notes_folders || ::fstat(descriptor, &info) != 0 || !S_ISDIR(info.st_mode)) return;
  char path[PATH_MAX];
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  const ssize_t count = ::readlink(link.c_str(), path, sizeof path);
  if (count > 0) synced_folders.emplace_back(path, static_cast<size_t>(count));
}

void PauseIfWanted() {
  std::unique_lock lock(mutex);
  if (!pauses_syncs || is_paused) return;
  is_paused = true;
  changed.notify_all();
  changed.wait(lock, [] { return !pauses_syncs; });
}

long Call(SystemCall call, long number, long a, long b, long c, long d) {
  if (const int error = ErrorOf(call); error != 0) {
    errno = error;
    return -1;
  }
  return ::syscall(number, a, b, c, d);
}

}  // namespace

FailingCalls::FailingCalls(SystemCall call, int error_number, size_t num_good, size_t num_bad) : call_(call) {
  const std::lock_guard lock(mutex);
  QWEN25_CHECK(FaultOf(call).error_number == 0);
  FaultOf(call) = {error_number, num_good, num_bad, 0};
}

FailingCalls::~FailingCalls() {
  const std::lock_guard lock(mutex);
  FaultOf(call_) = {};
}

size_t FailingCalls::num_failed() const {
  const std::lock_guard lock(mutex);
  return FaultOf(call_).num_failed;
}

PausedSyncs::PausedSyncs() {
  const std::lock_guard lock(mutex);
  pauses_syncs = true;
  is_paused = false;
}

PausedSyncs::~PausedSyncs() {
  const std::lock_guard lock(mutex);
  pauses_syncs = false;
  changed.notify_all();
}

void PausedSyncs::WaitForOne() {
  std::unique_lock lock(mutex);
  changed.wait(lock, [] { return is_paused; });
}

SyncedFolders::SyncedFolders() {
  const std::lock_guard lock(mutex);
  synced_folders.clear();
  notes_folders = true;
}

SyncedFolders::~SyncedFolders() {
  const std::lock_guard lock(mutex);
  notes_folders = false;
}

std::vector<std::string> SyncedFolders::paths() const {
  const std::lock_guard lock(mutex);
  return synced_folders;
}

}  // namespace qwen25

// A program's own definitions take precedence over those of the C library.
extern "C" {

using qwen25::Call;
using qwen25::SystemCall;

int fallocate(int descriptor, int mode, off_t offset, off_t length) {
  return static_cast<int>(Call(SystemCall::kFallocate, SYS_fallocate, descriptor, mode, offset, length));
}

int posix_fallocate(int descriptor, off_t offset, off_t length) {
  return Call(SystemCall::kPosixFallocate, SYS_fallocate, descriptor, 0, offset, length) == 0 ? 0 : errno;
}

ssize_t pread(int descriptor, void* to, size_t count, off_t offset) {
  return Call(SystemCall::kRead, SYS_pread64, descriptor, reinterpret_cast<long>(to),
              static_cast<long>(count), offset);
}

ssize_t pwrite(int descriptor, const void* from, size_t count, off_t offset) {
  return Call(SystemCall::kWrite, SYS_pwrite64, descriptor, reinterpret_cast<long>(from),
              static_cast<long>(count), offset);
}

int fsync(int descriptor) {
  qwen25::PauseIfWanted();
  const int result = static_cast<int>(Call(SystemCall::kSync, SYS_fsync, descriptor, 0, 0, 0));
  if (result == 0) qwen25::NoteFolder(descriptor);
  return result;
}

int fdatasync(int descriptor) {
  qwen25::PauseIfWanted();
  return static_cast<int>(Call(SystemCall::kSync, SYS_fdatasync, descriptor, 0, 0, 0));
}

}  // extern "C"
