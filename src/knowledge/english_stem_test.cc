#include "knowledge/english_stem.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace qwen25 {
namespace {

std::string Stem(std::string word) {
  StemEnglish(word);
  return word;
}

// The expected stems are those of the published algorithm (tests/reference/stems.py compares whole books).
TEST(EnglishStem, RegularInflection) {
  for (const char* word : {"cycle", "cycles", "cycled", "cycling"}) EXPECT_EQ(Stem(word), "cycl") << word;
  for (const char* word : {"hop", "hops", "hopped", "hopping"}) EXPECT_EQ(Stem(word), "hop") << word;
  for (const char* word : {"hope", "hopes", "hoped", "hoping"}) EXPECT_EQ(Stem(word), "hope") << word;
  for (const char* word : {"try", "tries", "tried"}) EXPECT_EQ(Stem(word), "tri") << word;
  EXPECT_EQ(Stem("caresses"), "caress");
  EXPECT_EQ(Stem("cries"), "cri");
  EXPECT_EQ(Stem("ties"), "tie");
  EXPECT_EQ(Stem("gas"), "gas");
  EXPECT_EQ(Stem("this"), "this");
  EXPECT_EQ(Stem("gaps"), "gap");
  EXPECT_EQ(Stem("agreed"), "agre");
  EXPECT_EQ(Stem("succeed"), Stem("succeeded"));
  EXPECT_EQ(Stem("added"), Stem("add"));
}

TEST(EnglishStem, Derivation) {
  EXPECT_EQ(Stem("relational"), "relat");
  EXPECT_EQ(Stem("conditional"), "condit");
  EXPECT_EQ(Stem("hopefulness"), "hope");
  EXPECT_EQ(Stem("generalization"), "general");
  EXPECT_EQ(Stem("generously"), "generous");
  EXPECT_EQ(Stem("communication"), "communic");
  EXPECT_EQ(Stem("consigned"), "consign");
  EXPECT_EQ(Stem("consignment"), "consign");
  EXPECT_EQ(Stem("knightly"), "knight");
  EXPECT_EQ(Stem("apologist"), "apologist");
  EXPECT_EQ(Stem("apology"), "apolog");
  EXPECT_EQ(Stem("controlling"), "control");
  EXPECT_EQ(Stem("yellow"), "yellow");
  EXPECT_EQ(Stem("adoption"), "adopt");
}

TEST(EnglishStem, IrregularForms) {
  EXPECT_EQ(Stem("went"), "go");
  EXPECT_EQ(Stem("bought"), Stem("buying"));
  EXPECT_EQ(Stem("children"), Stem("child"));
  EXPECT_EQ(Stem("took"), Stem("taking"));
  EXPECT_EQ(Stem("dying"), Stem("die"));
}

TEST(EnglishStem, WordsThatAreLeftAlone) {
  EXPECT_EQ(Stem("evening"), "evening");
  EXPECT_EQ(Stem("evenings"), "evening");
  EXPECT_EQ(Stem("news"), "news");
  EXPECT_EQ(Stem("as"), "as");
  EXPECT_EQ(Stem("x1ings"), "x1ings");
  EXPECT_EQ(Stem("früher"), "früher");
  EXPECT_EQ(Stem("запись"), "запись");
  EXPECT_EQ(Stem(""), "");
}

TEST(EnglishStem, AnyLettersGiveAStemThatIsNotEmptyNorLonger) {
  EXPECT_TRUE(rc::check([](const std::vector<uint8_t>& letters) {
    // Endings that rules know, so that they meet in every order.
    constexpr std::array<const char*, 12> kParts = {"a",     "t",   "y",  "ing", "ed", "s",
                                                    "ation", "ful", "li", "e",   "ss", "l"};
    std::string word;
    for (const uint8_t letter : letters) word += kParts[letter % kParts.size()];
    const std::string stem = Stem(word);
    RC_ASSERT(stem.empty() == word.empty());
    RC_ASSERT(stem.size() <= word.size());
  }));
}

}  // namespace
}  // namespace qwen25
