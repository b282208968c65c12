// The head of a slot of a block file: what the block is, and the sums of its parts. docs/formats/kv_blocks.md
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "memory/block_format.h"
#include "store/cipher.h"

namespace qwen25 {

inline constexpr uint32_t kSlotVersion = 1;
inline constexpr size_t kSlotTokens = 64;  // kBlockTokens
// Slots and their heads are whole pages, so that a hole can be made of a slot.
inline constexpr size_t kSlotPage = 4096;
// Of each layer in its slot: a cache line, what the kernels want of a block's address.
inline constexpr size_t kSlotLayerAlignment = 64;

// Where things lie in a slot, in bytes from its start.
struct SlotLayout {
  size_t header_bytes = 0;
  size_t layer_stride = 0;
  size_t summaries_offset = 0;
  size_t summaries_bytes = 0;
  uint64_t slot_bytes = 0;

  // `format` must be valid.
  explicit SlotLayout(const BlockFormat& format);
  size_t LayerOffset(size_t layer) const { return header_bytes + layer * layer_stride; }
};

// CRC-32C (the first four bytes; the others are 0), or, in an encrypted slot, the Poly1305 tag.
using SlotSum = std::array<std::byte, 16>;
SlotSum CrcSum(std::span<const std::byte> bytes);

struct SlotHeader {
  uint32_t name_space = 0;
  BlockFormat format;
  Hash128 id;
  Hash128 parent;
  uint32_t position = 0;
  std::array<int32_t, kSlotTokens> tokens = {};
  Cipher::Nonce nonce = {};   // zeros in a slot that is not encrypted
  std::vector<SlotSum> sums;  // [num_layers + 1]: of each layer, then of the summaries
};

// How the cipher counts the parts of a slot: its head, then those of `sums`.
inline constexpr uint64_t kSlotHeaderPart = 0;
inline uint64_t SlotPart(size_t index_of_sum) {
  return 1 + index_of_sum;
}

// Writes SlotLayout::header_bytes bytes. With `cipher`, what tells about the content is encrypted.
void EncodeSlotHeader(const SlotHeader& header, const Cipher* cipher, std::span<std::byte> out);

// Gives a head of any content the checksum that it says it should have, where it is long enough. For tests.
void RepairSlotHeaderCrc(std::span<std::byte> bytes);

// Parses a head that may be anything, given with at least the bytes that it says it has. The message begins
// with `origin`. kUnsupported for another version, or for an encrypted one without `cipher`.
Result<SlotHeader> ParseSlotHeader(std::span<const std::byte> bytes, const Cipher* cipher,
                                   std::string_view origin);

}  // namespace qwen25
