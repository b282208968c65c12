#include "eval/retrieval_set.h"

#include <gtest/gtest.h>

#include <array>

#include "base/file.h"
#include "base/test_util.h"

namespace qwen25 {
namespace {

NoteHit Hit(const char* source, size_t begin, size_t end) {
  NoteHit hit;
  hit.source = source;
  hit.range = {begin, end};
  return hit;
}

TEST(RetrievalSet, RanksCountPlaces) {
  const std::array hits = {Hit("a", 0, 100), Hit("b", 0, 50), Hit("a", 80, 200), Hit("b", 50, 90)};
  RetrievalQuestion question;
  question.relevant = {{"b", std::nullopt}, {"c", std::nullopt}, {"a", TextRange{90, 130}}};
  EXPECT_EQ(RanksOf(question, hits), (std::vector<size_t>{2, 0, 3})) << "a chunk must hold half of the place";
  question.relevant = {{"a", TextRange{80, 120}}};
  EXPECT_EQ(RanksOf(question, hits), std::vector<size_t>{1}) << "half is enough";
}

TEST(RetrievalSet, ScoresAreMeansOverQuestions) {
  RetrievalScore score;
  score.Add(std::array<size_t, 1>{1});
  score.Add(std::array<size_t, 2>{4, 0});
  score.Add(std::array<size_t, 2>{7, 10});
  score.Add(std::array<size_t, 1>{0});
  score.Add({});  // no answer: not counted
  EXPECT_EQ(score.questions(), 4u);
  EXPECT_DOUBLE_EQ(score.recall(0), 1.0 / 4);
  EXPECT_DOUBLE_EQ(score.recall(1), 1.5 / 4);
  EXPECT_DOUBLE_EQ(score.recall(2), 2.5 / 4);
  EXPECT_DOUBLE_EQ(score.mean_reciprocal_rank(), (1 + 1.0 / 4 + 1.0 / 7) / 4);
  EXPECT_DOUBLE_EQ(ChanceAbove({3, 2}, {1, 2}), 3.5 / 4);
  EXPECT_DOUBLE_EQ(ChanceAbove({}, {1}), 0.5);
}

TEST(RetrievalSet, FilesAreReadAndMistakesNamed) {
  const TemporaryDirectory directory;
  const auto write = [&](const std::string& notes, const std::string& questions) {
    EXPECT_OK(WriteFileAtomically(directory / "notes.jsonl", notes));
    EXPECT_OK(WriteFileAtomically(directory / "questions.jsonl", questions));
    return RetrievalSet::Load(directory.path());
  };
  const std::string note = R"({"id": "n", "text": "some text"})";
  const std::string question =
      R"({"query": "q", "kind": "k", "relevant": [{"note": "n", "begin": 2, "end": 4}]})";
  const auto set = write(note + "\n\n", question);
  ASSERT_TRUE(set.ok()) << MessageOf(set);
  EXPECT_EQ(set->questions[0].relevant[0].range, (TextRange{2, 4}));
  ASSERT_OK(write("\xef\xbb\xbf" + note + "\r\n", question)) << "a byte order mark";
  EXPECT_ERROR_CONTAINS(write(note + "\n" + note, question), "line 2: \"id\" is missing or occurred before");
  EXPECT_ERROR_CONTAINS(write(R"({"id": "n"})", question), "\"text\" is missing");
  EXPECT_ERROR_CONTAINS(write(R"({"id": "n", "text": "t", "supersedes": "o"})", question), "\"supersedes\"");
  EXPECT_ERROR_CONTAINS(write(note, R"({"query": "q", "relevant": [{"note": "x"}]})"),
                        "note \"x\", which is not in notes.jsonl");
  EXPECT_ERROR_CONTAINS(write(note, R"({"query": "q"})"), "\"relevant\"");
  EXPECT_ERROR_CONTAINS(write(note, R"({"query": "q", "relevant": [{"note": "n", "begin": 4, "end": 4}]})"),
                        "bytes 4 to 4");
  EXPECT_ERROR_CONTAINS(write(note, ""), "0 questions");
  EXPECT_FALSE(RetrievalSet::Load(directory / "nowhere").ok());
}

}  // namespace
}  // namespace qwen25
