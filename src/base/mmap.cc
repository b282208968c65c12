#include "base/mmap.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace qwen25 {

Result<MappedFile> MappedFile::Open(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return ErrnoStatus(errno, "open", path);
  struct stat info {};
  if (::fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(descriptor);
    return InvalidArgument("{}: not a regular file", path.string());
  }
  const auto size = static_cast<size_t>(info.st_size);
  if (size == 0) {
    ::close(descriptor);
    return MappedFile({});
  }
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  const int error_number = errno;
  ::close(descriptor);
  if (address == MAP_FAILED) return ErrnoStatus(error_number, "map", path);
  return MappedFile({static_cast<const std::byte*>(address), size});
}

void MappedFile::Release(std::span<const std::byte> part) {
  static const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<uintptr_t>(part.data());
  // Whole pages only: the others belong to neighbours as well.
  const uintptr_t begin = (address + page - 1) / page * page, end = (address + part.size()) / page * page;
  // Failure changes nothing but the memory in use.
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

void MappedFile::ReleaseBehind(std::span<const std::byte> part, size_t begin, size_t end) {
  constexpr size_t kPiece = size_t{8} << 20;
  const size_t piece = end / kPiece;
  if (begin / kPiece == piece || piece < 2) return;
  Release(part.subspan((piece - 2) * kPiece, kPiece));
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace qwen25
