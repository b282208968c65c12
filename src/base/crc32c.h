// CRC-32C (polynomial 0x1EDC6F41, RFC 3720 appendix B.4): the checksum of record files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace qwen25 {

// The checksum of `bytes`, or, with `crc` the checksum of what stood before them, of both together. Uses the
// processor's instruction where it has one.
uint32_t Crc32c(std::span<const std::byte> bytes, uint32_t crc = 0);

// The same by table: what every machine can run, and what the fast path is tested against.
uint32_t Crc32cPortable(std::span<const std::byte> bytes, uint32_t crc = 0);

}  // namespace qwen25
