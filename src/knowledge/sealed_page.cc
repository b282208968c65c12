#include "knowledge/sealed_page.h"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace qwen25 {
namespace {

constexpr std::string_view kSqliteMagic("SQLite format 3\0", kPageMagicBytes);
constexpr std::string_view kMagic = "q25page1";
constexpr std::string_view kKeyCheckText = "the key of these notes";
// In a nonce's part number, this bit tells frames of the log from pages of the database.
constexpr uint64_t kLogPart = uint64_t{1} << 63;
constexpr size_t kNonceOffset = kSealedBytes, kTagOffset = kNonceOffset + sizeof(Cipher::Nonce);

std::span<const std::byte> TextBytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

void Seal(const Cipher& cipher, uint64_t part, std::span<const std::byte> context, size_t begin,
          PageBytes page) {
  const Cipher::Nonce nonce = Cipher::NewNonce();
  const Cipher::Tag tag = cipher.Encrypt(page.subspan(begin, kSealedBytes - begin), nonce, part, context);
  std::memcpy(page.data() + kNonceOffset, nonce.data(), nonce.size());
  std::memcpy(page.data() + kTagOffset, tag.data(), tag.size());
}

bool Open(const Cipher& cipher, uint64_t part, std::span<const std::byte> context, size_t begin,
          PageBytes page) {
  Cipher::Nonce nonce;
  Cipher::Tag tag;
  std::memcpy(nonce.data(), page.data() + kNonceOffset, nonce.size());
  std::memcpy(tag.data(), page.data() + kTagOffset, tag.size());
  // SQLite must always see zeros there: its checksums cover them.
  std::fill(page.begin() + kNonceOffset, page.end(), std::byte{0});
  return cipher.Decrypt(page.subspan(begin, kSealedBytes - begin), nonce, part, context, tag);
}

// The round function, keyed BLAKE2b, of a Feistel network of four rounds (Luby and Rackoff 1988) over the two
// halves of a checksum. All that shows is that equal checksums in the same frame give equal bytes.
uint32_t Round(const Cipher& cipher, uint32_t round, const FramePlace& place, uint32_t half) {
  std::array<std::byte, 24> input;
  std::memcpy(input.data(), &place.frame, 8);
  std::memcpy(input.data() + 8, place.salts.data(), 8);
  std::memcpy(input.data() + 16, &round, 4);
  std::memcpy(input.data() + 20, &half, 4);
  uint32_t output;
  std::memcpy(&output, cipher.Hide(input).data(), sizeof output);
  return output;
}

constexpr uint32_t kRounds = 4;

std::array<std::byte, 16> FrameContext(const FramePlace& place,
                                       std::span<const std::byte, kFrameHeadBytes> head) {
  std::array<std::byte, 16> context;
  std::memcpy(context.data(), head.data(), kFrameSaltOffset);
  std::memcpy(context.data() + kFrameSaltOffset, place.salts.data(), kSaltBytes);
  return context;
}

}  // namespace

std::array<std::byte, kPageMagicBytes> PageMagic(const Cipher& cipher) {
  std::array<std::byte, kPageMagicBytes> magic;
  std::memcpy(magic.data(), kMagic.data(), kMagic.size());
  std::memcpy(magic.data() + kMagic.size(), cipher.Hide(TextBytes(kKeyCheckText)).data(),
              magic.size() - kMagic.size());
  return magic;
}

void SealDatabasePage(const Cipher& cipher, uint64_t number, PageBytes page) {
  if (number != 1) return Seal(cipher, number, {}, 0, page);
  const auto magic = PageMagic(cipher);
  std::ranges::copy(magic, page.begin());
  Seal(cipher, number, magic, magic.size(), page);
}

bool OpenDatabasePage(const Cipher& cipher, uint64_t number, PageBytes page) {
  if (number != 1) return Open(cipher, number, {}, 0, page);
  if (!Open(cipher, number, page.first<kPageMagicBytes>(), kPageMagicBytes, page)) return false;
  std::ranges::copy(TextBytes(kSqliteMagic), page.begin());
  return true;
}

void SealLogPage(const Cipher& cipher, const FramePlace& place,
                 std::span<const std::byte, kFrameHeadBytes> head, PageBytes page) {
  Seal(cipher, kLogPart | place.frame, FrameContext(place, head), 0, page);
}

bool OpenLogPage(const Cipher& cipher, const FramePlace& place,
                 std::span<const std::byte, kFrameHeadBytes> head, PageBytes page) {
  return Open(cipher, kLogPart | place.frame, FrameContext(place, head), 0, page);
}

void HideChecksum(const Cipher& cipher, const FramePlace& place, FrameHead head) {
  std::array<uint32_t, 2> halves;
  std::memcpy(halves.data(), head.data() + kFrameChecksumOffset, sizeof halves);
  for (uint32_t round = 0; round < kRounds; ++round) {
    halves[round % 2] ^= Round(cipher, round, place, halves[1 - round % 2]);
  }
  std::memcpy(head.data() + kFrameChecksumOffset, halves.data(), sizeof halves);
}

void ShowChecksum(const Cipher& cipher, const FramePlace& place, FrameHead head) {
  std::array<uint32_t, 2> halves;
  std::memcpy(halves.data(), head.data() + kFrameChecksumOffset, sizeof halves);
  for (uint32_t round = kRounds; round-- > 0;) {
    halves[round % 2] ^= Round(cipher, round, place, halves[1 - round % 2]);
  }
  std::memcpy(head.data() + kFrameChecksumOffset, halves.data(), sizeof halves);
}

void RenewPad(PageBytes page) {
  const Cipher::Nonce random = Cipher::NewNonce();
  std::memcpy(page.data() + kSealedBytes - kPadBytes, random.data(), kPadBytes);
}

}  // namespace qwen25
