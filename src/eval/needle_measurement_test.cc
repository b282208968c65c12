#include "eval/needle_measurement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "base/test_util.h"
#include "eval/eval_test_util.h"

namespace qwen25 {
namespace {

const std::string kBook = [] {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "It was day " + std::to_string(i) + ". We sailed on. ";
  return text;
}();

TEST(PlantNeedle, StandsBehindASentenceAndIsAskedForAtTheEnd) {
  const NeedlePrompt prompt = PlantNeedle("One. Two and more. Three. Four", 0.7, "12345");
  EXPECT_EQ(prompt.text,
            "One. Two and more. The secret code of the old castle in Ystad is 12345. Three. Four"
            " The secret code of the old castle in Ystad is");
  EXPECT_EQ(prompt.number, "12345");
  EXPECT_TRUE(PlantNeedle("no end", 0.9, "12345").text.starts_with("The secret code"))
      << "or at the beginning";
}

TEST(PlantNeedle, ANumberIsFoundIfTheAnswerBeginsWithIt) {
  EXPECT_TRUE(NamesNumber(" 12345", "12345"));
  EXPECT_TRUE(NamesNumber(" 1 2345. The", "12345"));
  EXPECT_FALSE(NamesNumber(" 1234", "12345"));
  EXPECT_FALSE(NamesNumber(" not 12345", "12345"));
}

TEST(MeasureNeedles, EveryPlaceOfEveryTextIsAskedFor) {
  InferenceEngine engine(LongByteModel(512), {.num_threads = 2, .keep_summaries = true});
  uint64_t read = 0;
  const auto score = MeasureNeedles(engine, ByteTokenizer(), {.book = kBook, .depths = 3, .histories = 2},
                                    400, [&](uint64_t done) {
                                      EXPECT_GE(done, read);
                                      read = done;
                                      return true;
                                    });
  ASSERT_OK(score);
  EXPECT_EQ(read, 2400u);
  EXPECT_EQ(score->length, 400u);
  ASSERT_EQ(score->right.size(), 3u);
  EXPECT_LE(std::ranges::max(score->right), 2u);
  EXPECT_EQ(score->read_share, 1);
  EXPECT_GT(score->seconds_per_token, 0);
  EXPECT_GT(score->seconds_per_question, 0);
  ASSERT_FALSE(score->growth.empty());
  EXPECT_GT(score->growth.back().tokens, 350u);
  EXPECT_LE(score->growth.back().tokens, 400u) << "with room for the answer";
}

TEST(MeasureNeedles, RefusesWhatDoesNotFit) {
  InferenceEngine engine(LongByteModel(512), {.num_threads = 1});
  EXPECT_ERROR_CONTAINS(MeasureNeedles(engine, ByteTokenizer(), {.book = kBook}, 100), "too few for a text");
  EXPECT_ERROR_CONTAINS(MeasureNeedles(engine, ByteTokenizer(), {.book = "short"}, 300),
                        "the text has 5 tokens");
  EXPECT_ERROR_CONTAINS(MeasureNeedles(engine, ByteTokenizer(), {.book = kBook}, 513), "context of 512");
  EXPECT_ERROR_CONTAINS(
      MeasureNeedles(engine, ByteTokenizer(), {.book = kBook}, 400, [](uint64_t) { return false; }),
      "stopped");
}

}  // namespace
}  // namespace qwen25
