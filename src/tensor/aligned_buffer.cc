#include "tensor/aligned_buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>

namespace qwen25 {
namespace {

constexpr size_t kCacheLine = 64;
constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

void* AllocateAligned(size_t num_bytes) {
  const size_t alignment = num_bytes >= kHugePage ? kHugePage : kCacheLine;
  const size_t rounded = (num_bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
  void* pointer = nullptr;
  // Like every other allocation: main makes a message of it.
  if (rounded < num_bytes || ::posix_memalign(&pointer, alignment, rounded) != 0) throw std::bad_alloc();
  if (alignment == kHugePage) ::madvise(pointer, rounded, MADV_HUGEPAGE);  // advice: failure changes nothing
  return pointer;
}

void FreeAligned(void* pointer) {
  std::free(pointer);
}

}  // namespace qwen25
