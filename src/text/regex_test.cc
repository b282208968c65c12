#include "text/regex.h"

#include <rapidcheck.h>
#include <unicode/regex.h>

#include <string>

#include "base/rng.h"
#include "base/test_util.h"
#include "text/tokenizer_spec.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

// `text` with every match replaced by "#", as tokenizers' normalizer Replace gives it.
std::string Replaced(const char* pattern, std::string_view text) {
  const Result<Regex> regex = Regex::Compile(pattern, "test");
  if (!regex.ok()) return regex.status().message();
  Regex::Scratch scratch;
  std::string out;
  size_t done = 0;
  regex->ForEachMatch(text, scratch, [&](size_t begin, size_t end) {
    out += text.substr(done, begin - done);
    out += '#';
    done = end;
  });
  return out.append(text.substr(done));
}

// Results of Hugging Face tokenizers 0.23.3.
TEST(RegexTest, EqualsOniguruma) {
  const std::string text = "ab bcd aa\u00e9.\n{SaBc*";
  const std::pair<const char*, const char*> expected[] = {
      {"(?<=a)b", "a# bcd aa\u00e9.\n{SaBc*"},
      {"(?<!a|b)c", "ab bcd aa\u00e9.\n{SaB#*"},
      {"(?>a+)b", "# bcd aa\u00e9.\n{SaBc*"},
      {"a{2,1}", "#b bcd #\u00e9.\n{S#Bc*"},
      {"[]a]", "#b bcd ##\u00e9.\n{S#Bc*"},
      {"\\p{^L}", "ab#bcd#aa\u00e9###SaBc#"},
      {"(?m:.)", "##################"},
      {".",
       "##########"
       "#\n######"},
      {"\\N",
       "##########"
       "#\n######"},
      {"(?<n>a)", "#b bcd ##\u00e9.\n{S#Bc*"},
      {"(?#c)a", "#b bcd ##\u00e9.\n{S#Bc*"},
      {"\\u00e9", "ab bcd aa#.\n{SaBc*"},
      {"\\x{e9}", "ab bcd aa#.\n{SaBc*"},
      {"[a&&b]", "ab bcd aa\u00e9.\n{SaBc*"},
      {"[a-d&&[^b]]", "#b b## ##\u00e9.\n{S#B#*"},
      {"\\p{lowercase letter}", "## ### ###.\n{S#B#*"},
      {"\\p{Uppercase_Letter}", "ab bcd aa\u00e9.\n{#a#c*"},
      {"(?i)ab", "# bcd aa\u00e9.\n{S#c*"},
      {"a(?i)b|c", "# bcd aa\u00e9.\n{S#c*"},
      {"{", "ab bcd aa\u00e9.\n#SaBc*"},
      {"a{", "ab bcd aa\u00e9.\n{SaBc*"},
      {"[[:^alpha:]]", "ab#bcd#aa\u00e9###SaBc#"},
      {"\\bb|c\\B", "ab ##d aa\u00e9.\n{SaBc*"},
      {"^.|.$", "#b bcd aa\u00e9#\n#SaBc#"},
      {"\\A.|.\\z", "#b bcd aa\u00e9.\n{SaBc#"},
      {"a??b", "# #cd aa\u00e9.\n{SaBc*"},
      {"a*+a", "ab bcd aa\u00e9.\n{SaBc*"},
  };
  for (const auto& [pattern, result] : expected) EXPECT_EQ(Replaced(pattern, text), result) << pattern;
  EXPECT_EQ(Replaced("a*", "baac"), "#b#c#");
  EXPECT_EQ(Replaced("\\b", "ab cd"), "#ab# #cd#");
  EXPECT_EQ(Replaced("x?", "axb"), "#a#b#");
  EXPECT_EQ(Replaced("a{2}?", "aaaa"), "##");
  EXPECT_EQ(Replaced("\\w", "\u00b2\u00bda"), "###");
  EXPECT_EQ(Replaced("[\\w]", "\u00b2\u00bda"), "\u00b2\u00bd#");
  EXPECT_EQ(Replaced("(?i:'s|'ll)", "'S '\u017f 'Ll 'x"), "# # # 'x");
  EXPECT_EQ(Replaced("(?i:k)", "kK\u212a"), "###");
  EXPECT_EQ(Replaced("[[:punct:]]+", "a$+<=>!.b"), "a#b");
  EXPECT_EQ(Replaced("\\p{P}+", "a$+<=>!.b"), "a$+<=>#b");
  EXPECT_EQ(Replaced("(?=(\\d{3})+(?!\\d))", "a1234567b"), "a1#234#567b");
  EXPECT_EQ(Replaced("\\d{1,3}(?=(?:\\d{3})*\\b)", "12345 1"), "## #");
}

TEST(RegexTest, KnowsUnicode16WhateverIcuIsInstalled) {
  EXPECT_EQ(Replaced("\\p{L}", "\U00010D50\U0002EBF0\u00b2"), "##\u00b2");
  EXPECT_EQ(Replaced("\\p{Han}", "\U0002EBF0\u4e00a"), "##a");
  EXPECT_EQ(Replaced("\\p{Lu}", "\u1c89\u1c8a"), "#\u1c8a");
  EXPECT_EQ(Replaced("\\p{M}|\\p{P}|\\d", "\u0897\u1b4e\U0001CCF0\U00011DE0"), "###\U00011DE0");
  EXPECT_EQ(Replaced("\\p{Cn}", "\u0897\U00011DE0"), "\u0897#");
}

// Where the two agree, ICU's matcher is the reference.
TEST(RegexTest, EqualsIcuOnRandomText) {
  const std::string patterns[] = {
      std::string(kQwen2Pattern),
      std::string(kGpt2Pattern),
      std::string(kLlama3Pattern),
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|.)",
      R"((?:a|ab)(?:c|bcd)?|\s+(?=b)|(?<=b)\s|[^ab]+?b)",
      R"((a+)+b|(?:x|y){2,3}z?)",
      R"(\s+$|\S+\s?)",
      R"((?>a|ab)c|a?+b|(?<!x)\d{2,}?|\bb)"};
  static const char* const kParts[] = {"a",      "b",       "c",      "x",   "y",  "z", " ",
                                       "  ",     "\n",      "'s",     "'LL", "12", "7", "\u00e9",
                                       "\u01c5", "e\u0301", "\u4e2d", "!",   "ab", "A"};
  Rng rng(3);
  for (const std::string& pattern : patterns) {
    ASSERT_OK_AND_ASSIGN(const Regex regex, Regex::Compile(pattern, "test"));
    UErrorCode error = U_ZERO_ERROR;
    const std::unique_ptr<icu::RegexPattern> compiled(
        icu::RegexPattern::compile(icu::UnicodeString::fromUTF8(pattern), UREGEX_MULTILINE, error));
    ASSERT_TRUE(U_SUCCESS(error)) << pattern;
    for (int round = 0; round < 2000; ++round) {
      std::string text;
      for (uint64_t n = rng.Below(16); n > 0; --n) text += kParts[rng.Below(std::size(kParts))];
      const icu::UnicodeString input = icu::UnicodeString::fromUTF8(text);
      const std::unique_ptr<icu::RegexMatcher> matcher(compiled->matcher(input, error));
      std::vector<std::string> expected, found;
      while (matcher->find()) {
        if (matcher->end(error) > matcher->start(error))
          matcher->group(error).toUTF8String(expected.emplace_back());
      }
      Regex::Scratch scratch;
      regex.ForEachMatch(text, scratch, [&](size_t begin, size_t end) {
        if (end > begin) found.push_back(text.substr(begin, end - begin));
      });
      ASSERT_EQ(found, expected) << pattern << "\n" << text;
    }
  }
}

// Patterns that take exponential or quadratic time by plain backtracking end.
TEST(RegexTest, BacktrackingIsBounded) {
  const std::string letters(20000, 'a'), spaces = std::string(1000000, ' ') + "x";
  EXPECT_EQ(Replaced("(a+)+b", letters), letters);
  EXPECT_EQ(Replaced("(a|aa)+$b", std::string(2000, 'a')), std::string(2000, 'a'));
  EXPECT_EQ(Replaced("\\s+$", spaces), spaces);
  EXPECT_EQ(Replaced("\\s+(?!\\S)", spaces), "# x");
}

TEST(RegexTest, RefusesByName) {
  const std::pair<const char*, const char*> cases[] = {
      {"(a)\\1", "\\1 at byte 4"},
      {"\\Ka", "\\K at byte 1"},
      {"\\Ra", "\\R at byte 1"},
      {"\\X", "\\X at byte 1"},
      {"\\p{Foo}", "the property \"Foo\" is not known"},
      {"\\pL", "\\p without braces"},
      {"(?x:a)", "the group (?x:a"},
      {"[[:foo:]]", "the class [:foo:]"},
      {"(?i:ss)", "equal one other letter"},
      {"(?i:\u00df)", "equals several letters"},
      {"(a?)*", "a repeat of a group that can match nothing"},
      {"(?<=a+)b", "a lookbehind whose width differs"},
      {"\\xe9", "names a byte that is no character"},
      {"*a", "nothing to repeat"},
      {"(a", "a \"(\" is not closed"},
      {"a)", "closes nothing"},
      {"[a", "a \"[\" is not closed"},
      {"[b-a]", "ends before it begins"},
      {"[a-\\d]", "ends with a class"},
      {"a\\", "ends with a backslash"},
      {"((((a{1000}){1000}){1000}){1000})", "more than 20000 instructions"},
      {"\xff", "is not UTF-8"}};
  for (const auto& [pattern, message] : cases) {
    EXPECT_ERROR_CONTAINS(Regex::Compile(pattern, "test"), message);
  }
  EXPECT_ERROR_CONTAINS(Regex::Compile(std::string(1000, '('), "test"), "groups inside each other");
  EXPECT_ERROR_CONTAINS(Regex::Compile(std::string(1000, '['), "test"), "brackets inside each other");
}

TEST(RegexTest, AnyPatternAndTextEnd) {
  EXPECT_TRUE(rc::check("compiling and matching never crash", [](const std::string& noise, uint64_t seed) {
    static const char* const kParts[] = {"a",    "[a-c]", "(",      ")",   "|",    "*",   "+", "?",
                                         "{2}",  "\\s",   "\\p{L}", "(?=", "(?<!", "[^",  "]", "&&",
                                         "(?i)", ".",     "\\b",    "$",   "++",   "(?>", "b"};
    Rng rng(seed);
    std::string pattern;
    for (uint64_t n = rng.Below(10); n > 0; --n) pattern += kParts[rng.Below(std::size(kParts))];
    if (rng.Below(4) == 0) pattern += noise;
    const Result<Regex> regex = Regex::Compile(pattern, "test");
    if (!regex.ok()) return;
    Regex::Scratch scratch;
    const std::string text = "aab b\nabc" + RepairUtf8(noise);
    size_t last = 0;
    regex->ForEachMatch(text, scratch, [&](size_t begin, size_t end) {
      RC_ASSERT(begin >= last && end >= begin && end <= text.size());
      last = end;
    });
  }));
}

}  // namespace
}  // namespace qwen25
