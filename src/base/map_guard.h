// Mapped files whose pages cannot be read: a number to ask for, in the place of a signal that ends the
// process.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace qwen25 {

// While it lives, a page of [begin, begin + num_bytes) that the system cannot bring into memory (the disk
// fails, or the file was cut short: SIGBUS) becomes one of zeros that lies in RAM, and `failures` is counted
// up. Whoever reads the map looks at `failures` afterwards: if it has changed, what was read means nothing.
// The page stays as it is until the owner maps the file anew, and what is written to it never reaches the
// file.
//
// The first guard sets the process's handler of SIGBUS. Signals that have nothing to do with a guarded range
// go to the handler that was there before.
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
  // To be destroyed before the range is unmapped.
  ~MapGuard();

  struct Range;

 private:
  Range* range_ = nullptr;
};

}  // namespace qwen25
