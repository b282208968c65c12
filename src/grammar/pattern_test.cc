#include "grammar/pattern.h"

#include <gtest/gtest.h>

#include "grammar/grammar_test_util.h"

namespace qwen25 {
namespace {

struct Case {
  std::string_view pattern;
  std::vector<std::string_view> matches, others;
};

TEST(GrammarPatternTest, MatchesWholeTextsAsEcmaScriptDoes) {
  const Case cases[] = {
      {"", {""}, {"a"}},
      {"abc|de?", {"abc", "d", "de"}, {"ab", "abcd", "e"}},
      {"(a|b)*c+", {"c", "abbacc"}, {"", "ab", "ca"}},
      {"a{2,3}", {"aa", "aaa"}, {"a", "aaaa"}},
      {"a{2}", {"aa"}, {"a", "aaa"}},
      {"a{,2}", {"a{,2}"}, {"a"}},  // a brace that begins no repeat is itself
      {"x{0}", {""}, {"x"}},
      {"a+?b*?", {"a", "aabb"}, {"b"}},
      {"[a-c^-]+", {"ab^-c"}, {"d"}},
      {"[^a-c]", {"d", "\xC3\xA9", "\xF0\x9F\x98\x80"}, {"a", "", "\xC3"}},
      {"[]", {}, {"", "a"}},
      {"[^]", {"a", "\n"}, {""}},
      {"[\\w-.]", {"a", "-", "."}, {"+"}},
      {"\\d\\D",
       {"1a", "1\xD9\xA3"},
       {"\xD9\xA3"
        "a"}},  // digits are those of ASCII
      {"\\w+\\W", {"a_9."}, {"\xC3\xA9."}},
      {"\\s\\S",
       {" a",
        "\xC2\xA0"
        "b",
        "\xEF\xBB\xBF"
        "c"},
       {"ab"}},
      {".", {"a", "\xE2\x82\xAC"}, {"\n", "\r", "\xE2\x80\xA8"}},
      {"\\x41\\u0042\\u{1F600}\\ud83d\\ude00", {"AB\xF0\x9F\x98\x80\xF0\x9F\x98\x80"}, {"AB"}},
      {"\\t\\n\\cA\\0", {std::string_view("\t\n\x01\0", 4)}, {}},
      {"\\/\\.\\*\\$", {"/.*$"}, {"/a*$"}},
      {"\\p{Lu}\\P{Lu}",
       {"\xC3\x89"
        "a"},
       {"ab"}},
      {"\\p{Script=Greek}", {"\xCE\xB1"}, {"a"}},
      {"^a$", {"a"}, {"ab"}},
      {"(?:^a|b)$", {"a", "b"}, {""}},
      {"(?<year>[0-9]{4})-(x)", {"2024-x"}, {"2024-"}},
      {"a^b", {}, {"ab", "a^b"}},
  };
  for (const Case& c : cases) {
    const auto grammar = Grammar::FromRegex(c.pattern);
    if (!grammar.ok()) {
      EXPECT_TRUE(c.matches.empty()) << c.pattern << ": " << grammar.status().message();
      continue;
    }
    for (const auto text : c.matches) EXPECT_TRUE(Matches(*grammar, text)) << c.pattern << " and " << text;
    for (const auto text : c.others) EXPECT_FALSE(Matches(*grammar, text)) << c.pattern << " and " << text;
  }
}

TEST(GrammarPatternTest, RefusesByNameWithThePlace) {
  const std::pair<std::string_view, std::string> cases[] = {
      {"a(?=b)", "the lookaround \"(?=\" at byte 1"},
      {"(?<!a)b", "the lookaround \"(?<!\" at byte 0"},
      {"(a)\\1", "the reference to a group at byte 3"},
      {"\\k<a>", "the reference to a group at byte 0"},
      {"\\bword", "the word boundary \\b at byte 0"},
      {"(?i)a", "the group at byte 0"},
      {"\\A", "the escape \\A at byte 0"},
      {"\\p{Nonsense}", "the property \"Nonsense\" at byte 0"},
      {"(a", "the group at byte 0 does not end"},
      {"a)", "\")\" at byte 1 closes nothing"},
      {"[a", "the class at byte 0 does not end"},
      {"[z-a]", "out of order"},
      {"*a", "nothing to repeat at byte 0"},
      {"a**", "nothing to repeat at byte 2"},
      {"a{3,2}", "out of order"},
      {"\\", "a backslash ends the pattern"},
      {"\\u12", "wants 4 hexadecimal digits"},
      {"\\u{110000}", "is no code point"},
      {"^*", "cannot be repeated"},
      {"\xFF", "not UTF-8"},
  };
  for (const auto& [pattern, message] : cases) {
    EXPECT_ERROR_CONTAINS(Grammar::FromRegex(pattern), message) << pattern;
  }
}

TEST(GrammarPatternTest, HostilePatternsEndInAnErrorThatNamesTheLimit) {
  EXPECT_ERROR_CONTAINS(Grammar::FromRegex("^((((a{1000}){1000}){1000}){1000})$"), "more than 400000 states");
  EXPECT_ERROR_CONTAINS(Grammar::FromRegex("(a|b)*a(a|b){40}"), "more than");
  EXPECT_ERROR_CONTAINS(Grammar::FromRegex("a{100001}"), "a repeat of more than 100000 times");
  EXPECT_ERROR_CONTAINS(Grammar::FromRegex(std::string(100000, '(')), "groups inside each other");
  EXPECT_ERROR_CONTAINS(Grammar::FromRegex("[a-z]{5}", {.states = 3}), "more than 3 states");
  // What makes backtracking take exponential time is harmless here.
  ASSERT_OK_AND_ASSIGN(const auto grammar, Grammar::FromRegex("(a*)*(a|aa)+b"));
  EXPECT_TRUE(Matches(grammar, std::string(5000, 'a') + "b"));
  EXPECT_FALSE(Matches(grammar, std::string(5000, 'a')));
}

}  // namespace
}  // namespace qwen25
