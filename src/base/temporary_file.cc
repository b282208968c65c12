#include "base/temporary_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

// The names that a signal handler removes. It must not allocate or lock, so they lie in fixed places. A file
// that finds no free place is removed by the next process (RemoveLeftovers).
enum SlotState { kFree, kReserved, kInUse };
struct Slot {
  std::atomic<int> state{kFree};
  char path[4096];
};
std::array<Slot, 64> slots;
static_assert(std::atomic<int>::is_always_lock_free);  // the handler reads it

int TakeSlot(const std::string& path) {
  if (path.size() >= sizeof slots[0].path) return -1;
  for (size_t i = 0; i < slots.size(); ++i) {
    int expected = kFree;
    if (!slots[i].state.compare_exchange_strong(expected, kReserved)) continue;
    std::memcpy(slots[i].path, path.c_str(), path.size() + 1);
    slots[i].state = kInUse;
    return static_cast<int>(i);
  }
  return -1;
}

// The process in "NAME.tmp.PID.N"; nothing for other names.
std::optional<pid_t> ProcessOf(std::string_view name) {
  const auto take_number = [&]() -> std::optional<pid_t> {
    const size_t dot = name.rfind('.');
    if (dot == name.npos) return std::nullopt;
    const std::string_view digits = name.substr(dot + 1);
    pid_t number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc() || end != digits.data() + digits.size() || number < 0) return std::nullopt;
    name = name.substr(0, dot);
    return number;
  };
  if (!take_number()) return std::nullopt;
  const std::optional<pid_t> process = take_number();
  return process && *process > 0 && name.ends_with(".tmp") ? process : std::nullopt;
}

// Seconds since the process started; nothing if that cannot be known.
std::optional<double> AgeOf(pid_t process) {
  double up_seconds = 0;
  std::FILE* file = std::fopen("/proc/uptime", "re");
  if (file == nullptr) return std::nullopt;
  const bool known = std::fscanf(file, "%lf", &up_seconds) == 1;
  std::fclose(file);
  file = std::fopen(fmt::format("/proc/{}/stat", process).c_str(), "re");
  if (!known || file == nullptr) return std::nullopt;
  char line[1024] = {};
  const size_t size = std::fread(line, 1, sizeof line - 1, file);
  std::fclose(file);
  // The second field is a name in brackets, which may hold spaces and brackets; the time is the 22nd field.
  const char* field = size == 0 ? nullptr : std::strrchr(line, ')');
  for (int i = 2; field != nullptr && i < 22; ++i) field = std::strchr(field + 1, ' ');
  unsigned long long start_ticks = 0;
  if (field == nullptr || std::sscanf(field, "%llu", &start_ticks) != 1) return std::nullopt;
  return up_seconds - static_cast<double>(start_ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

// Whether the process can be the one that wrote a file last changed at `changed`.
bool MayHaveWritten(pid_t process, std::time_t changed) {
  if (process == ::getpid()) return false;  // our own files are locked
  if (::kill(process, 0) != 0 && errno == ESRCH) return false;
  const std::optional<double> age = AgeOf(process);
  constexpr double kClockSlack = 5;  // seconds
  return !age || *age + kClockSlack > static_cast<double>(std::time(nullptr) - changed);
}

// Removes the file if nobody writes it any more.
bool RemoveIfLeft(const fs::path& path, pid_t process) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (descriptor < 0) return false;
  struct stat info {};
  const bool left = ::fstat(descriptor, &info) == 0 && S_ISREG(info.st_mode) &&
                    ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 && !MayHaveWritten(process, info.st_mtime);
  const bool removed = left && ::unlink(path.c_str()) == 0;
  ::close(descriptor);
  return removed;
}

void RemoveLeftoversOnce(const fs::path& directory) {
  static std::mutex mutex;
  static std::set<std::string> done;
  {
    const std::lock_guard lock(mutex);
    if (!done.insert(directory.string()).second) return;
  }
  RemoveLeftovers(directory);
}

}  // namespace

Result<TemporaryFile> TemporaryFile::Create(const fs::path& target) {
  static std::atomic<unsigned> counter{0};  // several threads may write into one folder
  RemoveLeftoversOnce(target.has_parent_path() ? target.parent_path() : fs::path("."));
  while (true) {
    fs::path path = target;
    path += fmt::format(".tmp.{}.{}", ::getpid(), counter.fetch_add(1));
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    // A leftover of an earlier process with this number, which could not be removed.
    if (descriptor < 0 && errno == EEXIST) continue;
    if (descriptor < 0) return ErrnoStatus(errno, "create", path);
    // Between these two calls another process may have taken the file for a leftover.
    struct stat info {};
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      ::close(descriptor);
      continue;
    }
    if (::fstat(descriptor, &info) == 0 && info.st_nlink == 0) {
      ::close(descriptor);
      continue;
    }
    const int slot = TakeSlot(path.string());
    return TemporaryFile(target, std::move(path), descriptor, slot);
  }
}

TemporaryFile::TemporaryFile(TemporaryFile&& other) noexcept
    : target_(std::move(other.target_)),
      path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      slot_(std::exchange(other.slot_, -1)) {}

TemporaryFile::~TemporaryFile() {
  if (descriptor_ < 0) return;
  Remove();
  ::close(descriptor_);
}

void TemporaryFile::Remove() {
  ::unlink(path_.c_str());
  if (slot_ >= 0) slots[static_cast<size_t>(std::exchange(slot_, -1))].state = kFree;
}

Status TemporaryFile::MoveToTarget() {
  Status status;
  // Renamed before it is closed: the lock must hold as long as the file has its temporary name.
  if (::rename(path_.c_str(), target_.c_str()) != 0) {
    status = ErrnoStatus(errno, "rename to its final name", path_);
    Remove();
  } else if (slot_ >= 0) {
    slots[static_cast<size_t>(std::exchange(slot_, -1))].state = kFree;
  }
  if (::close(std::exchange(descriptor_, -1)) != 0 && status.ok()) {
    status = ErrnoStatus(errno, "close", target_);
  }
  return status;
}

size_t RemoveLeftovers(const fs::path& directory) {
  size_t count = 0;
  std::error_code error;
  for (fs::directory_iterator it(directory.empty() ? "." : directory, error), end; !error && it != end;
       it.increment(error)) {
    if (const auto process = ProcessOf(it->path().filename().native())) {
      count += RemoveIfLeft(it->path(), *process) ? 1 : 0;
    }
  }
  return count;
}

void RemoveTemporaryFilesInSignalHandler() {
  for (const Slot& slot : slots) {
    if (slot.state == kInUse) ::unlink(slot.path);
  }
}

Result<fs::path> SystemTemporaryFolder() {
  std::error_code error;
  fs::path folder = fs::temp_directory_path(error);
  if (!error) return folder;
  const char* variable = std::getenv("TMPDIR");
  return NotFound("{}: there is no such folder for temporary files; set TMPDIR to one that is there",
                  variable == nullptr ? "/tmp" : variable);
}

}  // namespace qwen25
