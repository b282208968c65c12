#include "text/pre_tokenizer.h"

#include <rapidcheck.h>
#include <unicode/regex.h>

#include <vector>

#include "base/rng.h"
#include "base/test_util.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

constexpr char kQwen2Pattern[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr char kGpt2Pattern[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

using Pieces = std::vector<std::string>;

Pieces Split(PreTokenizerKind kind, std::string_view text) {
  Pieces pieces;
  PreTokenizer(kind).ForEachPiece(text, [&](std::string_view piece) { pieces.emplace_back(piece); });
  return pieces;
}

// The published expression, run by ICU's backtracking matcher.
class RegexOracle {
 public:
  explicit RegexOracle(const char* pattern) {
    UErrorCode error = U_ZERO_ERROR;
    pattern_.reset(icu::RegexPattern::compile(icu::UnicodeString::fromUTF8(pattern), 0, error));
    QWEN25_CHECK(U_SUCCESS(error));
  }
  Pieces Split(const std::string& text) const {
    UErrorCode error = U_ZERO_ERROR;
    const icu::UnicodeString input = icu::UnicodeString::fromUTF8(text);
    std::unique_ptr<icu::RegexMatcher> matcher(pattern_->matcher(input, error));
    Pieces pieces;
    while (matcher->find()) matcher->group(error).toUTF8String(pieces.emplace_back());
    QWEN25_CHECK(U_SUCCESS(error));
    return pieces;
  }

 private:
  std::unique_ptr<icu::RegexPattern> pattern_;
};

// Text dense in the cases where alternatives of the patterns meet.
std::string RandomText(Rng& rng) {
  static const char* const kParts[] = {"a",
                                       "B",
                                       "xyz",
                                       "s",
                                       "T",
                                       "re",
                                       "LL",
                                       "ve",
                                       "'",
                                       "'",
                                       "\u017F",
                                       "\u2019",
                                       "0",
                                       "42",
                                       " ",
                                       " ",
                                       " ",
                                       "  ",
                                       "\t",
                                       "\n",
                                       "\r",
                                       "\r\n",
                                       "\v",
                                       "\u00A0",
                                       "\u3000",
                                       "\u2028",
                                       "!",
                                       "?!",
                                       "...",
                                       "-",
                                       "\u00E9",
                                       "\u0301",
                                       "\u0915\u094D",
                                       "\u4E2D\u6587",
                                       "\u0660",
                                       "\u2167",
                                       "\u00BD",
                                       "\U0001F600",
                                       "\u200D",
                                       "\u00DF",
                                       "\u0130",
                                       "_",
                                       "<|",
                                       "|>",
                                       "\x01",
                                       "\uFFFD",
                                       "\u180E",
                                       "\u0085"};
  std::string text;
  for (uint64_t n = rng.Below(24); n > 0; --n) text += kParts[rng.Below(std::size(kParts))];
  return text;
}

TEST(PreTokenizerTest, KnownSplits) {
  const std::pair<const char*, Pieces> qwen2[] = {
      {"", {}},
      {"Hello, world!", {"Hello", ",", " world", "!"}},
      {"I'll DON'T 'sup", {"I", "'ll", " DON", "'T", " '", "sup"}},
      {"x  y\n\n  z  ", {"x", " ", " y", "\n\n", " ", " z", "  "}},
      {"a1234", {"a", "1", "2", "3", "4"}},
      {"!!\r\n\r\nif", {"!!\r\n\r\n", "if"}},
      {"\tint x;", {"\tint", " x", ";"}},
      {" \n \n a", {" \n \n", " a"}},
      {"'\u017Fx", {"'\u017F", "x"}},
      {"\u00A0caf\u00E9", {"\u00A0caf\u00E9"}},
  };
  for (const auto& [text, pieces] : qwen2) EXPECT_EQ(Split(PreTokenizerKind::kQwen2, text), pieces) << text;
  const std::pair<const char*, Pieces> gpt2[] = {
      {"Hello, world!", {"Hello", ",", " world", "!"}},
      {"I'll DON'T", {"I", "'ll", " DON", "'", "T"}},
      {"a1234 56", {"a", "1234", " 56"}},
      {"x  y\n\n  z  ", {"x", " ", " y", "\n\n ", " z", "  "}},
      {"\tint", {"\t", "int"}},
  };
  for (const auto& [text, pieces] : gpt2) EXPECT_EQ(Split(PreTokenizerKind::kGpt2, text), pieces) << text;
  const std::pair<const char*, Pieces> digits[] = {
      {"a1234 56", {"a", "1", "2", "3", "4", " ", "5", "6"}},
      {"I'll  7", {"I", "'ll", "  ", "7"}},
      {"x  y \n1\u00BD", {"x", " ", " y", " \n", "1", "\u00BD"}},
      {" !1 !", {" !", "1", " !"}},
  };
  for (const auto& [text, pieces] : digits)
    EXPECT_EQ(Split(PreTokenizerKind::kDigitsGpt2, text), pieces) << text;
}

TEST(PreTokenizerTest, EqualsTheRegularExpressions) {
  const RegexOracle qwen2(kQwen2Pattern), gpt2(kGpt2Pattern);
  Rng rng(7);
  for (int i = 0; i < 20000; ++i) {
    const std::string text = RandomText(rng);
    ASSERT_EQ(Split(PreTokenizerKind::kQwen2, text), qwen2.Split(text)) << text;
    ASSERT_EQ(Split(PreTokenizerKind::kGpt2, text), gpt2.Split(text)) << text;
  }
}

// Every code point that this ICU knows, alone, before and after what could bind to it. (Letters and numbers
// of Unicode 16 are ours whatever ICU is installed, so those that it does not know are left out.)
TEST(PreTokenizerTest, EqualsTheRegularExpressionsOnEveryCodePoint) {
  const RegexOracle qwen2(kQwen2Pattern), gpt2(kGpt2Pattern);
  for (char32_t c = 1; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c < 0xE000) c = 0xE000;
    if (c >= 0x3400 && c % 16 != 0 && u_charType(c) == U_OTHER_LETTER) continue;  // long equal stretches
    if (!u_isdefined(static_cast<UChar32>(c))) continue;
    UVersionInfo age;
    u_charAge(static_cast<UChar32>(c), age);
    if (age[0] > kClassesUnicodeVersion) continue;
    std::string text = " ";
    for (const char* next : {"a", "'", "e 1", "  ", "\n", "'l"}) {
      AppendUtf8(c, text);
      text += next;
    }
    ASSERT_EQ(Split(PreTokenizerKind::kQwen2, text), qwen2.Split(text)) << static_cast<uint32_t>(c);
    ASSERT_EQ(Split(PreTokenizerKind::kGpt2, text), gpt2.Split(text)) << static_cast<uint32_t>(c);
  }
}

TEST(PreTokenizerTest, PiecesCoverArbitraryBytesAndMatchTheRepairedText) {
  EXPECT_TRUE(rc::check("pieces cover the text, and repaired pieces are the pieces of the repaired text",
                        [](const std::string& noise, uint64_t seed) {
                          Rng rng(seed);
                          const std::string text = RandomText(rng) + noise + RandomText(rng);
                          for (const auto kind : {PreTokenizerKind::kQwen2, PreTokenizerKind::kGpt2}) {
                            std::string joined;
                            Pieces repaired;
                            for (const std::string& piece : Split(kind, text)) {
                              RC_ASSERT(!piece.empty());
                              joined += piece;
                              repaired.push_back(RepairUtf8(piece));
                            }
                            RC_ASSERT(joined == text);
                            RC_ASSERT(repaired == Split(kind, RepairUtf8(text)));
                          }
                        }));
}

TEST(UnicodeClassTest, KnowsUnicode16WhateverIcuIsInstalled) {
  const UnicodeClassTable& classes = UnicodeClassTable::Get();
  EXPECT_EQ(classes[0x10D50], kClassLetter);                    // Garay, 16.0
  EXPECT_EQ(classes[0x2EBF0], kClassLetter);                    // CJK extension I, 15.1
  EXPECT_EQ(classes[0x1CCF0], kClassNumber | kClassDigitStep);  // outlined digit, 16.0
  EXPECT_EQ(classes[0x11938], 0);  // a mark; decomposes since 13.0, which the normaliser does not know
  EXPECT_EQ(classes[0x0958], kClassLetter | kClassNfcCheck);
  EXPECT_EQ(classes[0x0301], kClassNfcCheck);
  EXPECT_EQ(classes['\r'], kClassSpace | kClassNewline);
  EXPECT_EQ(classes[0x10FFFF], 0);
}

}  // namespace
}  // namespace qwen25
