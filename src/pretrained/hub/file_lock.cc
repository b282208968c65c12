#include "pretrained/hub/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "base/file.h"

namespace qwen25 {
namespace {

constexpr auto kPause = std::chrono::milliseconds(100);

// Whether `path` still names the open file: whoever releases such a lock may remove its file.
bool IsStillNamed(int descriptor, const std::filesystem::path& path) {
  struct stat open_file {
  }, named{};
  return ::fstat(descriptor, &open_file) == 0 && ::stat(path.c_str(), &named) == 0 &&
         open_file.st_ino == named.st_ino && open_file.st_dev == named.st_dev;
}

}  // namespace

Result<FileLock> FileLock::Acquire(const std::filesystem::path& path, const std::function<bool()>& wait) {
  QWEN25_RETURN_IF_ERROR(CreateDirectories(path.parent_path()));
  while (true) {
    // Writable for a group that shares the cache, as huggingface_hub creates it.
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0664);
    if (descriptor < 0) return ErrnoStatus(errno, "open", path);
    FileLock lock(descriptor);
    if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) {
      if (IsStillNamed(descriptor, path)) return lock;
      continue;
    }
    if (errno != EWOULDBLOCK && errno != EINTR) return ErrnoStatus(errno, "lock", path);
    if (!wait) return ResourceExhausted("{}: another process{} holds this lock", path.string(), Holder(path));
    if (!wait()) return Cancelled("stopped while another process{} held {}", Holder(path), path.string());
    std::this_thread::sleep_for(kPause);
  }
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void FileLock::NameHolder() const {
  const std::string text = fmt::format("{}\n", ::getpid());
  // Only for messages: a name that is missing does no harm.
  if (::ftruncate(descriptor_, 0) == 0) (void)!::pwrite(descriptor_, text.data(), text.size(), 0);
}

std::string FileLock::Holder(const std::filesystem::path& path) {
  const Result<std::string> text = ReadFile(path);
  if (!text.ok()) return "";
  const std::string number = text->substr(0, text->find('\n'));
  const bool digits = !number.empty() && number.size() < 12 &&
                      std::ranges::all_of(number, [](char c) { return c >= '0' && c <= '9'; });
  return digits ? fmt::format(" (process {})", number) : "";
}

}  // namespace qwen25
