// CRC-32C (polynomial 0x1EDC6F41, RFC 3720 appendix B.4): the checksum of record files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace qwen25 {

// The checksum of `bytes`. If `crc` is the checksum of the bytes before them, the result is that of both
// together. Uses the processor's CRC instruction if it has one.
uint32_t Crc32c(std::span<const std::byte> bytes, uint32_t crc = 0);

// The same by table, which runs on every machine; the fast path is tested against it.
uint32_t Crc32cPortable(std::span<const std::byte> bytes, uint32_t crc = 0);

}  // namespace qwen25
