#include "knowledge/note_transfer.h"

#include <gtest/gtest.h>

#include <string>

#include "base/test_util.h"
#include "knowledge/note_store_test_util.h"

namespace qwen25 {
namespace {

TEST(NoteTransferTest, AnImportIsWhatWasExported) {
  const TemporaryDirectory from, to;
  const auto store = MustOpen(from.path(), nullptr);
  const int64_t old_note =
      MustAdd(*store, {.text = "The code is 4711.", .tags = {"home"}, .created_ms = 1000});
  MustAdd(*store, {.text = "The code is 1234.", .title = "Door", .supersedes = old_note});
  MustAdd(*store, {.text = "Elsewhere.", .name_space = "work"});
  std::string lines;
  const auto collect = [&](std::string_view line) {
    lines += line;
    return Status();
  };
  ASSERT_OK_AND_ASSIGN(const size_t count, ExportNotes(*store, {.name_space = "default"}, collect));
  EXPECT_EQ(count, 2u);

  ASSERT_OK_AND_ASSIGN(const std::vector<Note> notes, ParseNoteLines(lines, "lines"));
  const auto copy = MustOpen(to.path(), nullptr);
  MustAdd(*copy, {.text = "Ids are others here."});
  ASSERT_OK(ImportNotes(notes, *copy));
  ASSERT_OK_AND_ASSIGN(const std::vector<Note> list, copy->List({}, /*with_text=*/true));
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[1].text, "The code is 4711.");
  EXPECT_EQ(list[1].tags, std::vector<std::string>{"home"});
  EXPECT_EQ(list[1].created_ms, 1000);
  EXPECT_EQ(list[1].superseded_by, list[2].id);
  EXPECT_EQ(list[2].title, "Door");
}

TEST(NoteTransferTest, ANoteMayComeBeforeTheOneThatItSupersedes) {
  const TemporaryDirectory directory;
  const auto store = MustOpen(directory.path(), nullptr);
  ASSERT_OK_AND_ASSIGN(const std::vector<Note> notes, ParseNoteLines(R"({"id": 2, "text": "new"}
{"id": 1, "text": "old", "superseded_by": 2})",
                                                                     "lines"));
  ASSERT_OK(ImportNotes(notes, *store));
  ASSERT_OK_AND_ASSIGN(const std::vector<Note> list, store->List({}));
  EXPECT_EQ(list[1].superseded_by, list[0].id);
  EXPECT_ERROR_CONTAINS(ParseNoteLines("{\"text\": \"t\"}\n\n{}", "lines"),
                        "lines: line 3: \"text\" is missing");
}

TEST(NoteTransferTest, WhatWasAddedBeforeAStopStays) {
  const TemporaryDirectory directory;
  const auto store = MustOpen(directory.path(), nullptr);
  const std::vector<Note> notes = {{.id = 1, .text = "one"}, {.id = 2, .text = "two"}};
  EXPECT_ERROR_CONTAINS(ImportNotes(notes, *store, [](size_t num_done) { return num_done < 1; }),
                        "stopped after 1 of 2 notes; they stay");
  EXPECT_EQ(store->Stats()->notes, 1u);
}

}  // namespace
}  // namespace qwen25
