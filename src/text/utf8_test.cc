#include "text/utf8.h"

#include <rapidcheck.h>

#include "base/test_util.h"

namespace qwen25 {
namespace {

const std::string kFffd = "\xEF\xBF\xBD";

std::string Repeat(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

TEST(Utf8Test, EncodesAndDecodesEveryCodePoint) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    AppendUtf8(c, text);
    const DecodedCodePoint decoded = DecodeCodePoint(text.data(), text.data() + text.size());
    ASSERT_TRUE(decoded.valid) << static_cast<uint32_t>(c);
    ASSERT_EQ(decoded.code_point, c);
    ASSERT_EQ(decoded.bytes, text.size());
  }
  std::string surrogate, too_large;
  AppendUtf8(0xD800, surrogate);
  AppendUtf8(0x110000, too_large);
  EXPECT_EQ(surrogate, kFffd);
  EXPECT_EQ(too_large, kFffd);
}

// The expected texts are what CPython's bytes.decode("utf-8", "replace") gives.
TEST(Utf8Test, RepairReplacesMaximalSubparts) {
  const std::pair<std::string, std::string> cases[] = {
      {"", ""},
      {"plain", "plain"},
      {"a\xFF\xFE!", std::string("a") + kFffd + kFffd + "!"},
      {"\x80\xBF", Repeat(kFffd, 2)},
      {"\xC0\xAF", Repeat(kFffd, 2)},                    // overlong
      {"\xE0\x80\xAF", Repeat(kFffd, 3)},                // overlong
      {"\xED\xA0\x80", Repeat(kFffd, 3)},                // surrogate
      {"\xF4\x90\x80\x80", Repeat(kFffd, 4)},            // above U+10FFFF
      {"\xE2\x82", kFffd},                               // cut short: one subpart
      {"\xF0\x9F\x98", kFffd},                           // cut short: one subpart
      {"\xF0\x9F\x98x", kFffd + "x"},                    // broken off by a letter
      {"\xE2\x82\xE2\x82\xAC", kFffd + "\xE2\x82\xAC"},  // a cut one and a whole one
      {"\xC3\xC3\xA9", kFffd + "\xC3\xA9"},
      {"\xF1\x80\x80\xE1\x80\xC2", Repeat(kFffd, 3)},  // Unicode 16, table 3-11
  };
  for (const auto& [bytes, expected] : cases) EXPECT_EQ(RepairUtf8(bytes), expected);
}

TEST(Utf8Test, RepairIsValidAndKeepsValidText) {
  EXPECT_TRUE(rc::check("repaired bytes are valid, valid bytes are kept", [](const std::string& bytes) {
    const std::string repaired = RepairUtf8(bytes);
    RC_ASSERT(IsValidUtf8(repaired));
    RC_ASSERT(RepairUtf8(repaired) == repaired);
    RC_ASSERT(IsValidUtf8(bytes) == (bytes == repaired));
  }));
}

TEST(Utf8Test, IncompleteSuffixIsWhatMoreBytesCanComplete) {
  const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80";  // 1, 2, 3 and 4 bytes
  const size_t expected[] = {0, 0, 1, 0, 1, 2, 0, 1, 2, 3, 0};
  for (size_t n = 0; n <= text.size(); ++n) {
    EXPECT_EQ(IncompleteUtf8Suffix(std::string_view(text).substr(0, n)), expected[n]) << n;
  }
  EXPECT_EQ(IncompleteUtf8Suffix("\x80"), 0u);
  EXPECT_EQ(IncompleteUtf8Suffix("\xE0\x80"), 0u);  // overlong already: nothing can complete it
  EXPECT_EQ(IncompleteUtf8Suffix("\xFF"), 0u);
}

}  // namespace
}  // namespace qwen25
