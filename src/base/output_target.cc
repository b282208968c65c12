#include "base/output_target.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <optional>

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxLinks = 40;  // as the kernel's own limit

fs::path FolderOf(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// The descriptor N if `link` is this process's /proc/self/fd/N, which /dev/stdout and /dev/fd/N lead to.
std::optional<int> OwnDescriptor(const fs::path& link) {
  std::error_code error;
  const fs::path folder = fs::canonical(FolderOf(link), error);
  if (error || folder != fmt::format("/proc/{}/fd", ::getpid())) return std::nullopt;
  const std::string name = link.filename();
  int number = -1;
  const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (failure != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

// Links of /proc hold no path that could be followed by hand ("pipe:[4711]").
bool IsProcLink(const fs::path& link) {
  struct statfs info {};
  return ::statfs(FolderOf(link).c_str(), &info) == 0 && info.f_type == PROC_SUPER_MAGIC;
}

Result<OutputTarget> OpenForWriting(const fs::path& path) {
  // The descriptor itself, not another one of the same file: the two would write over each other.
  const std::optional<int> own = OwnDescriptor(path);
  const int descriptor =
      own ? ::fcntl(*own, F_DUPFD_CLOEXEC, 3) : ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
  if (descriptor < 0 && errno == EINTR) {
    return Cancelled("{}: stopped while waiting for its reader", path.string());
  }
  if (descriptor < 0) return ErrnoStatus(errno, "open for writing", path);
  return OutputTarget{.file = {}, .descriptor = descriptor};
}

}  // namespace

Result<OutputTarget> FindOutputTarget(const fs::path& path) {
  fs::path file = path;
  struct stat info {};
  for (int links = 0; ::lstat(file.c_str(), &info) == 0 && S_ISLNK(info.st_mode); ++links) {
    if (links == kMaxLinks) return ErrnoStatus(ELOOP, "write", path);
    if (IsProcLink(file)) return OpenForWriting(file);
    std::error_code error;
    const fs::path target = fs::read_symlink(file, error);
    if (error) return ErrnoStatus(error.value(), "follow the link", file);
    file = target.is_absolute() ? target : FolderOf(file) / target;
  }
  if (::stat(file.c_str(), &info) != 0) return OutputTarget{.file = file};
  if (S_ISDIR(info.st_mode)) {
    return InvalidArgument("{}: is a folder; give the name of a file to write", path.string());
  }
  if (!S_ISREG(info.st_mode)) return OpenForWriting(file);
  return OutputTarget{.file = file, .mode = static_cast<int>(info.st_mode & 07777)};
}

}  // namespace qwen25
