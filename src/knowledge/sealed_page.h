// How a page of an encrypted database lies on disk: docs/formats/encrypted_notes.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "store/cipher.h"

namespace qwen25 {

inline constexpr size_t kPageBytes = 4096;
// At the end of a page: random bytes, the nonce and the tag.
inline constexpr size_t kPadBytes = 8;
inline constexpr size_t kSealedBytes = kPageBytes - sizeof(Cipher::Nonce) - sizeof(Cipher::Tag);
inline constexpr size_t kReservedPageBytes = kPageBytes - kSealedBytes + kPadBytes;  // SQLite keeps off them
// A frame of the write-ahead log: a head (page number, size of the database, two salts, checksum), the page.
inline constexpr size_t kLogHeadBytes = 32, kLogSaltOffset = 16, kSaltBytes = 8;
inline constexpr size_t kFrameHeadBytes = 24, kFrameSaltOffset = 8, kFrameChecksumOffset = 16;
inline constexpr size_t kFrameBytes = kFrameHeadBytes + kPageBytes;
// In the place of SQLite's own first words: this many bytes of the first page are not encrypted.
inline constexpr size_t kPageMagicBytes = 16;

using PageBytes = std::span<std::byte, kPageBytes>;
using FrameHead = std::span<std::byte, kFrameHeadBytes>;

// What stands at the start of a database that is encrypted with this key: "q25page" and a version, and 8
// bytes that tell one key from another.
std::array<std::byte, kPageMagicBytes> PageMagic(const Cipher& cipher);

// In place, page `number` of the database (they count from 1).
void SealDatabasePage(const Cipher& cipher, uint64_t number, PageBytes page);
// False where the page is not one that Seal made for this place.
bool OpenDatabasePage(const Cipher& cipher, uint64_t number, PageBytes page);

// Where a frame is: its number in the log, from 1, and the salts in the log's head, which are others each
// time the log begins anew. (Those in the frame's own head may be filled in after the page.)
struct FramePlace {
  uint64_t frame = 0;
  std::array<std::byte, kSaltBytes> salts = {};
};

// The page of a frame, bound to its place and to what its head says first: the number of the page and the
// size of the database.
void SealLogPage(const Cipher& cipher, const FramePlace& place,
                 std::span<const std::byte, kFrameHeadBytes> head, PageBytes page);
// The bytes of the pad are those that were sealed: the checksum of the frame covers them.
bool OpenLogPage(const Cipher& cipher, const FramePlace& place,
                 std::span<const std::byte, kFrameHeadBytes> head, PageBytes page);

// SQLite's checksum in the head of a frame is a linear function of the decrypted page, and would tell a right
// guess from a wrong one. These replace it by, and restore it from, eight bytes that tell nothing.
void HideChecksum(const Cipher& cipher, const FramePlace& place, FrameHead head);
void ShowChecksum(const Cipher& cipher, const FramePlace& place, FrameHead head);

// New random bytes for the pad of an opened page. They go into SQLite's checksums when the page is written
// again, so that the last one of the log, which stands in the -shm file, does not depend on the content
// alone.
void RenewPad(PageBytes page);

}  // namespace qwen25
