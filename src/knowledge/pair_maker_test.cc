#include "knowledge/pair_maker.h"

#include <gtest/gtest.h>

#include "knowledge/chunker.h"

namespace qwen25 {
namespace {

std::string Story(int sentences) {
  std::string text;
  for (int i = 0; i < sentences; ++i) {
    text += "The keeper number " + std::to_string(i) + " climbed the tower and lit the lamp. ";
  }
  return text;
}

TEST(PairMaker, ASentenceStandsForTheQuestion) {
  const std::string text = Story(300);
  const std::vector<TextPair> pairs = MakePairs(text, {});
  ASSERT_GT(pairs.size(), 30u);
  size_t kept = 0;
  for (const TextPair& pair : pairs) {
    EXPECT_TRUE(text.find(pair.query) != std::string::npos);
    EXPECT_TRUE(pair.query.starts_with("The keeper number ") && pair.query.ends_with("lamp.")) << pair.query;
    EXPECT_LE(EstimateTokens(pair.passage), 120u);
    kept += pair.passage.find(pair.query) != std::string::npos;
  }
  EXPECT_GT(kept, 0u);
  EXPECT_LT(kept, pairs.size() / 3);
  const std::vector<TextPair> never = MakePairs(text, {.keep_share = 0});
  for (const TextPair& pair : never) EXPECT_EQ(pair.passage.find(pair.query), std::string::npos);
}

TEST(PairMaker, RepeatsItselfAndLeavesOutWhatIsTooShort) {
  const std::string text = Story(40);
  const std::vector<TextPair> first = MakePairs(text, {}), second = MakePairs(text, {});
  ASSERT_EQ(first.size(), second.size());
  for (size_t i = 0; i < first.size(); ++i) EXPECT_EQ(first[i].query, second[i].query);
  EXPECT_TRUE(MakePairs("", {}).empty());
  EXPECT_TRUE(MakePairs("One sentence alone leaves nothing to find it by.", {}).empty());
}

}  // namespace
}  // namespace qwen25
