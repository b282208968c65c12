// The header of a slot in a block file: the block's description, and the checksums of its parts. Format:
// docs/formats/kv_blocks.md.
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
// Slots and their headers are whole pages, so that a slot can become a hole in the file.
inline constexpr size_t kSlotPage = 4096;
// Alignment of each layer in its slot: a cache line, as the kernels require of a block's address.
inline constexpr size_t kSlotLayerAlignment = 64;

// Places of the parts of a slot, in bytes from its start.
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

// A checksum: CRC-32C in the first four bytes and zeros in the others, or the Poly1305 tag in an encrypted
// slot.
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

// Part numbers for the cipher: the slot's header, then the parts in the order of `sums`.
inline constexpr uint64_t kSlotHeaderPart = 0;
inline uint64_t SlotPart(size_t index_of_sum) {
  return 1 + index_of_sum;
}

// Writes SlotLayout::header_bytes bytes to `out`. With `cipher`, ids, fingerprint, position and tokens are
// encrypted.
void EncodeSlotHeader(const SlotHeader& header, const Cipher* cipher, std::span<std::byte> out);

// Makes the CRC of a header with any content right, if `bytes` are long enough for one. For tests and
// fuzzing.
void RepairSlotHeaderCrc(std::span<std::byte> bytes);

// Parses a header from untrusted bytes; those after the header are ignored. Messages begin with `origin`.
// kCorrupt for a damaged header and for one that is not encrypted although `cipher` is given; kUnsupported
// for another version, and for an encrypted header without `cipher`.
Result<SlotHeader> ParseSlotHeader(std::span<const std::byte> bytes, const Cipher* cipher,
                                   std::string_view origin);

}  // namespace qwen25
