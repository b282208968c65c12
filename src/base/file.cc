#include "base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

#include "base/output_target.h"

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

// A file in the system's folder for temporary files that has no name, and goes with its descriptor.
Result<int> OpenNamelessFile() {
  QWEN25_TRY(const std::filesystem::path folder, SystemTemporaryFolder());
  std::string name = (folder / "qwen25_output.XXXXXX").string();
  const int descriptor = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor < 0) return ErrnoStatus(errno, "create a file in", folder);
  ::unlink(name.c_str());
  return descriptor;
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

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, std::nullopt)),
      direct_(std::exchange(other.direct_, -1)),
      pipe_(std::exchange(other.pipe_, -1)),
      first_byte_(other.first_byte_),
      bytes_written_(other.bytes_written_) {}

AtomicFile::~AtomicFile() {
  if (direct_ >= 0) ::close(direct_);
  if (pipe_ >= 0) ::close(pipe_);
}

Result<AtomicFile> AtomicFile::Open(const std::filesystem::path& path) {
  QWEN25_TRY(const OutputTarget target, FindOutputTarget(path));
  AtomicFile file(path);
  if (target.descriptor < 0) {
    QWEN25_TRY(TemporaryFile temporary, TemporaryFile::Create(target.file));
    // Only for the owner does this work; for others the file gets the permissions of a new one.
    if (target.mode >= 0) (void)::fchmod(temporary.descriptor(), static_cast<mode_t>(target.mode));
    file.temporary_.emplace(std::move(temporary));
    return file;
  }
  const off_t at = ::lseek(target.descriptor, 0, SEEK_CUR);
  if (at >= 0 && (::fcntl(target.descriptor, F_GETFL) & O_APPEND) == 0) {
    file.direct_ = target.descriptor;
    file.first_byte_ = static_cast<uint64_t>(at);
    return file;
  }
  file.pipe_ = target.descriptor;
  QWEN25_TRY(file.direct_, OpenNamelessFile());
  return file;
}

Status AtomicFile::Write(std::span<const std::byte> bytes) {
  QWEN25_RETURN_IF_ERROR(WriteAll(descriptor(), bytes, name()));
  bytes_written_ += bytes.size();
  return {};
}

Status AtomicFile::WriteAt(uint64_t offset, std::span<const std::byte> bytes) {
  QWEN25_CHECK(offset + bytes.size() <= bytes_written_);
  offset += first_byte_;
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, "write", name());
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
  return {};
}

// Copies direct_ to `descriptor`.
Status AtomicFile::WriteThrough(int descriptor) {
  std::vector<std::byte> buffer(size_t{1} << 20);
  for (uint64_t at = 0; at < bytes_written_;) {
    const ssize_t count = ::pread(direct_, buffer.data(), buffer.size(), static_cast<off_t>(at));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return ErrnoStatus(count < 0 ? errno : EIO, "read back what goes to", name());
    const auto size = static_cast<size_t>(count);
    QWEN25_RETURN_IF_ERROR(WriteAll(descriptor, std::span(buffer).first(size), name()));
    at += size;
  }
  return {};
}

Status AtomicFile::Commit() {
  QWEN25_CHECK(descriptor() >= 0);
  if (pipe_ >= 0) {
    QWEN25_RETURN_IF_ERROR(WriteThrough(pipe_));
    ::close(std::exchange(direct_, -1));
    if (::close(std::exchange(pipe_, -1)) != 0) return ErrnoStatus(errno, "close", name());
    return {};
  }
  // A full disk can show up only here: writes may have stayed in the page cache. Devices cannot be flushed.
  if (::fsync(descriptor()) != 0 && !(direct_ >= 0 && (errno == EINVAL || errno == EROFS))) {
    return ErrnoStatus(errno, "flush", name());
  }
  if (direct_ >= 0) {
    if (::close(std::exchange(direct_, -1)) != 0) return ErrnoStatus(errno, "close", name());
    return {};
  }
  const std::filesystem::path written = temporary_->path();
  const Status status = temporary_->MoveToTarget();
  temporary_.reset();
  QWEN25_RETURN_IF_ERROR(status);
  return SyncDirectory(written.has_parent_path() ? written.parent_path() : std::filesystem::path("."));
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
  std::vector<std::filesystem::path> missing;
  for (std::filesystem::path path = directory; !path.empty() && !std::filesystem::exists(path, error);
       path = path.parent_path()) {
    missing.push_back(path);
  }
  std::filesystem::create_directories(directory, error);
  if (error) return ErrnoStatus(error.value(), "create folder", directory);
  // A new name is on disk when the folder that it stands in was flushed.
  for (const std::filesystem::path& path : missing) {
    const std::filesystem::path parent = path.parent_path();
    QWEN25_RETURN_IF_ERROR(SyncDirectory(parent.empty() ? std::filesystem::path(".") : parent));
  }
  return {};
}

}  // namespace qwen25
