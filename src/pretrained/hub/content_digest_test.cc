#include "pretrained/hub/content_digest.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/file.h"
#include "base/test_util.h"

namespace qwen25 {
namespace {

std::string Sha1Of(std::string_view text) {
  Sha1 sha1;
  sha1.Update(std::as_bytes(std::span(text)));
  return sha1.Finish();
}

// Test vectors of FIPS 180.
TEST(Sha1Test, KnownAnswers) {
  EXPECT_EQ(Sha1Of(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT_EQ(Sha1Of("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(Sha1Of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  EXPECT_EQ(Sha1Of(std::string(1'000'000, 'a')), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

// Pieces of any length give the digest of the whole, at every length around a block.
TEST(Sha1Test, PiecesGiveTheSameDigest) {
  for (size_t size = 0; size < 200; ++size) {
    const std::string text(size, static_cast<char>('a' + size % 26));
    Sha1 sha1;
    for (size_t begin = 0; begin < size; begin += 7) {
      sha1.Update(std::as_bytes(std::span(text).subspan(begin, std::min<size_t>(7, size - begin))));
    }
    EXPECT_EQ(sha1.Finish(), Sha1Of(text)) << size;
  }
}

bool Matches(std::string_view digest, std::string_view text) {
  ContentDigest content(digest, text.size());
  content.Update(std::as_bytes(std::span(text)));
  return content.Matches();
}

TEST(ContentDigestTest, IsSha256OrGitsDigest) {
  // `git hash-object` of a file that holds "hello\n", and of an empty one.
  EXPECT_TRUE(Matches("ce013625030ba8dba906f756967f9e9ca394464a", "hello\n"));
  EXPECT_TRUE(Matches("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", ""));
  EXPECT_TRUE(Matches("5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03", "hello\n"));
  EXPECT_FALSE(Matches("5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03", "hello"));
  EXPECT_FALSE(Matches("ce013625030ba8dba906f756967f9e9ca394464a", "hello"));
}

TEST(ContentDigestTest, OtherFormsAreNone) {
  for (const char* text :
       {"", "abc", "CE013625030ba8dba906f756967f9e9ca394464a", "../../../../../../etc/passwd/aaaaaaaaaaaa"}) {
    EXPECT_FALSE(ContentDigest::IsDigest(text)) << text;
  }
}

TEST(ContentDigestTest, AFileWithAnotherContentIsNamed) {
  const TemporaryDirectory directory;
  ASSERT_OK(WriteFileAtomically(directory / "file", "hello\n"));
  EXPECT_OK(CheckContent(directory / "file", "ce013625030ba8dba906f756967f9e9ca394464a"));
  ASSERT_OK(WriteFileAtomically(directory / "file", "hellO\n"));
  EXPECT_ERROR_CONTAINS(CheckContent(directory / "file", "ce013625030ba8dba906f756967f9e9ca394464a"),
                        "/file: its content does not have the digest");
}

}  // namespace
}  // namespace qwen25
