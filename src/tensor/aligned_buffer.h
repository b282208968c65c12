// Memory for numbers: aligned to a cache line, and to huge pages where it is large.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <utility>

namespace qwen25 {

// `num_bytes` of uninitialised memory, aligned to 64 bytes; at 2 MiB and above aligned to and advised for
// huge pages, since a matrix product walks more 4 KiB pages than the TLB holds. Throws std::bad_alloc when
// memory is exhausted.
void* AllocateAligned(size_t num_bytes);
void FreeAligned(void* pointer);

// Owns `size()` elements of T, uninitialised. T must be trivial.
template <typename T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t size)
      : data_(size == 0 ? nullptr : static_cast<T*>(AllocateAligned(size * sizeof(T)))), size_(size) {}
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~AlignedBuffer() { FreeAligned(data_); }

  // Makes room for at least `size` elements. The content is lost if the buffer has to grow.
  void Reserve(size_t size) {
    if (size > size_) *this = AlignedBuffer(size);
  }

  T* data() const { return data_; }
  size_t size() const { return size_; }
  T& operator[](size_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace qwen25
