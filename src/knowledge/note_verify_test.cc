#include "knowledge/note_store.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "base/test_util.h"
#include "knowledge/hashed_embedder.h"
#include "knowledge/note_store_test_util.h"

namespace qwen25 {
namespace {

// A flip of any byte that belongs to a note is found.
TEST(NoteStore, FlippedBitsAreFound) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  {
    const auto store = MustOpen(directory.path(), &embedder);
    for (int i = 0; i < 20; ++i) {
      MustAdd(*store, {.text = fmt::format("The lighthouse number {} burns from dusk to dawn.", i),
                       .title = "Lighthouses",
                       .source = "atlas",
                       .tags = {"coast"}});
    }
    ASSERT_OK(store->Verify());
  }
  ASSERT_OK_AND_ASSIGN(const std::string good, ReadFile(directory / "notes.sqlite"));
  size_t num_flips = 0;
  const auto flip = [&](size_t byte) {
    const TemporaryDirectory damaged;
    std::string bad = good;
    bad[byte] = static_cast<char>(bad[byte] ^ 1);
    ASSERT_OK(WriteFileAtomically(damaged / "notes.sqlite", bad));
    ++num_flips;
    const auto store = NoteStore::Open(damaged.path(), &embedder);
    if (store.ok()) {
      EXPECT_FALSE((*store)->Verify().ok()) << "byte " << byte << " near " << good.substr(byte, 20);
    }
  };
  for (const char* what : {"lighthouse", "dusk", "dawn", "Lighthouses", "atlas", "coast", "default"}) {
    for (size_t at = good.find(what), count = 0; at != std::string::npos && count < 8; ++count) {
      flip(at + count % std::string_view(what).size());
      at = good.find(what, at + 1);
    }
  }
  EXPECT_GT(num_flips, 20u);
}

TEST(NoteStore, FlippedBitsOfVectorsAndTimesAreFound) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  const auto store = MustOpen(directory.path(), &embedder);
  MustAdd(*store, {.text = "one"});
  MustAdd(*store, {.text = "two"});
  ASSERT_OK_AND_ASSIGN(Database database, Database::Open(directory / "notes.sqlite", 100));
  ASSERT_OK(database.Execute("UPDATE notes SET created_ms = created_ms + 1 WHERE id = 2"));
  EXPECT_ERROR_CONTAINS(store->Verify(), "1 of 2 notes are not what was written: 2");
  ASSERT_OK(database.Execute("UPDATE notes SET created_ms = created_ms - 1 WHERE id = 2"));
  ASSERT_OK(store->Verify());
  ASSERT_OK(database.Execute("UPDATE embeddings SET vector = zeroblob(length(vector)) WHERE chunk = 1"));
  EXPECT_ERROR_CONTAINS(store->Verify(), "memory reindex");
}

// Stores from before there were checksums are read, and get them.
TEST(NoteStore, AnOlderFileIsBroughtUpToDate) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  {
    const auto store = MustOpen(directory.path(), &embedder);
    MustAdd(*store, {.text = "kept", .tags = {"old"}});
    ASSERT_OK_AND_ASSIGN(Database database, Database::Open(directory / "notes.sqlite", 100));
    ASSERT_OK(
        database.Execute("ALTER TABLE notes DROP COLUMN sum; ALTER TABLE embeddings DROP COLUMN sum; "
                         "ALTER TABLE notes DROP COLUMN speaker; ALTER TABLE notes DROP COLUMN session; "
                         "PRAGMA user_version=1"));
  }
  const auto store = MustOpen(directory.path(), &embedder);
  EXPECT_EQ(NotesFound(*store, {.query = "kept"}), std::vector<int64_t>{1});
  ASSERT_OK(store->Verify());
  ASSERT_OK_AND_ASSIGN(Database database, Database::Open(directory / "notes.sqlite", 100));
  ASSERT_OK(database.Execute("UPDATE tags SET tag = 'new'"));
  EXPECT_FALSE(store->Verify().ok());
}

}  // namespace
}  // namespace qwen25
