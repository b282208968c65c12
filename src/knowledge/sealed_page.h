// The layout of an encrypted database's pages on disk: docs/formats/encrypted_notes.md.
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
inline constexpr size_t kReservedPageBytes = kPageBytes - kSealedBytes + kPadBytes;  // not used by SQLite
// A frame of the write-ahead log: a header (page number, size of the database, two salts, checksum) and the
// page.
inline constexpr size_t kLogHeadBytes = 32, kLogSaltOffset = 16, kSaltBytes = 8;
inline constexpr size_t kFrameHeadBytes = 24, kFrameSaltOffset = 8, kFrameChecksumOffset = 16;
inline constexpr size_t kFrameBytes = kFrameHeadBytes + kPageBytes;
// The first bytes of page 1 are not encrypted, and replace SQLite's magic.
inline constexpr size_t kPageMagicBytes = 16;

using PageBytes = std::span<std::byte, kPageBytes>;
using FrameHead = std::span<std::byte, kFrameHeadBytes>;

// The first bytes of a database that is encrypted with this key: "q25page", the version, and 8 bytes that
// identify the key.
std::array<std::byte, kPageMagicBytes> PageMagic(const Cipher& cipher);

// Encrypts page `number` of the database in place. Numbers count from 1.
void SealDatabasePage(const Cipher& cipher, uint64_t number, PageBytes page);
// Decrypts it in place. False if it was not encrypted with this key for this number.
bool OpenDatabasePage(const Cipher& cipher, uint64_t number, PageBytes page);

// The place of a frame: its number in the log, from 1, and the salts in the log's header, which change when
// the log begins anew. (Those in the frame's own header may be written after its page.)
struct FramePlace {
  uint64_t frame = 0;
  std::array<std::byte, kSaltBytes> salts = {};
};

// Encrypts a frame's page in place, bound to the frame's place and to the first 8 bytes of its header: page
// number and size of the database.
void SealLogPage(const Cipher& cipher, const FramePlace& place,
                 std::span<const std::byte, kFrameHeadBytes> head, PageBytes page);
// Decrypts it in place, with the pad as it was encrypted: the frame's checksum covers it.
bool OpenLogPage(const Cipher& cipher, const FramePlace& place,
                 std::span<const std::byte, kFrameHeadBytes> head, PageBytes page);

// SQLite's checksum in a frame's header is a linear function of the decrypted page, and would tell a right
// guess of the page from a wrong one. These replace it with eight bytes that tell nothing, and restore it.
void HideChecksum(const Cipher& cipher, const FramePlace& place, FrameHead head);
void ShowChecksum(const Cipher& cipher, const FramePlace& place, FrameHead head);

// Draws new random bytes for the pad of a decrypted page. SQLite's checksums cover them when the page is
// written again; so the log's last checksum, which is plain in the -shm file, does not depend on the content
// alone.
void RenewPad(PageBytes page);

}  // namespace qwen25
