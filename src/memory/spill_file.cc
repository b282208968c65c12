#include "memory/spill_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include "base/check.h"

namespace qwen25 {

Result<SpillFile> SpillFile::Create(const std::filesystem::path& directory) {
  std::string name = (directory / "qwen25_spill.XXXXXX").string();
  const int descriptor = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor < 0) {
    return ErrnoStatus(errno, "create a file in", directory.string());
  }
  ::unlink(name.c_str());
  return SpillFile(directory, descriptor);
}

SpillFile::SpillFile(SpillFile&& other) noexcept
    : directory_(std::move(other.directory_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      num_bytes_(std::exchange(other.num_bytes_, 0)),
      failures_(std::move(other.failures_)),
      pieces_(std::move(other.pieces_)) {
  other.pieces_.clear();
}

SpillFile& SpillFile::operator=(SpillFile&& other) noexcept {
  std::swap(directory_, other.directory_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(num_bytes_, other.num_bytes_);
  std::swap(failures_, other.failures_);
  std::swap(pieces_, other.pieces_);
  return *this;
}

SpillFile::~SpillFile() {
  for (Piece& piece : pieces_) {
    piece.guard = {};
    ::munmap(piece.data, piece.num_bytes);
  }
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<std::byte*> SpillFile::Grow(size_t num_bytes) {
  QWEN25_CHECK(num_bytes > 0 && num_bytes % static_cast<size_t>(::sysconf(_SC_PAGESIZE)) == 0);
  const auto offset = static_cast<off_t>(num_bytes_);
  if (const int error = ::posix_fallocate(descriptor_, offset, static_cast<off_t>(num_bytes)); error != 0) {
    const bool is_full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    return Status(is_full ? StatusCode::kResourceExhausted : StatusCode::kIo,
                  fmt::format("{}: cannot take {} MiB more after {} MiB for keys and values: {}; {}name "
                              "another folder (--spill-directory)",
                              directory_.string(), num_bytes >> 20, num_bytes_ >> 20, std::strerror(error),
                              is_full ? "free space or " : ""));
  }
  void* data = ::mmap(nullptr, num_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_, offset);
  if (data == MAP_FAILED) {
    return ResourceExhausted("{}: cannot map {} MiB: {}", directory_.string(), num_bytes >> 20,
                             std::strerror(errno));
  }
  auto* const begin = static_cast<std::byte*>(data);
  pieces_.insert(std::ranges::upper_bound(pieces_, begin, {}, &Piece::data),
                 Piece{begin, num_bytes, num_bytes_, MapGuard(begin, num_bytes, failures_.get())});
  num_bytes_ += num_bytes;
  return begin;
}

Status SpillFile::status() const {
  if (failures_->load(std::memory_order_acquire) == 0) return {};
  return Status(
      StatusCode::kIo,
      fmt::format(
          "{}: keys and values cannot be read back from here: the disk fails, or the file was cut short; "
          "start the program again with another folder (--spill-directory)",
          directory_.string()));
}

size_t ReadFileBackedBytes() {
  const int descriptor = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return 0;
  char text[128] = {};
  const ssize_t count = ::read(descriptor, text, sizeof(text) - 1);
  ::close(descriptor);
  unsigned long size = 0, resident = 0, shared = 0;
  if (count <= 0 || std::sscanf(text, "%lu %lu %lu", &size, &resident, &shared) != 3) return 0;
  return shared * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

size_t ReadPeakResidentBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    unsigned long kib = 0;
    if (std::sscanf(line.c_str(), "VmHWM: %lu kB", &kib) == 1) return size_t{kib} << 10;
  }
  return 0;
}

void ResetPeakResidentBytes() {
  std::ofstream("/proc/self/clear_refs") << "5";
}

bool SpillFile::Read(const std::byte* from, size_t num_bytes, std::byte* to) const {
  const auto behind = std::ranges::upper_bound(pieces_, from, {}, &Piece::data);
  if (behind == pieces_.begin()) return false;
  const Piece& piece = *std::prev(behind);
  const auto at = static_cast<size_t>(from - piece.data);
  if (at >= piece.num_bytes || num_bytes > piece.num_bytes - at) return false;
  // Fewer bytes only after a signal or an error: the caller then reads the mapping.
  const ssize_t count = ::pread(descriptor_, to, num_bytes, static_cast<off_t>(piece.offset + at));
  return count == static_cast<ssize_t>(num_bytes);
}

void SpillFile::Release() {
  for (const Piece& piece : pieces_) ::madvise(piece.data, piece.num_bytes, MADV_DONTNEED);
}

}  // namespace qwen25
