#include "eval/recall_measurement.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/test_util.h"
#include "data/recall_task.h"
#include "eval/eval_test_util.h"

namespace qwen25 {
namespace {

Model RecallModel() {
  ModelConfig config = ByteModelConfig();
  config.vocab_size = RecallVocabulary::kSize;
  config.eos_token_ids.clear();
  return ByteModel(1, config);
}

TEST(RecallMeasurementTest, EveryFactOfEveryHistoryIsAskedFor) {
  InferenceEngine engine(RecallModel(), {.num_threads = 2, .keep_summaries = true});
  uint64_t read = 0;
  const auto score = MeasureRecall(engine, {.depths = 4, .histories = 2}, 200, [&](uint64_t num_tokens) {
    EXPECT_GE(num_tokens, read);
    read = num_tokens;
    return true;
  });
  ASSERT_OK(score);
  EXPECT_EQ(read, 400u);
  EXPECT_EQ(score->length, 200u);
  ASSERT_EQ(score->right.size(), 4u);
  EXPECT_LE(std::ranges::max(score->right), 2u);
  EXPECT_LE(score->Accuracy(), 1);
  EXPECT_EQ(score->read_share, 1);
  EXPECT_GT(score->seconds_per_token, 0);
  EXPECT_GT(score->seconds_per_question, 0);
  ASSERT_FALSE(score->growth.empty());
  EXPECT_EQ(score->growth.back().tokens, 200u) << "of the first history alone";
  const RecallMap map = ToRecallMap("Facts recalled", {&*score, 1}, engine.routing());
  ASSERT_EQ(map.rows.size(), 1u);
  EXPECT_EQ(map.rows[0].accuracy.size(), 4u);
  EXPECT_NE(RenderRecallGrowth({&*score, 1}).find("<svg"), std::string::npos);
}

TEST(RecallMeasurementTest, DialoguesAndNotesAreStoredAndForgotten) {
  const TemporaryDirectory folder;
  InferenceEngine engine(
      RecallModel(), {.num_threads = 2,
                      .max_context_tokens = 1024,
                      .routing = RoutingPolicy::Parse("top_k:2,local=0,dense_below=0,dense_layers=0").value(),
                      .keep_summaries = true,
                      .recall_window = 128});
  const auto score = MeasureRecall(
      engine,
      {.depths = 4, .histories = 2, .dialogues = 3, .notes = 2, .filler = "a text ", .folder = folder.path()},
      600, nullptr);
  ASSERT_OK(score);
  EXPECT_LE(score->notes_right, 4u);
  EXPECT_LT(score->read_share, 1);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(RecallMeasurementTest, ShortHistoriesAndEndsAreErrors) {
  InferenceEngine engine(RecallModel(), {.num_threads = 2});
  EXPECT_ERROR_CONTAINS(MeasureRecall(engine, {.depths = 6}, 16, nullptr), "16 tokens hold no 6 facts");
  const auto stopped = MeasureRecall(engine, {.depths = 2}, 200, [](uint64_t) { return false; });
  EXPECT_EQ(stopped.status().code(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace qwen25
