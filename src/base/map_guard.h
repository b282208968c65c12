// Turns read errors of mapped files into a count that callers can check, instead of a signal that ends the
// process.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace qwen25 {

// While it lives, a page of [begin, begin + num_bytes) that the system cannot read (SIGBUS: the disk fails,
// or the file was cut short) is replaced by a page of zeros in RAM, and `failures` rises by one. Readers
// compare `failures` before and after: if it has changed, the bytes that they read are invalid. The page
// stays replaced until the owner maps the file again; writes to it do not reach the file.
//
// The first guard installs the process's SIGBUS handler. Signals outside of guarded ranges go to the handler
// that was installed before.
class MapGuard {
 public:
  MapGuard() = default;
  // `failures` must outlive the guard.
  MapGuard(const std::byte* begin, size_t num_bytes, std::atomic<uint64_t>* failures);
  MapGuard(MapGuard&& other) noexcept : range_(std::exchange(other.range_, nullptr)) {}
  MapGuard& operator=(MapGuard&& other) noexcept {
    std::swap(range_, other.range_);
    return *this;
  }
  // Destroy it before the range is unmapped.
  ~MapGuard();

  struct Range;

 private:
  Range* range_ = nullptr;
};

}  // namespace qwen25
