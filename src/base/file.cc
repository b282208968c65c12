#include "base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace qwen25 {
namespace {

Status WriteAll(int descriptor, std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, "write", path);
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

}  // namespace

bool IsGitLfsPointer(std::string_view first_bytes) {
  return first_bytes.starts_with("version https://git-lfs.github.com/spec/");
}

Result<std::string> ReadFile(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return ErrnoStatus(errno, "open", path);
  std::string content;
  struct stat info {};
  if (::fstat(descriptor, &info) == 0 && S_ISREG(info.st_mode)) {
    content.reserve(static_cast<size_t>(info.st_size));
  }
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = ::read(descriptor, buffer, sizeof buffer);
    if (count == 0) break;
    if (count < 0) {
      if (errno == EINTR) continue;
      const int error_number = errno;
      ::close(descriptor);
      return ErrnoStatus(error_number, "read", path);
    }
    content.append(buffer, static_cast<size_t>(count));
  }
  ::close(descriptor);
  return content;
}

AtomicFile::AtomicFile(std::filesystem::path path, std::filesystem::path temporary, int descriptor)
    : path_(std::move(path)), temporary_(std::move(temporary)), descriptor_(descriptor) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      bytes_written_(other.bytes_written_) {}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

Result<AtomicFile> AtomicFile::Open(const std::filesystem::path& path) {
  static std::atomic<unsigned> counter{0};  // several threads may write into one folder
  std::filesystem::path temporary = path;
  temporary += fmt::format(".tmp.{}.{}", ::getpid(), counter.fetch_add(1));
  const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (descriptor < 0) return ErrnoStatus(errno, "create", temporary);
  return AtomicFile(path, std::move(temporary), descriptor);
}

Status AtomicFile::Write(std::span<const std::byte> bytes) {
  QWEN25_RETURN_IF_ERROR(WriteAll(descriptor_, bytes, temporary_));
  bytes_written_ += bytes.size();
  return {};
}

Status AtomicFile::WriteAt(uint64_t offset, std::span<const std::byte> bytes) {
  QWEN25_CHECK(offset + bytes.size() <= bytes_written_);
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, "write", temporary_);
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
  return {};
}

Status AtomicFile::Commit() {
  QWEN25_CHECK(descriptor_ >= 0);
  // A full disk can show up only here: writes may have stayed in the page cache.
  if (::fsync(descriptor_) != 0) return ErrnoStatus(errno, "flush", temporary_);
  if (::close(std::exchange(descriptor_, -1)) != 0) {
    const int error_number = errno;
    ::unlink(temporary_.c_str());
    return ErrnoStatus(error_number, "close", temporary_);
  }
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int error_number = errno;
    ::unlink(temporary_.c_str());
    return ErrnoStatus(error_number, "rename to its final name", temporary_);
  }
  return SyncDirectory(path_.has_parent_path() ? path_.parent_path() : std::filesystem::path("."));
}

Status WriteFileAtomically(const std::filesystem::path& path, std::string_view content) {
  QWEN25_TRY(AtomicFile file, AtomicFile::Open(path));
  QWEN25_RETURN_IF_ERROR(file.Write(content));
  return file.Commit();
}

AppendFile::AppendFile(AppendFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

AppendFile::~AppendFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<AppendFile> AppendFile::Open(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor < 0) return ErrnoStatus(errno, "open for appending", path);
  return AppendFile(path.string(), descriptor);
}

Status AppendFile::Append(std::span<const std::byte> bytes) {
  return WriteAll(descriptor_, bytes, path_);
}

Status AppendFile::Sync() {
  if (::fsync(descriptor_) != 0) return ErrnoStatus(errno, "flush", path_);
  return {};
}

Status SyncDirectory(const std::filesystem::path& directory) {
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return ErrnoStatus(errno, "open folder", directory);
  const int failed = ::fsync(descriptor);
  const int error_number = errno;
  ::close(descriptor);
  // Some file systems cannot flush a folder and say so with EINVAL; there is nothing more to do there.
  if (failed && error_number != EINVAL) return ErrnoStatus(error_number, "flush folder", directory);
  return {};
}

Result<FolderLock> FolderLock::Acquire(const std::filesystem::path& directory) {
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return ErrnoStatus(errno, "open folder", directory);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return FolderLock(descriptor);
  const int error_number = errno;
  ::close(descriptor);
  if (error_number != EWOULDBLOCK) return ErrnoStatus(error_number, "lock", directory);
  return ResourceExhausted(
      "{}: another process is working in this folder; wait for it, or choose another folder",
      directory.string());
}

FolderLock::~FolderLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status CreateDirectories(const std::filesystem::path& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return ErrnoStatus(error.value(), "create folder", directory);
  return {};
}

}  // namespace qwen25
