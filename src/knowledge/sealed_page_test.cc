#include "knowledge/sealed_page.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/rng.h"
#include "base/test_util.h"

namespace qwen25 {
namespace {

using Page = std::array<std::byte, kPageBytes>;
using Head = std::array<std::byte, kFrameHeadBytes>;

Cipher TestCipher(char letter = 'k') {
  auto cipher = Cipher::Create(std::string(32, letter), KeyPurpose::kPages);
  EXPECT_OK(cipher);
  return std::move(cipher).value();
}

// As SQLite gives one: zeros where nonce and tag go.
Page RandomPage(uint64_t seed) {
  Rng rng(seed);
  Page page = {};
  for (size_t i = 0; i < kSealedBytes; ++i) page[i] = static_cast<std::byte>(rng.Next());
  std::memcpy(page.data(), "SQLite format 3\0", kPageMagicBytes);
  return page;
}

Head RandomHead(uint64_t seed) {
  Rng rng(seed);
  Head head;
  for (std::byte& byte : head) byte = static_cast<std::byte>(rng.Next());
  return head;
}

FramePlace PlaceOf(uint64_t frame, uint8_t salt = 1) {
  FramePlace place = {.frame = frame};
  place.salts.fill(std::byte{salt});
  return place;
}

TEST(SealedPage, OpensInItsOwnPlaceAndWithItsOwnKeyAlone) {
  const Cipher cipher = TestCipher(), other = TestCipher('o');
  const Page page = RandomPage(1);
  for (const uint64_t number : {uint64_t{1}, uint64_t{2}, uint64_t{1} << 31}) {
    Page sealed = page, again = page;
    SealDatabasePage(cipher, number, sealed);
    SealDatabasePage(cipher, number, again);
    EXPECT_NE(sealed, again) << "a nonce was used twice";
    Page opened = sealed;
    EXPECT_TRUE(OpenDatabasePage(cipher, number, opened));
    EXPECT_EQ(opened, page);
    opened = sealed;
    EXPECT_FALSE(OpenDatabasePage(cipher, number + 1, opened));
    opened = sealed;
    EXPECT_FALSE(OpenDatabasePage(other, number, opened));
    opened = sealed;
    EXPECT_FALSE(OpenLogPage(cipher, PlaceOf(number), RandomHead(1), opened));
  }
}

TEST(SealedPage, NoticesEveryFlippedBit) {
  const Cipher cipher = TestCipher();
  const Head head = RandomHead(2);
  Page first = RandomPage(1), second = first, in_log = first;
  SealDatabasePage(cipher, 1, first);
  SealDatabasePage(cipher, 2, second);
  SealLogPage(cipher, PlaceOf(3), head, in_log);
  for (size_t bit = 0; bit < 8 * kPageBytes; ++bit) {
    const auto flipped = [&](Page page) {
      page[bit / 8] ^= std::byte{1} << (bit % 8);
      return page;
    };
    Page page = flipped(first);
    EXPECT_FALSE(OpenDatabasePage(cipher, 1, page)) << "bit " << bit;
    page = flipped(second);
    EXPECT_FALSE(OpenDatabasePage(cipher, 2, page)) << "bit " << bit;
    page = flipped(in_log);
    EXPECT_FALSE(OpenLogPage(cipher, PlaceOf(3), head, page)) << "bit " << bit;
  }
}

TEST(SealedPage, OfTheLogBelongsToItsFrame) {
  const Cipher cipher = TestCipher();
  const Head head = RandomHead(2);
  const Page page = RandomPage(1);
  Page sealed = page;
  SealLogPage(cipher, PlaceOf(3), head, sealed);
  Page opened = sealed;
  EXPECT_TRUE(OpenLogPage(cipher, PlaceOf(3), head, opened));
  EXPECT_EQ(opened, page);
  opened = sealed;
  EXPECT_FALSE(OpenLogPage(cipher, PlaceOf(4), head, opened));
  opened = sealed;
  EXPECT_FALSE(OpenLogPage(cipher, PlaceOf(3, 2), head, opened)) << "a log that began anew";
  for (size_t bit = 0; bit < 8 * kFrameHeadBytes; ++bit) {
    Head other = head;
    other[bit / 8] ^= std::byte{1} << (bit % 8);
    opened = sealed;
    // Its own salts and checksum are SQLite's to check.
    EXPECT_EQ(OpenLogPage(cipher, PlaceOf(3), other, opened), bit >= 8 * kFrameSaltOffset) << "bit " << bit;
  }
}

TEST(SealedPage, ChecksumsAreHiddenAndComeBack) {
  const Cipher cipher = TestCipher();
  for (uint64_t frame = 1; frame < 50; ++frame) {
    const Head head = RandomHead(frame);
    Head hidden = head, elsewhere = head;
    HideChecksum(cipher, PlaceOf(frame), hidden);
    HideChecksum(cipher, PlaceOf(frame + 1), elsewhere);
    EXPECT_EQ(std::memcmp(hidden.data(), head.data(), kFrameChecksumOffset), 0);
    for (const size_t half : {kFrameChecksumOffset, kFrameChecksumOffset + 4}) {
      EXPECT_NE(std::memcmp(hidden.data() + half, head.data() + half, 4), 0);
      EXPECT_NE(std::memcmp(hidden.data() + half, elsewhere.data() + half, 4), 0);
    }
    ShowChecksum(cipher, PlaceOf(frame), hidden);
    EXPECT_EQ(hidden, head);
  }
}

TEST(SealedPage, OfTheSameContentHasAnotherPad) {
  Page a = RandomPage(1), b = a;
  RenewPad(a);
  RenewPad(b);
  EXPECT_NE(a, b);
  EXPECT_EQ(std::memcmp(a.data(), b.data(), kPageBytes - kReservedPageBytes), 0);
  EXPECT_EQ(std::memcmp(a.data() + kSealedBytes, b.data() + kSealedBytes, kPageBytes - kSealedBytes), 0);
}

}  // namespace
}  // namespace qwen25
