#include "memory/slot_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/check.h"
#include "base/file.h"

namespace qwen25 {

std::filesystem::path SlotFile::PathIn(const std::filesystem::path& folder, uint64_t slot_bytes) {
  return folder / fmt::format("blocks-{}.kv", slot_bytes);
}

Result<SlotFile> SlotFile::Open(const std::filesystem::path& folder, uint64_t slot_bytes,
                                uint64_t max_slots) {
  const std::string path = PathIn(folder, slot_bytes).string();
  const bool is_new = ::access(path.c_str(), F_OK) != 0;
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) return ErrnoStatus(errno, "open", path);
  SlotFile file(path, descriptor, slot_bytes);
  if (is_new) QWEN25_RETURN_IF_ERROR(SyncDirectory(folder));
  struct stat info {};
  if (::fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    return InvalidArgument("{}: not a regular file", path);
  }
  file.file_bytes_ = static_cast<uint64_t>(info.st_size);
  file.map_bytes_ = std::max<uint64_t>(max_slots * slot_bytes, static_cast<uint64_t>(info.st_size));
  void* map = ::mmap(nullptr, file.map_bytes_, PROT_READ, MAP_SHARED, descriptor, 0);
  if (map == MAP_FAILED) return ErrnoStatus(errno, "map", path);
  file.map_ = static_cast<const std::byte*>(map);
  file.guard_ = MapGuard(file.map_, file.map_bytes_, file.failures_.get());
  return file;
}

SlotFile::SlotFile(SlotFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      slot_bytes_(other.slot_bytes_),
      file_bytes_(other.file_bytes_.load()),
      map_(std::exchange(other.map_, nullptr)),
      map_bytes_(other.map_bytes_),
      failures_(std::move(other.failures_)),
      repaired_failures_(other.repaired_failures_),
      guard_(std::move(other.guard_)),
      free_(std::move(other.free_)),
      end_slot_(other.end_slot_),
      unsynced_(other.unsynced_) {}

SlotFile::~SlotFile() {
  guard_ = {};
  if (map_ != nullptr) ::munmap(const_cast<std::byte*>(map_), map_bytes_);
  if (descriptor_ >= 0) ::close(descriptor_);
}

uint32_t SlotFile::Take() {
  if (free_.empty()) return end_slot_++;
  const uint32_t slot = *free_.begin();
  free_.erase(free_.begin());
  return slot;
}

void SlotFile::MarkTaken(uint32_t slot) {
  QWEN25_CHECK(slot < kMaxSlots);
  while (end_slot_ <= slot) free_.insert(free_.end(), end_slot_++);
  QWEN25_CHECK(free_.erase(slot) == 1);
}

Status SlotFile::Release(uint32_t slot) {
  QWEN25_CHECK(slot < end_slot_ && free_.insert(slot).second);
  return Empty(slot * slot_bytes_, (slot + uint64_t{1}) * slot_bytes_);
}

Status SlotFile::EmptyFreeSlots() {
  while (!free_.empty() && *free_.rbegin() + 1 == end_slot_) {
    free_.erase(std::prev(free_.end()));
    --end_slot_;
  }
  if (const uint64_t end = end_slot_ * slot_bytes_; end < file_bytes_) {
    if (::ftruncate(descriptor_, static_cast<off_t>(end)) != 0) return ErrnoStatus(errno, "shorten", path_);
    file_bytes_ = end;
    unsynced_ = true;
  }
  for (const uint32_t slot : free_) {
    const uint64_t begin = slot * slot_bytes_, end = begin + slot_bytes_;
    // Most are holes already. A file system that cannot tell reports everything as data.
    const off_t data = ::lseek(descriptor_, static_cast<off_t>(begin), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // no data from here on
    if (data >= 0 && static_cast<uint64_t>(data) >= end) continue;
    QWEN25_RETURN_IF_ERROR(Empty(begin, end));
  }
  return {};
}

Status SlotFile::Empty(uint64_t begin, uint64_t end) {
  end = std::min(end, file_bytes_.load());
  if (begin >= end) return {};
  unsynced_ = true;
  if (::fallocate(descriptor_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(begin),
                  static_cast<off_t>(end - begin)) == 0) {
    return {};
  }
  if (errno == EOPNOTSUPP || errno == ENOSYS) return OverwriteWithZeros(begin, end);
  return ErrnoStatus(errno, "empty a part of", path_);
}

Status SlotFile::OverwriteWithZeros(uint64_t begin, uint64_t end) {
  const std::vector<std::byte> zeros(std::min<uint64_t>(end - begin, 1 << 20));
  while (begin < end) {
    const ssize_t written = ::pwrite(descriptor_, zeros.data(), std::min<uint64_t>(zeros.size(), end - begin),
                                     static_cast<off_t>(begin));
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, "overwrite a part of", path_);
    }
    begin += static_cast<uint64_t>(written);
  }
  return {};
}

Status SlotFile::Write(uint32_t slot, std::span<const std::byte> bytes) {
  QWEN25_CHECK(bytes.size() == slot_bytes_ && slot < end_slot_);
  uint64_t offset = slot * slot_bytes_;
  unsynced_ = true;
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, "write", path_);
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
    if (offset > file_bytes_) file_bytes_ = offset;
  }
  return {};
}

Status SlotFile::Sync() {
  if (!unsynced_) return {};
  if (::fdatasync(descriptor_) != 0) return ErrnoStatus(errno, "flush", path_);
  unsynced_ = false;
  return {};
}

Status SlotFile::Read(uint32_t slot, uint64_t offset, std::span<std::byte> bytes) const {
  offset += slot * slot_bytes_;
  while (!bytes.empty()) {
    const ssize_t count = ::pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, "read", path_);
    }
    if (count == 0) return Corrupt("{}: ends before byte {}", path_, offset + bytes.size());
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
  return {};
}

Status SlotFile::RepairMap() {
  const uint64_t failures = num_map_failures();
  if (failures == repaired_failures_) return {};
  void* const place = const_cast<std::byte*>(map_);
  if (::mmap(place, map_bytes_, PROT_READ, MAP_SHARED | MAP_FIXED, descriptor_, 0) == MAP_FAILED) {
    return ErrnoStatus(errno, "map again", path_);
  }
  repaired_failures_ = failures;
  return {};
}

void SlotFile::Prefetch(std::span<const std::byte> part) const {
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t begin = static_cast<size_t>(part.data() - map_) / page * page;
  const size_t end = static_cast<size_t>(part.data() - map_) + part.size();
  // Only a hint: an error does not matter.
  ::madvise(const_cast<std::byte*>(map_) + begin, end - begin, MADV_WILLNEED);
}

std::span<const std::byte> SlotFile::Map(uint32_t slot) const {
  const uint64_t end = (slot + uint64_t{1}) * slot_bytes_;
  if (end > std::min<uint64_t>(file_bytes_, map_bytes_)) return {};
  return {map_ + slot * slot_bytes_, slot_bytes_};
}

uint64_t SlotFile::DiskBytes() const {
  struct stat info {};
  return ::fstat(descriptor_, &info) == 0 ? static_cast<uint64_t>(info.st_blocks) * 512 : 0;
}

}  // namespace qwen25
