#include "data/filters.h"

#include <rapidcheck.h>

#include "base/file.h"
#include "base/test_util.h"
#include "data/dedup.h"
#include "data/read/compression.h"
#include "data/read/jsonl.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

const FilterOptions kOptions;

std::string Clean(std::string text, const FilterOptions& options = kOptions) {
  RepairBytes repairs = {};
  CleanText(options, text, repairs);
  return text;
}

std::string Sentences(int count, int first = 0) {
  std::string text;
  for (int i = first; i < first + count; ++i)
    text += "Sentence number " + std::to_string(i) + " speaks of the thing called item" +
            std::to_string(i * 7) + ".\n";
  return text;
}

TEST(DecodeTextTest, KeepsUtf8DecodesLatin1RepairsLittleAndRefusesTheRest) {
  RepairBytes repairs = {};
  std::string text = "caf\u00E9 ☕";
  EXPECT_FALSE(DecodeText(kOptions, text, repairs));
  EXPECT_EQ(text, "caf\u00E9 ☕");
  EXPECT_EQ(repairs, RepairBytes{});

  text = "caf\xE9 \xA9";
  EXPECT_FALSE(DecodeText(kOptions, text, repairs));
  EXPECT_EQ(text, "caf\u00E9 ©");
  EXPECT_EQ(repairs[static_cast<size_t>(Repair::kLatin1)], 2u);

  text = std::string(1000, 'x') + "☕\xFF";
  EXPECT_FALSE(DecodeText(kOptions, text, repairs));
  EXPECT_EQ(text, std::string(1000, 'x') + "☕\uFFFD");
  EXPECT_EQ(repairs[static_cast<size_t>(Repair::kInvalidUtf8)], 1u);

  text = "☕\xFF\xFE\xFF mixed";
  EXPECT_EQ(DecodeText(kOptions, text, repairs), DropReason::kBadEncoding);
  text = std::string("ELF\0\1", 5);
  EXPECT_EQ(DecodeText(kOptions, text, repairs), DropReason::kBinary);
  text = "\xFF\xFEh";
  EXPECT_EQ(DecodeText(kOptions, text, repairs), DropReason::kBinary);
  text = "\1\2\3\4abc";
  EXPECT_EQ(DecodeText(kOptions, text, repairs), DropReason::kBinary);
}

TEST(CleanTextTest, LineEndsControlsAndSpace) {
  EXPECT_EQ(Clean("a\r\nb\rc\fd"), "a\nb\nc\nd\n");
  EXPECT_EQ(Clean("\xEF\xBB\xBFx\x01y\x7Fz\tw"), "xyz\tw\n");
  EXPECT_EQ(Clean("N\bNA\bAM\bME\bE _\bu"), "NAME u\n");
  EXPECT_EQ(Clean("\x1B[1;31mred\x1B[0m"), "red\n");
  EXPECT_EQ(Clean("\n\n a  \n\n\n\n\nb\t \n \n"), " a\n\n\nb\n");
  EXPECT_EQ(Clean(""), "");
  EXPECT_EQ(Clean(" \n\t\n"), "");
}

TEST(CleanTextTest, CountsWhatItTakesAway) {
  RepairBytes repairs = {};
  std::string text =
      "a \r\n\x01"
      "b\n\n\n\n\nc\n";
  CleanText(kOptions, text, repairs);
  EXPECT_EQ(repairs[static_cast<size_t>(Repair::kLineEnds)], 1u);
  EXPECT_EQ(repairs[static_cast<size_t>(Repair::kControl)], 1u);
  EXPECT_EQ(repairs[static_cast<size_t>(Repair::kSpace)], 1u + 2u);  // a trailing space, two blank lines
}

TEST(CleanTextTest, LicenseHeadersGoWhereAsked) {
  FilterOptions options;
  options.strip_license_headers = true;
  EXPECT_EQ(Clean("/* Copyright X.\n * License: Y. */\n\nint x;\n", options), "int x;\n");
  EXPECT_EQ(Clean("#!/bin/sh\n# Licensed under Z\n# more\n\necho\n", options), "echo\n");
  EXPECT_EQ(Clean("// What this is.\nint x;\n", options), "// What this is.\nint x;\n");
  EXPECT_EQ(Clean("// Copyright X\nint x;\n"), "// Copyright X\nint x;\n");
}

TEST(JudgeTextTest, EveryRule) {
  EXPECT_EQ(JudgeText(kOptions, Sentences(20)), std::nullopt);
  EXPECT_EQ(JudgeText(kOptions, "short\n"), DropReason::kTooShort);
  EXPECT_EQ(JudgeText(kOptions, ""), DropReason::kTooShort);
  std::string words;
  for (int i = 0; i < 500; ++i) words += "word" + std::to_string(i) + "x ";
  EXPECT_EQ(JudgeText(kOptions, words + "\n"), DropReason::kLongLines);
  std::string table, drawing, repeated;
  for (int i = 0; i < 50; ++i) {
    table +=
        "0x" + std::to_string(1000 + i) + ", 0xdeadbeef, 12345678, 0x" + std::to_string(9000 + i) + ",\n";
    drawing += "+--" + std::string(static_cast<size_t>(i), '-') + "+ | a | ======= |\n";
    repeated += "the very same line once more\n";
  }
  EXPECT_EQ(JudgeText(kOptions, table), DropReason::kTable);
  EXPECT_EQ(JudgeText(kOptions, drawing), DropReason::kFewLetters);
  EXPECT_EQ(JudgeText(kOptions, repeated), DropReason::kRepeatedLines);
}

TEST(JudgeTextTest, CodeWithManyShortEqualLinesStays) {
  std::string code;
  for (int i = 0; i < 50; ++i)
    code += "void function_number_" + std::to_string(i) + "(int argument) {\n  return;\n}\n\n";
  EXPECT_EQ(JudgeText(kOptions, code), std::nullopt);
}

TEST(FiltersTest, AnyBytesGiveValidCleanText) {
  rc::check("decode, clean, judge", [](const std::vector<uint8_t>& bytes) {
    std::string text(bytes.begin(), bytes.end());
    RepairBytes repairs = {};
    if (DecodeText(kOptions, text, repairs)) return;
    RC_ASSERT(IsValidUtf8(text));
    CleanText(kOptions, text, repairs);
    RC_ASSERT(IsValidUtf8(text));
    RC_ASSERT(text.find("\n\n\n\n") == std::string::npos);
    RC_ASSERT(text.find('\r') == std::string::npos);
    RC_ASSERT(text.find(" \n") == std::string::npos);
    const bool framed =
        text.empty() || (text.back() == '\n' && text.front() != '\n');  // RC_ASSERT evaluates both
    RC_ASSERT(framed);
    const std::string once = text;
    CleanText(kOptions, text, repairs);
    RC_ASSERT(text == once);
    JudgeText(kOptions, text);
  });
}

std::optional<DropReason> Admit(Deduplicator& deduplicator, std::string& text) {
  RepairBytes repairs = {};
  return deduplicator.Admit(ComputeFingerprint({}, text), text, repairs);
}

TEST(DedupTest, EqualDocumentsInOtherCommentsAreDuplicates) {
  Deduplicator deduplicator({});
  std::string first = "# " + Sentences(10), second = "// " + Sentences(10), third = Sentences(10, 50);
  EXPECT_EQ(Admit(deduplicator, first), std::nullopt);
  EXPECT_EQ(Admit(deduplicator, second), DropReason::kDuplicate);
  EXPECT_EQ(Admit(deduplicator, third), std::nullopt);
}

TEST(DedupTest, ARepeatedParagraphGoesAndTheRestStays) {
  Deduplicator deduplicator({});
  const std::string license = Sentences(8, 1000);
  std::string first = license + "\n" + Sentences(20);
  std::string second = "Intro.\n\n" + license + "\n" + Sentences(20, 100);
  ASSERT_EQ(Admit(deduplicator, first), std::nullopt);
  EXPECT_EQ(first, license + "\n" + Sentences(20));
  RepairBytes repairs = {};
  ASSERT_EQ(deduplicator.Admit(ComputeFingerprint({}, second), second, repairs), std::nullopt);
  EXPECT_EQ(second, "Intro.\n\n" + Sentences(20, 100));
  EXPECT_EQ(repairs[static_cast<size_t>(Repair::kRepeatedParagraphs)], license.size() + 1);
}

TEST(DedupTest, ADroppedNearDuplicateLeavesItsOwnParagraphsFree) {
  Deduplicator deduplicator({});
  std::string first = Sentences(30), fresh = Sentences(8, 500);
  std::string near = first + "\n" + fresh, later = fresh;
  ASSERT_EQ(Admit(deduplicator, first), std::nullopt);
  EXPECT_EQ(Admit(deduplicator, near), DropReason::kNearDuplicate);
  EXPECT_EQ(Admit(deduplicator, later), std::nullopt);
}

TEST(DedupTest, FingerprintsCoverTheText) {
  rc::check("paragraphs tile the text", [](const std::string& text) {
    size_t at = 0;
    for (const auto& paragraph : ComputeFingerprint({}, text).paragraphs) {
      RC_ASSERT(paragraph.begin == at);
      RC_ASSERT(paragraph.end > at);
      at = paragraph.end;
    }
    RC_ASSERT(at == text.size());
  });
}

TEST(JsonlTest, WritesAndReadsBack) {
  rc::check("round trip", [](const std::vector<uint8_t>& bytes) {
    const Document document{"a/\"b\"\\", "kind", RepairUtf8(std::string(bytes.begin(), bytes.end()))};
    std::string line;
    AppendJsonLine(document, line);
    RC_ASSERT(line.find('\n') == line.size() - 1);
    const Result<Document> read = ParseJsonLine(std::string_view(line).substr(0, line.size() - 1));
    RC_ASSERT(read.ok());
    RC_ASSERT(read->text == document.text);
    RC_ASSERT(read->id == document.id);
    RC_ASSERT(read->source == document.source);
  });
}

TEST(JsonlTest, ErrorsNameFileAndLine) {
  TemporaryDirectory directory;
  const std::string path = directory / "d.jsonl";
  ASSERT_OK(WriteFileAtomically(path, "{\"text\":\"a\"}\n\n{\"id\":\"x\",\"text\":\"b\"}\n{\"text\":3}\n"));
  ASSERT_OK_AND_ASSIGN(JsonlReader reader, JsonlReader::Open(path));
  ASSERT_OK_AND_ASSIGN(auto first, reader.Next());
  EXPECT_EQ(first->text, "a");
  ASSERT_OK_AND_ASSIGN(auto second, reader.Next());
  EXPECT_EQ(second->id, "x");
  EXPECT_ERROR_CONTAINS(reader.Next(), "d.jsonl line 4: \"text\" is not a string but 3");
  EXPECT_ERROR_CONTAINS(ParseJsonLine("{\"id\":\"x\"}"), "no \"text\"");
  EXPECT_ERROR_CONTAINS(ParseJsonLine("[1]"), "expected a JSON object");
  EXPECT_ERROR_CONTAINS(ParseJsonLine("{\"text\":"), "not valid JSON");
  EXPECT_ERROR_CONTAINS(JsonlReader::Open(directory / "missing"), "missing");
}

}  // namespace
}  // namespace qwen25
