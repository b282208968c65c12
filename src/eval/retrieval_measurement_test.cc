#include "eval/retrieval_measurement.h"

#include <gtest/gtest.h>

#include "base/test_util.h"
#include "knowledge/hashed_embedder.h"
#include "knowledge/note_store_test_util.h"

namespace qwen25 {
namespace {

RetrievalSet DoorCodes() {
  RetrievalSet set;
  set.notes = {{.id = "old", .text = "The door code of the garage is 4711."},
               {.id = "new", .text = "The door code of the garage is 1234.", .supersedes = "old"},
               {.id = "cake", .text = "Grandmother's cake needs seven eggs and a pound of flour."}};
  set.questions = {{.query = "Which code opens the garage door?", .kind = "fact", .relevant = {{"new", {}}}},
                   {.query = "How many eggs does the cake need?", .kind = "fact", .relevant = {{"cake", {}}}},
                   {.query = "Who won the chess tournament?", .kind = "unanswerable"}};
  return set;
}

TEST(RetrievalMeasurementTest, QuestionsFindTheirNotes) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  const auto store = MustOpen(directory.path(), &embedder);
  const RetrievalSet set = DoorCodes();
  ASSERT_OK(AddNotes(set, *store));
  EXPECT_EQ(store->Stats()->superseded, 1u);
  for (const SearchMode mode : {SearchMode::kWords, SearchMode::kVectors, SearchMode::kHybrid}) {
    size_t done = 0;
    const auto found = MeasureSearch(*store, set, mode, 0, [&](size_t num_done) {
      done = num_done;
      return true;
    });
    ASSERT_OK(found);
    EXPECT_EQ(done, 3u);
    EXPECT_EQ(found->milliseconds.size(), 3u);
    EXPECT_EQ(found->answered.size(), 2u);
    EXPECT_EQ(found->unanswered.size(), 1u);
    EXPECT_EQ(found->scores.at("fact").questions(), 2u);
    EXPECT_EQ(found->scores.at(SearchMeasurement::kAll).recall(0), 1) << "what is superseded is not found";
  }
  const auto chat = MeasureChat(*store, set, 2);
  ASSERT_OK(chat);
  EXPECT_EQ(chat->answerable.questions, 2u);
  EXPECT_EQ(chat->answerable.right, 2u);
  EXPECT_EQ(chat->unanswerable.questions, 0u) << "only two were asked";
}

TEST(RetrievalMeasurementTest, Stops) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  const auto store = MustOpen(directory.path(), &embedder);
  const RetrievalSet set = DoorCodes();
  const auto stop = [](size_t num_done) { return num_done < 1; };
  EXPECT_EQ(AddNotes(set, *store, stop).code(), StatusCode::kCancelled);
  EXPECT_EQ(MeasureSearch(*store, set, SearchMode::kWords, 0, stop).status().code(), StatusCode::kCancelled);
  EXPECT_ERROR_CONTAINS(MeasureChat(*store, set, 0, stop), "stopped after 1 of 3 questions");
}

}  // namespace
}  // namespace qwen25
