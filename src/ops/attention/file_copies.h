// Copies of blocks that lie in a file.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "ops/attention/sequence_kv.h"

namespace qwen25 {

// Blocks of one kv head that were read from a file, in scratch memory: neighbouring tokens often choose the
// same ones.
class FileCopies {
 public:
  static size_t NumFloats(size_t block_bytes) {
    return (kCopies * (sizeof(Copied) + block_bytes) + kAlignment) / sizeof(float);
  }
  FileCopies(float* memory, size_t block_bytes)
      : copied_(reinterpret_cast<Copied*>((reinterpret_cast<uintptr_t>(memory) + kAlignment - 1) /
                                          kAlignment * kAlignment)),
        blocks_(reinterpret_cast<std::byte*>(copied_ + kCopies)),
        block_bytes_(block_bytes) {}

  // To be called at the start, and when others may have written to blocks.
  void Forget() { std::fill_n(copied_, kCopies, nullptr); }
  // A copy of the block at `data`, the index-th of its list; null if the file cannot be read.
  std::byte* Of(const BlockFile& file, const std::byte* data, size_t index) {
    const size_t place = index % kCopies;
    std::byte* copy = blocks_ + place * block_bytes_;
    if (copied_[place] == data) return copy;
    const bool read = file.Read(data, block_bytes_, copy);
    copied_[place] = read ? data : nullptr;
    return read ? copy : nullptr;
  }

 private:
  using Copied = const std::byte*;
  static constexpr size_t kCopies = 32;  // of 16 KiB where D is 64, in float16: half of a second-level cache
  static constexpr size_t kAlignment = 64;

  Copied* copied_;  // [kCopies]
  std::byte* blocks_;
  size_t block_bytes_;
};

}  // namespace qwen25
