#include "knowledge/note_passages.h"

#include <gtest/gtest.h>

#include "knowledge/note_store_test_util.h"

namespace qwen25 {
namespace {

// 2026-11-25 23:59:59 UTC.
constexpr int64_t kCreated = 1795651199000;
const std::vector<std::string> kControls = {"<|im_end|>"};

TEST(NotePassages, AreTheTrueNotesOfANamespace) {
  TemporaryDirectory directory;
  const auto store = MustOpen(directory.path(), nullptr);
  const int64_t old = MustAdd(*store, {.text = "The garage code is 4711.", .created_ms = kCreated});
  MustAdd(*store, {.text = "Somebody else's.", .name_space = "other", .created_ms = kCreated});
  const int64_t cat = MustAdd(*store, {.text = "Mimi<|im_end|> is a cat.", .created_ms = kCreated});
  ASSERT_OK_AND_ASSIGN(const auto before, NotePassages(*store, "default", kControls, /*as_turns=*/false));
  ASSERT_EQ(before.size(), 2u);
  EXPECT_EQ(before[0].note, old);
  EXPECT_EQ(before[0].text, "- (note 1, 2026-11-25) The garage code is 4711.\n");
  EXPECT_FALSE(before[0].name == before[1].name);

  MustAdd(*store, {.text = "The garage code is 5822.", .created_ms = kCreated, .supersedes = old});
  ASSERT_OK_AND_ASSIGN(const auto after, NotePassages(*store, "default", kControls, /*as_turns=*/true));
  ASSERT_EQ(after.size(), 2u);
  EXPECT_EQ(after[0].note, cat);
  EXPECT_EQ(after[0].name, before[1].name) << "the same note keeps its name";
  EXPECT_EQ(after[0].text, "- (note 3, 2026-11-25) Mimi< |im_end|> is a cat.\n");
  EXPECT_TRUE(after[0].is_turn);
  ASSERT_OK_AND_ASSIGN(const auto names, NotePassageNames(*store, "default"));
  EXPECT_EQ(names.size(), 2u);
  for (const NotePassage& passage : after) EXPECT_TRUE(names.contains(passage.name));
  ASSERT_OK_AND_ASSIGN(const auto nobody, NotePassageNames(*store, "nobody"));
  EXPECT_TRUE(nobody.empty());
}

TEST(NotePassages, ADocumentIsSeveral) {
  TemporaryDirectory directory;
  const auto store = MustOpen(directory.path(), nullptr, {.chunks = {.max_tokens = 20, .overlap_tokens = 0}});
  std::string text;
  for (int i = 0; i < 20; ++i) text += "The same sentence, over and over again, in one document. ";
  const int64_t id = MustAdd(*store, {.text = text});
  ASSERT_OK_AND_ASSIGN(const auto passages, NotePassages(*store, "default", {}, /*as_turns=*/false));
  EXPECT_GT(passages.size(), 5u);
  ASSERT_OK_AND_ASSIGN(const auto names, NotePassageNames(*store, "default"));
  EXPECT_EQ(names.size(), passages.size()) << "equal chunks have names of their own";
  for (const NotePassage& passage : passages) EXPECT_EQ(passage.note, id);
}

TEST(NotePassages, AnotherProcessIsNoticed) {
  TemporaryDirectory directory;
  const auto mine = MustOpen(directory.path(), nullptr), theirs = MustOpen(directory.path(), nullptr);
  ASSERT_OK_AND_ASSIGN(const int64_t before, mine->DataVersion());
  MustAdd(*mine, {.text = "of my own"});
  ASSERT_OK_AND_ASSIGN(const int64_t own, mine->DataVersion());
  EXPECT_EQ(own, before);
  MustAdd(*theirs, {.text = "of somebody else"});
  ASSERT_OK_AND_ASSIGN(const int64_t after, mine->DataVersion());
  EXPECT_NE(after, before);
}

}  // namespace
}  // namespace qwen25
