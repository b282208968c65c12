// Counts heap allocations, for tests of code that must not allocate. Include it in one file of a test
// program: it replaces the allocation functions of the whole program, libraries included.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace qwen25 {

inline std::atomic<uint64_t> num_allocations{0};

// Allocations of all threads since this object was made.
class AllocationCounter {
 public:
  uint64_t count() const { return num_allocations.load() - start_; }

 private:
  uint64_t start_ = num_allocations.load();
};

}  // namespace qwen25

// Sanitizers bring their own allocators; nothing is counted under them, and the tests must skip.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define QWEN25_COUNTS_ALLOCATIONS 0
#else
#define QWEN25_COUNTS_ALLOCATIONS 1

// glibc's functions, under names that remain when a program defines `malloc` itself. Operator new calls
// malloc, too.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t size) {
  qwen25::num_allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  qwen25::num_allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(count, size);
}
void* realloc(void* pointer, size_t size) {
  qwen25::num_allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_realloc(pointer, size);
}
void* memalign(size_t alignment, size_t size) {
  qwen25::num_allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  return memalign(alignment, size);
}
int posix_memalign(void** out, size_t alignment, size_t size) {
  *out = memalign(alignment, size);
  return *out == nullptr ? ENOMEM : 0;
}
}  // extern "C"
#endif
