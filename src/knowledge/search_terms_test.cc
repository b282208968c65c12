#include "knowledge/search_terms.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>

namespace qwen25 {
namespace {

using Terms = std::vector<std::string>;

TEST(SearchTerms, WordsAreFoldedAndStemmed) {
  EXPECT_EQ(TermsOf("The Stories of CAFÉS, 3.14 and Alice's don’t"),
            (Terms{"the", "story", "of", "cafe", "3", "14", "and", "alice", "dont"}));
  EXPECT_EQ(TermsOf("glass bus, oxen"), (Terms{"glass", "bus", "oxen"}));
  EXPECT_EQ(TermsOf("ΚΑΛΗΜΕΡΑ"), TermsOf("Καλημέρα"));
  EXPECT_EQ(TermsOf("Straße ﬁne Ⅷ"), (Terms{"strasse", "fine", "viii"}));
  EXPECT_EQ(TermsOf("Ёлка йод"), (Terms{"ёлка", "йод"}));  // accents of other scripts make other letters
  EXPECT_TRUE(TermsOf("... -- !").empty());
  EXPECT_TRUE(TermsOf("").empty());
}

TEST(SearchTerms, RunsWithoutSpacesGivePairs) {
  EXPECT_EQ(TermsOf("我喜欢猫"), (Terms{"我喜", "喜欢", "欢猫", "猫"}));
  EXPECT_EQ(TermsOf("Linux内核"), (Terms{"linux", "内核", "核"}));
  EXPECT_EQ(QueryTermsOf("喜欢"), (std::vector<SearchTerm>{{"喜欢", false}}));
  EXPECT_EQ(QueryTermsOf("猫"), (std::vector<SearchTerm>{{"猫", true}}));
  EXPECT_EQ(QueryTermsOf("cats and CATS"), (std::vector<SearchTerm>{{"cat", false}, {"and", false}}));
}

TEST(SearchTerms, ThaiIsCutIntoWords) {
  const Terms terms = TermsOf("ฉันรักแมว");  // I love cats
  EXPECT_NE(std::ranges::find(terms, "แมว"), terms.end()) << "no term for the cat";
  EXPECT_GE(terms.size(), 2u);
}

// Every symbol is a term of its own, however often it occurs and whatever stands beside it.
TEST(SearchTerms, SymbolsAreTerms) {
  EXPECT_EQ(TermsOf("release party 🎉 on Friday"), (Terms{"release", "party", "🎉", "on", "friday"}));
  EXPECT_EQ(TermsOf("🎉🎉"), (Terms{"🎉", "🎉"}));
  EXPECT_EQ(TermsOf("cat🐈food"), (Terms{"cat", "🐈", "food"}));
  EXPECT_EQ(TermsOf("∑ ∫x → y ≠ z"), (Terms{"∑", "∫", "x", "→", "y", "≠", "z"}));
  EXPECT_EQ(TermsOf("5 € or $6, 7 % of §8"), (Terms{"5", "€", "or", "$", "6", "7", "%", "of", "§", "8"}));
  EXPECT_EQ(TermsOf("C++ and C#"), (Terms{"c", "+", "and", "c", "#"}));
  EXPECT_EQ(TermsOf("=====\n## x"), (Terms{"=", "#", "x"})) << "rules and headings are not emphasis";
  EXPECT_EQ(TermsOf("東京🗼タワー"), (Terms{"東京", "京", "🗼", "タワ", "ワー", "ー"}));
  EXPECT_EQ(TermsOf("\uE000 \U000F0001"), (Terms{"\uE000", "\U000F0001"})) << "icons of private fonts";
  EXPECT_EQ(TermsOf("\U0001FAFF"), (Terms{"\U0001FAFF"})) << "an emoji that this ICU does not know yet";
}

TEST(SearchTerms, IndexesHoldStemsBesideWords) {
  EXPECT_EQ(IndexTermsOf("She went cycling ~go 4x4"),
            (Terms{"she", "went", "~go", "cycling", "~cycl", "~", "go", "~go", "4x4"}));
  const std::vector<WeightedTerm> query = IndexQueryOf("Who goes, went 猫?");
  std::vector<std::string> terms;
  std::vector<float> weights;
  for (const WeightedTerm& term : query) terms.push_back(term.term.text), weights.push_back(term.weight);
  EXPECT_EQ(terms, (Terms{"who", "goe", "~go", "went", "猫"}));
  EXPECT_EQ(weights, (std::vector<float>{0.3f, 0.6f, 0.4f, 0.6f, 1.0f}));
  EXPECT_TRUE(query[4].term.prefix);
}

TEST(SearchTerms, DoubledSignsAndNumbersInCirclesAreTerms) {
  EXPECT_EQ(TermsOf("std::vector<int>"), (Terms{"std", "::", "vector", "<", "int", ">"}));
  EXPECT_EQ(TermsOf("a: b / c"), (Terms{"a", "b", "c"}));
  EXPECT_EQ(TermsOf("// x ::::"), (Terms{"//", "x", "::"}));
  EXPECT_EQ(TermsOf("①② ⑩kg"), (Terms{"1", "2", "10", "kg"}));
  EXPECT_EQ(QueryTermsOf("::"), (std::vector<SearchTerm>{{"::", false}}));
  EXPECT_EQ(QueryTermsOf("①"), (std::vector<SearchTerm>{{"1", false}}));
}

// An emoji is found whatever its presentation, its skin tone and its neighbours.
TEST(SearchTerms, EmojiOfSeveralCharacters) {
  EXPECT_EQ(TermsOf("❤️"), TermsOf("❤"));
  EXPECT_EQ(TermsOf("👍🏽"), (Terms{"👍"}));
  EXPECT_EQ(TermsOf("👩‍💻"), (Terms{"👩", "💻"}));
  EXPECT_EQ(TermsOf("🇩🇪🇫🇷"), (Terms{"🇩🇪", "🇫🇷"})) << "a flag is a pair of letters";
  EXPECT_EQ(TermsOf("x🇩"), (Terms{"x", "🇩"}));
  EXPECT_EQ(TermsOf("1️⃣ #️⃣ *️⃣"), (Terms{"1\u20E3", "#\u20E3", "*\u20E3"}));
  EXPECT_EQ(TermsOf("step2️⃣"), (Terms{"step", "2\u20E3"}));
  EXPECT_EQ(TermsOf("1⃣1"), (Terms{"1\u20E3", "1"}));
}

TEST(SearchTerms, MarksThatSpellingMayLeaveOut) {
  EXPECT_EQ(TermsOf("cafe\u0301"), (Terms{"cafe"}));
  EXPECT_EQ(TermsOf("كِتَابٌ"), TermsOf("كتاب"));
  EXPECT_EQ(TermsOf("كـــتاب"), TermsOf("كتاب"));
  EXPECT_EQ(TermsOf("שָׁלוֹם"), TermsOf("שלום"));
  EXPECT_NE(TermsOf("की"), TermsOf("का")) << "vowel signs of Hindi make other words";
}

TEST(SearchTerms, SnippetsStartWhereTheTermsAre) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += "word" + std::to_string(i) + " ";
  const size_t begin = SnippetBegin(text, "word150 word153", 80);
  EXPECT_NE(text.substr(begin, 80).find("word150 word151 word152 word153"), std::string::npos);
  EXPECT_EQ(SnippetBegin(text, "nothing", 80), 0u);
  EXPECT_EQ(SnippetBegin("short", "short", 80), 0u);
  std::string chinese;
  for (int i = 0; i < 100; ++i) chinese += i == 70 ? "会议" : "其他";
  EXPECT_NE(chinese.substr(SnippetBegin(chinese, "会议", 60), 60).find("会议"), std::string::npos);
}

// Every word of a text, searched for alone, is among the text's terms, or begins one if it is a prefix.
TEST(SearchTerms, QueriesFindTheirText) {
  EXPECT_TRUE(rc::check([](const std::vector<uint8_t>& choices) {
    const std::vector<std::string> parts = {
        "dog",      "Hunde", "é", " ",  "東京", "タワー", "한국", "แมว", "'", ".",    "x1", "\xff",
        "\xe4\xb8", "İ",     "s", "ss", "ies",  "🎉",      "🇩",    "⃣",    "#", "🏽", "€",  "\u200D"};
    std::string text;
    for (const uint8_t choice : choices) text += parts[choice % parts.size()];
    const Terms terms = TermsOf(text);
    for (const std::string& term : terms) {
      RC_ASSERT(!term.empty());
      RC_ASSERT(term.find_first_of(" \"\n") == std::string::npos);
    }
    for (const SearchTerm& wanted : QueryTermsOf(text)) {
      RC_ASSERT(std::ranges::any_of(terms, [&](const std::string& term) {
        return wanted.prefix ? term.starts_with(wanted.text) : term == wanted.text;
      }));
    }
  }));
}

}  // namespace
}  // namespace qwen25
