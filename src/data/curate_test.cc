#include "data/curate.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/file.h"
#include "base/test_util.h"
#include "data/read/jsonl.h"
#include "data/read/text_files.h"

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

// A tree of small texts that share nothing.
class CurateTest : public testing::Test {
 protected:
  void Put(const std::string& name, const std::string& content) {
    ASSERT_OK(CreateDirectories((directory_.path() / name).parent_path()));
    ASSERT_OK(WriteFileAtomically(directory_ / name, content));
  }

  static std::string Text(int number, int lines = 30) {
    std::string text;
    for (int i = 0; i < lines; ++i)
      text += "Text " + std::to_string(number) + " says in line " + std::to_string(i) +
              " that the sum is item" + std::to_string(number * 1000 + i) + ".\n";
    return text;
  }

  void PutTexts(int count) {
    for (int i = 0; i < count; ++i)
      Put("in/" + std::to_string(i % 7) + "/" + std::to_string(i) + ".txt", Text(i));
  }

  CurateOptions Options(const std::string& output = "out") {
    CurateOptions options;
    options.sources = {UserSource(directory_ / "in")};
    options.output = directory_ / output;
    options.min_bytes = 0;
    options.validation_fraction = 0.3;
    return options;
  }

  static std::set<std::string> Ids(const std::string& path) {
    std::set<std::string> ids;
    Result<JsonlReader> reader = JsonlReader::Open(path);
    EXPECT_OK(reader);
    for (;;) {
      Result<std::optional<Document>> document = reader->Next();
      EXPECT_OK(document);
      if (!document.ok() || !document->has_value()) return ids;
      EXPECT_TRUE(ids.insert((*document)->id).second) << (*document)->id;
    }
  }

  TemporaryDirectory directory_;
  ThreadPool pool_{2};
};

TEST_F(CurateTest, EveryTextIsInOneOfTheTwoSets) {
  PutTexts(200);
  ASSERT_OK_AND_ASSIGN(const CurateReport report, Curate(Options(), pool_));
  std::set<std::string> train = Ids(report.train_path), validation = Ids(report.validation_path);
  EXPECT_EQ(train.size() + validation.size(), 200u);
  EXPECT_EQ(report.train.documents, train.size());
  EXPECT_EQ(report.validation.documents, validation.size());
  EXPECT_GT(validation.size(), 10u);
  EXPECT_LT(validation.size(), 120u);
  for (const std::string& id : validation) EXPECT_FALSE(train.contains(id));
  uint64_t bytes = 0;
  for (int i = 0; i < 200; ++i) bytes += Text(i).size();
  EXPECT_EQ(report.train.bytes + report.validation.bytes, bytes);
}

TEST_F(CurateTest, AddedDocumentsMoveNoneBetweenTheSets) {
  PutTexts(150);
  ASSERT_OK_AND_ASSIGN(const CurateReport before, Curate(Options("a"), pool_));
  PutTexts(300);
  ASSERT_OK_AND_ASSIGN(const CurateReport after, Curate(Options("b"), pool_));
  const std::set<std::string> train = Ids(after.train_path), validation = Ids(after.validation_path);
  for (const std::string& id : Ids(before.train_path)) EXPECT_TRUE(train.contains(id)) << id;
  for (const std::string& id : Ids(before.validation_path)) EXPECT_TRUE(validation.contains(id)) << id;
}

TEST_F(CurateTest, TheSameBytesForAnyNumberOfThreads) {
  PutTexts(200);
  Put("in/shared.md", Text(3) + "\n" + Text(1003));
  ASSERT_OK_AND_ASSIGN(const CurateReport first, Curate(Options("a"), pool_));
  for (const size_t threads : {1, 5}) {
    ThreadPool pool(threads);
    ASSERT_OK_AND_ASSIGN(const CurateReport again, Curate(Options("b"), pool));
    EXPECT_EQ(*ReadFile(first.train_path), *ReadFile(again.train_path));
    EXPECT_EQ(*ReadFile(first.validation_path), *ReadFile(again.validation_path));
    EXPECT_EQ(*ReadFile(first.report_path), *ReadFile(again.report_path));
  }
}

TEST_F(CurateTest, AnEmptyCorpusSaysWhereItLookedAndWhatToDo) {
  CurateOptions options = Options();
  ASSERT_OK(CreateDirectories(directory_ / "in"));
  const Status status = Curate(options, pool_).status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_NE(status.message().find("found no text: looked in " + (directory_ / "in")), std::string::npos)
      << status.message();
  EXPECT_NE(status.message().find("--source DIR"), std::string::npos);
  EXPECT_FALSE(fs::exists(directory_ / "out/documents.train.jsonl"));
  EXPECT_TRUE(fs::is_empty(directory_ / "out"));
  options.sources = {UserSource(directory_ / "nowhere")};
  EXPECT_ERROR_CONTAINS(Curate(options, pool_),
                        (directory_ / "nowhere") + ": there is no such file or folder");
}

TEST_F(CurateTest, ACorpusThatIsTooSmallNamesItsParts) {
  PutTexts(20);
  CurateOptions options = Options();
  options.min_bytes = 1'000'000;
  const Status status = Curate(options, pool_).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("the corpus is too small: "), std::string::npos) << status.message();
  EXPECT_NE(status.message().find("at least 1000000 are wanted (directory "), std::string::npos)
      << status.message();
  EXPECT_TRUE(fs::is_empty(directory_ / "out"));
}

TEST_F(CurateTest, AnEmptyValidationSetIsAnError) {
  PutTexts(3);
  CurateOptions options = Options();
  options.validation_fraction = 1e-9;
  EXPECT_ERROR_CONTAINS(Curate(options, pool_), "none of the 3 documents fell into the validation set");
  options.validation_fraction = 0;
  EXPECT_OK(Curate(options, pool_));
}

TEST_F(CurateTest, OptionsAreChecked) {
  CurateOptions options = Options();
  options.validation_fraction = 1;
  EXPECT_ERROR_CONTAINS(Curate(options, pool_), "validation_fraction is 1");
  options = Options();
  options.sources[0].share = 0;
  EXPECT_ERROR_CONTAINS(Curate(options, pool_), "the share of source directory is 0");
  options = Options();
  options.sources.clear();
  EXPECT_ERROR_CONTAINS(Curate(options, pool_), "sources is empty");
  options = Options();
  options.min_bytes = options.max_bytes + 1;
  EXPECT_ERROR_CONTAINS(Curate(options, pool_), "less than min_bytes");
  options = Options();
  options.output.clear();
  EXPECT_ERROR_CONTAINS(Curate(options, pool_), "output is empty");
}

TEST_F(CurateTest, SharesHoldUntilASourceEndsAndTheOthersFillUp) {
  for (int i = 0; i < 600; ++i) Put("a/" + std::to_string(i), Text(i));
  for (int i = 0; i < 600; ++i) Put("b/" + std::to_string(i), Text(1000 + i));
  for (int i = 0; i < 10; ++i) Put("c/" + std::to_string(i), Text(2000 + i));
  const uint64_t text_bytes = Text(1500).size();
  CurateOptions options = Options();
  options.sources = {{.kind = "a", .roots = {directory_ / "a"}, .share = 3},
                     {.kind = "b", .roots = {directory_ / "b"}, .share = 1},
                     {.kind = "c", .roots = {directory_ / "c"}, .share = 4}};
  options.max_bytes = 500 * text_bytes;
  ASSERT_OK_AND_ASSIGN(const CurateReport report, Curate(options, pool_));
  const auto documents = [&](size_t i) {
    return report.sources[i].train.documents + report.sources[i].validation.documents;
  };
  EXPECT_EQ(documents(2), 10u);
  EXPECT_NEAR(static_cast<double>(documents(0)), 490 * 0.75, 64);  // to a batch
  EXPECT_NEAR(static_cast<double>(documents(1)), 490 * 0.25, 64);
  EXPECT_GE(report.train.bytes + report.validation.bytes, options.max_bytes);
  EXPECT_LE(report.train.bytes + report.validation.bytes, options.max_bytes + text_bytes + 100);

  options.sources[0].max_bytes = 5 * text_bytes;
  ASSERT_OK_AND_ASSIGN(const CurateReport limited, Curate(options, pool_));
  EXPECT_LE(limited.sources[0].train.bytes + limited.sources[0].validation.bytes, 6 * text_bytes);
}

TEST_F(CurateTest, WhatIsDroppedIsCounted) {
  PutTexts(50);
  Put("in/copy.txt", "\n" + Text(7));
  Put("in/short.txt", "tiny\n");
  Put("in/binary", std::string(5000, '\0'));
  Put("in/damaged.gz", "not gzip");
  Put("in/windows.txt", "\xEF\xBB\xBF" + Text(500, 10) + "end\r\n");
  fs::create_symlink("..", directory_ / "in/loop");
  ASSERT_OK_AND_ASSIGN(const CurateReport report, Curate(Options(), pool_));
  const SourceReport& source = report.sources[0];
  const auto dropped = [&](DropReason reason) {
    return source.dropped[static_cast<size_t>(reason)].documents;
  };
  EXPECT_EQ(dropped(DropReason::kDuplicate), 1u);
  EXPECT_EQ(dropped(DropReason::kTooShort), 1u);
  EXPECT_EQ(dropped(DropReason::kBinary), 1u);
  EXPECT_EQ(dropped(DropReason::kBadArchive), 1u);
  EXPECT_EQ(source.repaired[static_cast<size_t>(Repair::kLineEnds)].documents, 1u);
  EXPECT_EQ(source.files_found, 55u);
  EXPECT_EQ(source.files_read, 55u);
  EXPECT_EQ(source.train.documents + source.validation.documents, 51u);
  std::vector<std::string> problems = source.problems;
  std::ranges::sort(problems);
  ASSERT_EQ(problems.size(), 2u);
  EXPECT_NE(problems[0].find("binary: is binary data"), std::string::npos);
  EXPECT_NE(problems[1].find("damaged.gz"), std::string::npos);

  ASSERT_OK_AND_ASSIGN(const Json json, ReadJsonFile(report.report_path));
  EXPECT_EQ(json["format"], 1);
  EXPECT_EQ(json["sources"][0]["dropped"]["binary"]["bytes"], 5000);
  EXPECT_EQ(json["train"]["documents"], report.train.documents);
  const std::string table = FormatCurateReport(report);
  EXPECT_NE(table.find("dropped as binary"), std::string::npos);
  EXPECT_NE(table.find("together"), std::string::npos);
}

TEST_F(CurateTest, ALargeFileIsReadInParts) {
  std::string book;
  for (int i = 0; i < 2000; ++i) book += Text(i, 10) + "\n";
  Put("in/book.txt", book);
  CurateOptions options = Options();
  options.split_bytes = 64 << 10;
  options.validation_fraction = 0;
  ASSERT_OK_AND_ASSIGN(const CurateReport report, Curate(options, pool_));
  EXPECT_EQ(report.sources[0].files_read, 1u);
  EXPECT_GT(report.train.documents, 10u);
  // Nothing is lost but the blank lines where documents meet.
  EXPECT_NEAR(static_cast<double>(report.train.bytes + report.validation.bytes),
              static_cast<double>(book.size()), 200);
}

TEST_F(CurateTest, StoppingLeavesNothingBehind) {
  PutTexts(200);
  int calls = 0;
  const Status status = Curate(Options(), pool_, [&](const CurateProgress& progress) {
                          EXPECT_EQ(progress.bytes_wanted, 24'000'000u);
                          return ++calls < 2;
                        }).status();
  EXPECT_EQ(status.code(), StatusCode::kCancelled);
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(fs::is_empty(directory_ / "out"));
}

// The texts of each set; their first bytes identify them, so that cleaning does not matter.
std::set<std::string> Texts(const std::string& path) {
  std::set<std::string> texts;
  Result<std::vector<std::string>> read = ReadTexts(path);
  EXPECT_OK(read);
  if (read.ok()) texts.insert(read->begin(), read->end());
  return texts;
}

size_t NumShared(const std::set<std::string>& a, const std::set<std::string>& b) {
  return static_cast<size_t>(std::ranges::count_if(a, [&](const auto& text) { return b.contains(text); }));
}

// Places do not decide what is held out: every document stays in its set when lines are added before it, and
// when its file gets another name.
TEST_F(CurateTest, ALineAddedInFrontMovesNoDocument) {
  std::string lines;
  for (int i = 0; i < 400; ++i) AppendJsonLine({.id = "", .source = "", .text = Text(i)}, lines);
  Put("in/docs.jsonl", lines);
  ASSERT_OK_AND_ASSIGN(const CurateReport before, Curate(Options("a"), pool_));
  std::string added;
  AppendJsonLine({.id = "", .source = "", .text = Text(1000)}, added);
  fs::remove(directory_ / "in/docs.jsonl");
  Put("in/renamed.jsonl", added + lines);
  ASSERT_OK_AND_ASSIGN(const CurateReport after, Curate(Options("b"), pool_));
  EXPECT_EQ(after.train.documents + after.validation.documents, 401u);
  EXPECT_EQ(NumShared(Texts(before.train_path), Texts(after.train_path)), before.train.documents);
  EXPECT_EQ(NumShared(Texts(before.validation_path), Texts(after.validation_path)),
            before.validation.documents);
}

// The content of a long text decides where it is cut. Text added in front changes the first documents, and
// those at the borders of the parts that are read at once.
TEST_F(CurateTest, AParagraphAddedInFrontLeavesMostOfABookAsItWas) {
  for (const std::string separator : {"\n", ""}) {  // paragraphs; lines only
    std::string book;
    for (int i = 0; i < 20000; ++i) book += Text(i, 1) + Text(30000 + i, 1) + separator;
    Put("in/book.txt", book);
    ASSERT_OK_AND_ASSIGN(const CurateReport before, Curate(Options("a"), pool_));
    Put("in/book.txt", "A word before all others." + std::string(200, '.') + "\n" + separator + book);
    ASSERT_OK_AND_ASSIGN(const CurateReport after, Curate(Options("b"), pool_));
    const std::set<std::string> train = Texts(before.train_path);
    const std::set<std::string> validation = Texts(before.validation_path);
    EXPECT_GT(train.size() + validation.size(), 20u);
    const size_t same =
        NumShared(train, Texts(after.train_path)) + NumShared(validation, Texts(after.validation_path));
    EXPECT_GE(same + 8, train.size() + validation.size());
    EXPECT_EQ(NumShared(train, Texts(after.validation_path)), 0u);
    EXPECT_EQ(NumShared(validation, Texts(after.train_path)), 0u);
  }
}

TEST_F(CurateTest, ReadsWhatEditorsAndArchivesMakeOfJsonLines) {
  std::string lines;
  for (int i = 0; i < 60; ++i) AppendJsonLine({.id = "", .source = "", .text = Text(i)}, lines);
  Put("in/marked.jsonl", "\xEF\xBB\xBF" + lines);
  std::string other;
  for (int i = 60; i < 90; ++i) AppendJsonLine({.id = "", .source = "", .text = Text(i)}, other);
  Put("in/other.ndjson", other);
  std::string unnamed;
  for (int i = 90; i < 100; ++i) AppendJsonLine({.id = "", .source = "", .text = Text(i)}, unnamed);
  Put("in/documents.json", unnamed);
  Put("in/picture.txt", "\x89PNG\r\n\x1A\n" + std::string(300, 'x'));
  ASSERT_OK_AND_ASSIGN(const CurateReport report, Curate(Options(), pool_));
  EXPECT_EQ(report.train.documents + report.validation.documents, 100u);
  const SourceReport& source = report.sources[0];
  EXPECT_EQ(source.dropped[static_cast<size_t>(DropReason::kBadJson)].documents, 0u);
  EXPECT_EQ(source.dropped[static_cast<size_t>(DropReason::kBinary)].documents, 1u);
  ASSERT_EQ(source.problems.size(), 1u);
  EXPECT_NE(source.problems[0].find("picture.txt: is a PNG image, not text"), std::string::npos);
}

TEST_F(CurateTest, TheShareHeldOutIsTheOneRequested) {
  size_t held_out = 0;
  for (uint64_t i = 0; i < 100000; ++i) held_out += IsValidationDocument({.low = i, .high = 7}, 0.02);
  EXPECT_NEAR(static_cast<double>(held_out), 2000, 200);
  EXPECT_FALSE(IsValidationDocument({}, 0));
}

}  // namespace
}  // namespace qwen25
