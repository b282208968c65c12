#include "knowledge/note_ranking.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>

#include "knowledge/note_continuity.h"

namespace qwen25 {
namespace {

RankedChunk Found(double bm25, double cosine) {
  return {
      .word_rank = bm25 > 0 ? 1u : 0u, .vector_rank = cosine != 0 ? 1u : 0u, .bm25 = bm25, .cosine = cosine};
}

TEST(MatchScore, WordsCountByTheBestAndVectorsByTheirPlaceInTheList) {
  const MatchScale scale = {
      .best_bm25 = 6, .best_cosine = 0.6, .unrelated_cosine = 0.5, .weight = 0.5, .low_cosine = 0.4};
  EXPECT_DOUBLE_EQ(MatchScore(Found(6, 0), scale), 1);
  EXPECT_DOUBLE_EQ(MatchScore(Found(3, 0), scale), 0.5);
  EXPECT_DOUBLE_EQ(MatchScore(Found(0, 0.6), scale), 0.5);
  EXPECT_DOUBLE_EQ(MatchScore(Found(0, 0.5), scale), 0.25);
  EXPECT_DOUBLE_EQ(MatchScore(Found(0, 0.4), scale), 0) << "the last of the list";
  EXPECT_DOUBLE_EQ(MatchScore(Found(0, -0.5), scale), 0);
  EXPECT_DOUBLE_EQ(MatchScore(Found(3, 0.5), scale), 0.75);
  const MatchScale vectors_alone = {.best_cosine = 0.6, .unrelated_cosine = 0.2, .low_cosine = 0.2};
  EXPECT_DOUBLE_EQ(MatchScore(Found(0, 0.6), vectors_alone), 1);
  EXPECT_DOUBLE_EQ(MatchScore(Found(0, 0.2), vectors_alone), 0) << "as similar as unrelated texts";
  // No similarity is above that of unrelated texts.
  const MatchScale unrelated = {
      .best_bm25 = 6, .best_cosine = 0.9, .unrelated_cosine = 0.9, .low_cosine = 0.4};
  EXPECT_DOUBLE_EQ(MatchScore(Found(3, 0.9), unrelated), 0.5);
}

TEST(MatchScore, IsFiniteAndInItsRange) {
  EXPECT_TRUE(rc::check([](uint16_t bm25, uint16_t more, int8_t cosine, int8_t best, int8_t low,
                           uint8_t unrelated, uint8_t weight) {
    const double score = MatchScore(Found(static_cast<double>(bm25), cosine / 127.0),
                                    {.best_bm25 = bm25 + static_cast<double>(more),
                                     .best_cosine = best / 127.0,
                                     .unrelated_cosine = unrelated / 200.0,
                                     .weight = weight / 64.0,
                                     .low_cosine = low / 127.0});
    RC_ASSERT(std::isfinite(score));
    RC_ASSERT(score >= 0);
    RC_ASSERT(score <= 1 + weight / 64.0 + 1e-9);
  }));
}

TEST(Neighbours, ShareLessTheFartherTheyAre) {
  EXPECT_EQ(NeighbourShare(0), 0);
  EXPECT_EQ(NeighbourShare(1), 0.5);
  EXPECT_EQ(NeighbourShare(3), 0.125);
  EXPECT_EQ(NeighbourShare(4), 0);
}

TEST(Neighbours, AreOfOneSessionOrOfOneHour) {
  const int64_t hour = 3600 * 1000;
  const ChunkFields a{.note = 1, .created_ms = 0, .session = "1"},
      b{.note = 2, .created_ms = 9 * hour, .session = "1"};
  EXPECT_EQ(NeighbourhoodOf(a, b), Neighbourhood::kSure);
  EXPECT_EQ(NeighbourhoodOf(a, {.note = 2, .session = "2"}), Neighbourhood::kNone);
  EXPECT_EQ(NeighbourhoodOf(a, {.note = 2}), Neighbourhood::kNone);
  EXPECT_EQ(NeighbourhoodOf(a, a), Neighbourhood::kNone) << "chunks of one note";
  EXPECT_EQ(NeighbourhoodOf({.note = 1}, {.note = 2, .created_ms = hour}), Neighbourhood::kLikely);
  EXPECT_EQ(NeighbourhoodOf({.note = 1}, {.note = 2, .created_ms = hour + 1}), Neighbourhood::kNone);
  EXPECT_EQ(NeighbourhoodOf({.note = 1, .created_ms = INT64_MIN}, {.note = 2, .created_ms = INT64_MAX}),
            Neighbourhood::kNone);
}

TEST(QueryFields, NamesAndDatesRaiseTheScore) {
  const int64_t may = 1683554160000;  // 8 May 2023
  const QueryFields query("What did Caroline tell in May 2023?", may);
  EXPECT_DOUBLE_EQ(query.Factor({.created_ms = may, .speaker = "Caroline"}), 2.6);
  EXPECT_DOUBLE_EQ(query.Factor({.created_ms = may, .speaker = "Melanie"}), 2);
  EXPECT_DOUBLE_EQ(query.Factor({.created_ms = 0, .speaker = "Caroline Smith"}), 1.3);
  EXPECT_DOUBLE_EQ(query.Factor({.created_ms = 0}), 1);
  const QueryFields other("what is it", may);
  EXPECT_DOUBLE_EQ(other.Factor({.created_ms = may, .speaker = "what"}), 1) << "a common word is no name";
}

std::vector<NotesInARow> Rows(size_t count, const std::function<NotesInARow(size_t)>& row) {
  std::vector<NotesInARow> rows;
  for (size_t i = 0; i < count; ++i) rows.push_back(row(i));
  return rows;
}

TEST(Continuity, IsToldFromWordsThatFade) {
  const auto conversation = [](size_t i) -> NotesInARow {
    const std::string a = fmt::format("apple{}", i), b = fmt::format("pear{}", i);
    return {"Ann: " + a, "Bob: " + a + " or " + b, "Ann: " + b, "Bob: " + b};
  };
  EXPECT_TRUE(IsContinuous(Rows(20, conversation)));
  EXPECT_FALSE(IsContinuous(Rows(3, conversation))) << "too few to be sure";
  const auto separate = [](size_t i) -> NotesInARow {
    const std::string word = fmt::format("apple{}", i);
    // As often at the other end as beside it.
    return i % 2 == 0 ? NotesInARow{word, word, "pear", "plum"} : NotesInARow{word, "pear", "plum", word};
  };
  EXPECT_FALSE(IsContinuous(Rows(200, separate)));
  const auto same_date = [](size_t i) -> NotesInARow {
    const std::string date = fmt::format("may{} ", i);
    return {date + "apple", date + "pear", date + "plum", date + "cherry"};
  };
  EXPECT_FALSE(IsContinuous(Rows(200, same_date)));
  EXPECT_FALSE(IsContinuous({}));
}

}  // namespace
}  // namespace qwen25
