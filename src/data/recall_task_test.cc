#include "data/recall_task.h"

#include <gtest/gtest.h>

#include <map>

namespace qwen25 {
namespace {

using V = RecallVocabulary;

TEST(RecallTaskTest, EveryQuestionHasTheOneAnswerThatWasStated) {
  for (uint64_t stream = 0; stream < 20; ++stream) {
    const std::vector<int32_t> document = RecallTask(1, stream).Document(700);
    ASSERT_EQ(document.size(), 700u);
    EXPECT_EQ(document.back(), V::kEnd);
    std::map<int32_t, int32_t> facts;
    size_t questions = 0;
    for (size_t i = 0; i + 2 < document.size(); ++i) {
      if (document[i] == V::kFact) {
        EXPECT_TRUE(facts.emplace(document[i + 1], document[i + 2]).second);
      } else if (document[i] == V::kAsk) {
        ASSERT_TRUE(facts.contains(document[i + 1]));
        EXPECT_EQ(facts[document[i + 1]], document[i + 2]);
        ++questions;
      }
    }
    EXPECT_GT(questions, 10u);
    EXPECT_GT(facts.size(), 5u);
    for (const int32_t token : document) EXPECT_TRUE(token >= 0 && token < V::kSize);
  }
}

TEST(RecallTaskTest, IsTheSameForTheSameSeed) {
  EXPECT_EQ(RecallTask(3, 4).Document(300), RecallTask(3, 4).Document(300));
  EXPECT_NE(RecallTask(3, 4).Document(300), RecallTask(3, 5).Document(300));
}

TEST(RecallTaskTest, RepetitionsRepeat) {
  const std::vector<int32_t> document = RecallTask(2, 1).Repetition(100);
  ASSERT_EQ(document.size(), 100u);
  size_t period = 1;
  while (period < 60 && !std::equal(document.begin() + period, document.end() - 1, document.begin()))
    ++period;
  EXPECT_GE(period, 4u);
  EXPECT_LT(period, 4u + 33u);
}

TEST(RecallTaskTest, FactsStandWhereTheyWereAskedFor) {
  std::vector<RecallFact> facts;
  const std::vector<int32_t> history = RecallTask(5, 0).History(1000, {0, 3, 500, 997}, facts);
  ASSERT_EQ(history.size(), 1000u);
  ASSERT_EQ(facts.size(), 4u);
  for (const RecallFact& fact : facts) {
    EXPECT_EQ(history[fact.position], V::kFact);
    EXPECT_EQ(history[fact.position + 1], fact.key);
    EXPECT_EQ(history[fact.position + 2], fact.value);
  }
  EXPECT_EQ(std::count(history.begin(), history.end(), V::kFact), 4);
}

}  // namespace
}  // namespace qwen25
