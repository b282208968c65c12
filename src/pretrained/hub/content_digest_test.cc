#include "pretrained/hub/content_digest.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/test_util.h"

namespace qwen25 {
namespace {

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

TEST(ContentDigestTest, PiecesGiveTheSameDigest) {
  for (const size_t digits : {40, 64}) {
    const std::string any(digits, '0'), text(200, 'x');
    ContentDigest whole(any, text.size()), pieces(any, text.size());
    whole.Update(std::as_bytes(std::span(text)));
    for (size_t begin = 0; begin < text.size(); begin += 7) {
      pieces.Update(std::as_bytes(std::span(text).subspan(begin, std::min<size_t>(7, text.size() - begin))));
    }
    const std::string digest = whole.Finish();
    EXPECT_EQ(digest.size(), digits);
    EXPECT_EQ(pieces.Finish(), digest);
  }
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
