#include "knowledge/note_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>

#include "base/file.h"
#include "base/test_util.h"
#include "knowledge/hashed_embedder.h"
#include "knowledge/note_store_test_util.h"

namespace qwen25 {
namespace {

// An embedder that calls what another process would do while it works, as during a long import.
class BusyEmbedder : public HashedEmbedder {
 public:
  Status Embed(EmbedKind kind, std::span<const std::string> texts, std::span<float> out) override {
    if (meanwhile) QWEN25_RETURN_IF_ERROR(meanwhile());
    return HashedEmbedder::Embed(kind, texts, out);
  }
  std::function<Status()> meanwhile;
};

// To which the fixed texts of UnrelatedCosine are all the same, so that nothing is more alike.
class AlikeEmbedder : public HashedEmbedder {
 public:
  Status Embed(EmbedKind kind, std::span<const std::string> texts, std::span<float> out) override {
    if (texts.size() == 1) return HashedEmbedder::Embed(kind, texts, out);
    std::ranges::fill(out, 0.0f);
    for (size_t i = 0; i < texts.size(); ++i) out[i * id().dimension] = 1;
    return {};
  }
};

TEST(NoteStore, VectorsThatAreLikeUnrelatedTextsHaveAnOrder) {
  const TemporaryDirectory directory;
  AlikeEmbedder embedder;
  const auto store = MustOpen(directory.path(), &embedder);
  ASSERT_OK_AND_ASSIGN(const double unrelated, store->UnrelatedCosine());
  ASSERT_EQ(unrelated, 1);
  for (const char* text : {"a recipe for pancakes", "a piece for violins", "the stored keys are encrypted"}) {
    ASSERT_OK(store->Add({.text = text}).status());
  }
  ASSERT_OK_AND_ASSIGN(const auto hits,
                       store->Search({.query = "encryption of the keys", .mode = SearchMode::kVectors}));
  ASSERT_EQ(hits.size(), 3u);
  EXPECT_EQ(hits[0].text, "the stored keys are encrypted");
  EXPECT_EQ(hits[0].score, 0);
}

TEST(NoteStore, OthersWriteWhileTextsAreEmbedded) {
  const TemporaryDirectory directory;
  BusyEmbedder embedder;
  HashedEmbedder others;
  const auto store = MustOpen(directory.path(), &embedder, {.busy_milliseconds = 1});
  const auto other = MustOpen(directory.path(), &others, {.busy_milliseconds = 1});
  int64_t number = 0;
  embedder.meanwhile = [&]() -> Status {
    if (number == 205) return {};
    return other->Add({.text = fmt::format("meanwhile {}", ++number)}).status();
  };
  std::vector<NewNote> notes;
  for (int i = 0; i < 200; ++i) notes.push_back({.text = fmt::format("note {} of an import", i)});
  ASSERT_OK(store->AddAll(notes));
  EXPECT_GT(number, 0);
  EXPECT_LT(number, 205) << "none is left for the reindex";
  ASSERT_OK(NoteStore::Reindex(directory.path(), &embedder, {}, {.busy_milliseconds = 1}));
  embedder.meanwhile = {};
  ASSERT_OK_AND_ASSIGN(const NoteStats stats, store->Stats());
  EXPECT_EQ(stats.notes, 200u + static_cast<uint64_t>(number));
  EXPECT_EQ(stats.embedded, stats.chunks) << "notes that came during a reindex have no vectors";
  EXPECT_OK(store->Verify());
}

TEST(NoteStore, ACacheOfVectorsOfAnotherEmbedderIsNotWritten) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  {
    const auto store = MustOpen(directory.path(), &embedder);
    MustAdd(*store, {.text = "a note about rivers"});
    EXPECT_EQ(NotesFound(*store, {.query = "rivers", .mode = SearchMode::kVectors}).size(), 1u);
    // As a reindex by another process leaves it.
    const auto other = MustOpen(directory.path(), nullptr);
    ASSERT_OK(other->SetSetting("embedder_fingerprint", "another"));
    EXPECT_ERROR_CONTAINS(store->Search({.query = "rivers", .mode = SearchMode::kVectors}), "memory reindex");
    EXPECT_OK(store->SaveVectorCaches());
  }
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    EXPECT_NE(entry.path().extension(), ".hnsw");
  }
}

// A store whose vectors were made by older rules of the same embedder.
TEST(NoteStore, VectorsOfOlderRulesAreRenewed) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  {
    const auto store = MustOpen(directory.path(), &embedder);
    MustAdd(*store, {.text = "🎉🎉"});
    ASSERT_OK(store->SetSetting("embedder_fingerprint", "ngrams-1 1 icu 72.1"));
    ASSERT_OK(store->SetSetting("terms", "1 icu 72.1"));
    ASSERT_OK_AND_ASSIGN(Database database, Database::Open(directory / "notes.sqlite", 100));
    ASSERT_OK(database.Execute("UPDATE embeddings SET vector = zeroblob(length(vector)), sum = NULL"));
  }
  const auto store = MustOpen(directory.path(), &embedder);
  EXPECT_EQ(NotesFound(*store, {.query = "🎉", .mode = SearchMode::kVectors}), std::vector<int64_t>{1});
  EXPECT_EQ(NotesFound(*store, {.query = "🎉", .mode = SearchMode::kWords}), std::vector<int64_t>{1});
}

}  // namespace
}  // namespace qwen25
