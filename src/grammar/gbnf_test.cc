#include "grammar/gbnf.h"

#include <gtest/gtest.h>

#include "grammar/grammar_test_util.h"

namespace qwen25 {
namespace {

TEST(GbnfTest, RulesCallEachOther) {
  ASSERT_OK_AND_ASSIGN(const auto grammar, Grammar::FromGbnf(R"gbnf(
# sums in parentheses
root   ::= sum "\n"?
sum    ::= term ( "+" term
                | "-" term )*   # over two lines
term   ::= number
         | "(" sum ")"
number ::= [0-9]{1,3} ("." [0-9]+)?
)gbnf"));
  for (const auto text : {"1", "1+22-333", "(1+(2-3))", "((((4.25))))\n"})
    EXPECT_TRUE(Matches(grammar, text)) << text;
  for (const auto text : {"", "1234", "1+", "(1", "1)", "4.", "1\n\n"})
    EXPECT_FALSE(Matches(grammar, text)) << text;
}

TEST(GbnfTest, AmbiguousAndNullableRulesAreFollowedAtOnce) {
  ASSERT_OK_AND_ASSIGN(const auto grammar, Grammar::FromGbnf(R"gbnf(
root ::= item item* end
item ::= "a" item | "a" "b"? | pair
pair ::= maybe maybe "a"
maybe ::= "a"?
end ::= "c" | ""
)gbnf"));
  const std::string many(300, 'a');
  EXPECT_TRUE(Matches(grammar, many));
  EXPECT_TRUE(Matches(grammar, many + "bc"));
  EXPECT_FALSE(Matches(grammar, many + "bbc"));
  EXPECT_FALSE(Matches(grammar, "c"));
}

TEST(GbnfTest, LargeRepeatsAreCounted) {
  ASSERT_OK_AND_ASSIGN(const auto grammar,
                       Grammar::FromGbnf("root ::= (word \" \"){1000,2000}\nword ::= [a-z]+"));
  const auto words = [](int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += "ab ";
    return text;
  };
  EXPECT_FALSE(Matches(grammar, words(999)));
  EXPECT_TRUE(Matches(grammar, words(1000)));
  EXPECT_TRUE(Matches(grammar, words(2000)));
  EXPECT_FALSE(Matches(grammar, words(2001)));
  // Of parts that may be empty, as few as wanted may be there.
  ASSERT_OK_AND_ASSIGN(const auto empty, Grammar::FromGbnf("root ::= ([a-z]{0,300}){400,} \".\""));
  EXPECT_TRUE(Matches(empty, "."));
  EXPECT_TRUE(Matches(empty, "abc."));
}

TEST(GbnfTest, EscapesAndClasses) {
  ASSERT_OK_AND_ASSIGN(
      const auto grammar,
      Grammar::FromGbnf("root ::= \"\\x41\\u00e9\\U0001F600\\\"\\\\\\n\" [^\\]a-c\\t] [-x] ."));
  EXPECT_TRUE(Matches(grammar, "A\xC3\xA9\xF0\x9F\x98\x80\"\\\nd-\xE2\x82\xAC"));
  EXPECT_FALSE(Matches(grammar, "A\xC3\xA9\xF0\x9F\x98\x80\"\\\nb-a"));
}

TEST(GbnfTest, ErrorsNameTheLine) {
  const std::pair<std::string_view, std::string> cases[] = {
      {"", "there is no rule \"root\""},
      {"root ::= a\n", "line 1: there is no rule \"a\""},
      {"root ::= \"a\"\nroot ::= \"b\"", "line 2: the rule \"root\" is defined twice"},
      {"root = \"a\"", "line 1: expected \"::=\" behind \"root\""},
      {"root ::= \"a", "line 1: a text in quotes does not end"},
      {"root ::= [a", "line 1: a class in brackets does not end"},
      {"root ::= [b-a]", "line 1: a range of a class is out of order"},
      {"root ::= \"a\"\n\n  ::= b", "line 3: expected the name of a rule"},
      {"root ::= (\"a\"", "a group does not end"},
      {"root ::= \"a\" )", "does not go on with ')'"},
      {"root ::= \"a\"{2,1}", "out of order"},
      {"root ::= \"a\"{x}", "expected a repeat"},
      {"root ::= \"\\q\"", "the escape \\q is not handled"},
      {"root ::= \"\\ud800\"", "is no code point"},
      {"root ::= $", "'$' begins nothing"},
      {"root ::= root \"a\" | \"b\"", "rule \"root\": rules call each other"},
      {"root ::= a\na ::= b? root \"x\"\nb ::= \"b\"", "take no character in between"},
      {"root ::= \"a\" root", "no text matches"},
      {"root ::= a{2,300}\na ::= b*\nb ::= \"b\"?", "repeats of a part that may be empty"},
      {"\xFF", "not UTF-8"},
  };
  for (const auto& [source, message] : cases) {
    EXPECT_ERROR_CONTAINS(Grammar::FromGbnf(source), message) << source;
  }
  EXPECT_ERROR_CONTAINS(Grammar::FromGbnf("root ::= " + std::string(100000, '(')),
                        "groups inside each other");
}

}  // namespace
}  // namespace qwen25
