#include "data/recall_task.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/test_util.h"
#include "data/shards/loader.h"
#include "store/indexed_dataset.h"

namespace qwen25 {
namespace {

using V = RecallVocabulary;

TEST(RecallTaskTest, EveryQuestionHasTheOneAnswerThatWasStated) {
  for (uint64_t stream = 0; stream < 20; ++stream) {
    const std::vector<int32_t> document = RecallTask(1, stream).Document(700 + stream, 3 + 5 * stream);
    ASSERT_EQ(document.size(), 700u + stream);
    EXPECT_EQ(document.back(), V::kEnd);
    std::map<int32_t, int32_t> facts;
    size_t questions = 0;
    for (size_t i = 0; i + 2 < document.size(); ++i) {
      if (document[i] == V::kFact) {
        EXPECT_TRUE(facts.emplace(document[i + 2], document[i + 1]).second);
      } else if (document[i] == V::kAsk) {
        ASSERT_TRUE(facts.contains(document[i + 1]));
        EXPECT_EQ(facts[document[i + 1]], document[i + 2]);
        facts[document[i + 1]] = -1;  // is not asked for twice
        ++questions;
      }
    }
    EXPECT_EQ(questions, facts.size());
    EXPECT_EQ(questions, std::min<size_t>((699 + stream) / (6 + 5 * stream), V::kNumKeys));
    for (const int32_t token : document) EXPECT_TRUE(token >= 0 && token < V::kSize);
  }
}

TEST(RecallTaskTest, IsTheSameForTheSameSeed) {
  EXPECT_EQ(RecallTask(3, 4).Document(300), RecallTask(3, 4).Document(300));
  EXPECT_NE(RecallTask(3, 4).Document(300), RecallTask(3, 5).Document(300));
}

TEST(RecallTaskTest, FillerIsTheTextInItsOrder) {
  std::vector<RecallFact> facts;
  const std::string text = "abcdefghij";
  const std::vector<int32_t> history = RecallTask(4, 2, text).History(200, {50}, facts);
  int32_t last = 0;
  for (size_t i = 0; i < history.size(); ++i) {
    if (i >= 50 && i < 53) continue;
    const int32_t byte = history[i] - V::kFirstFiller;
    EXPECT_TRUE(i == 0 || byte == (last == 'j' ? 'a' : last + 1)) << i;
    last = byte;
  }
}

TEST(RecallTaskTest, TheLossIsThatOfAnswers) {
  const std::vector<int32_t> document = RecallTask(2, 1).Document(100, 3);
  const std::vector<int32_t> mask = RecallTask::LossMask(document);
  ASSERT_EQ(mask.size(), document.size());
  for (size_t i = 0; i < document.size(); ++i) {
    EXPECT_EQ(mask[i], i >= 2 && document[i - 2] == V::kAsk);
  }
  EXPECT_GT(std::count(mask.begin(), mask.end(), 1), 5);
}

TEST(RecallTaskTest, FactsStandWhereTheyWereAskedFor) {
  std::vector<RecallFact> facts;
  const std::vector<int32_t> history = RecallTask(5, 0).History(1000, {0, 3, 500, 997}, facts);
  ASSERT_EQ(history.size(), 1000u);
  ASSERT_EQ(facts.size(), 4u);
  for (const RecallFact& fact : facts) {
    EXPECT_EQ(history[fact.position], V::kFact);
    EXPECT_EQ(history[fact.position + 1], fact.value);
    EXPECT_EQ(history[fact.position + 2], fact.key);
  }
  EXPECT_EQ(std::count(history.begin(), history.end(), V::kFact), 4);
}

TEST(RecallTaskTest, DocumentsAreWrittenWithTheirMasks) {
  const TemporaryDirectory directory;
  const std::string prefix = directory / "facts";
  uint64_t written = 0;
  ASSERT_OK(WriteRecallDocuments(prefix, {.seed = 2, .documents = 3, .document_tokens = 100, .fact_every = 3},
                                 "a text", [&](uint64_t num_done) { written = num_done; }));
  EXPECT_EQ(written, 3u);
  ASSERT_OK_AND_ASSIGN(const IndexedDataset facts, IndexedDataset::Open(prefix));
  ASSERT_OK_AND_ASSIGN(const IndexedDataset mask, IndexedDataset::Open(LossMaskPrefix(prefix)));
  ASSERT_EQ(facts.num_documents(), 3u);
  ASSERT_EQ(mask.num_documents(), 3u);
  EXPECT_EQ(mask.num_tokens(), facts.num_tokens());
}

}  // namespace
}  // namespace qwen25
