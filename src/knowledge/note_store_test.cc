#include "knowledge/note_store.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <functional>
#include <set>
#include <thread>

#include "base/file.h"
#include "base/test_util.h"
#include "knowledge/hashed_embedder.h"
#include "knowledge/note_store_test_util.h"

namespace qwen25 {
namespace {

// With this parameter the store is encrypted.
class NotesPlainAndEncrypted : public ::testing::TestWithParam<bool> {
 protected:
  static NoteStoreOptions Options() {
    NoteStoreOptions options;
    if (GetParam()) options.key = std::string(32, 'k');
    return options;
  }
};
INSTANTIATE_TEST_SUITE_P(NoteStore, NotesPlainAndEncrypted, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Encrypted" : "Plain"; });

TEST(NoteStore, RemembersFindsAndForgets) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  int64_t cat = 0;
  {
    const auto store = MustOpen(directory.path(), &embedder);
    cat = MustAdd(*store,
                  {.text = "My cat is called Mimi.", .title = "pets", .source = "chat", .tags = {"home"}});
    MustAdd(*store, {.text = "The server room has code 4711."});
    EXPECT_EQ(MustAdd(*store, {.text = "My cat is called Mimi.", .source = "chat"}), cat) << "stored twice";
  }
  const auto store = MustOpen(directory.path(), &embedder);
  ASSERT_OK_AND_ASSIGN(const Note note, store->Get(cat));
  EXPECT_EQ(note.text, "My cat is called Mimi.");
  EXPECT_EQ(note.tags, std::vector<std::string>{"home"});
  EXPECT_GT(note.created_ms, 1600000000000);
  for (const SearchMode mode : {SearchMode::kWords, SearchMode::kVectors, SearchMode::kHybrid}) {
    const auto found = NotesFound(*store, {.query = "what are my cats called?", .mode = mode});
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(found[0], cat);
  }
  ASSERT_OK_AND_ASSIGN(const auto hits, store->Search({.query = "Mimi"}));
  EXPECT_EQ(hits[0].word_rank, 1u);
  EXPECT_EQ(hits[0].vector_rank, 1u);
  EXPECT_GT(hits[0].score, 1) << "by words alone, and more by vectors";
  EXPECT_EQ(hits[0].text, note.text);

  ASSERT_OK_AND_ASSIGN(const size_t forgotten, store->Forget(std::array{cat, int64_t{99}}, /*erase=*/false));
  EXPECT_EQ(forgotten, 1u);
  EXPECT_ERROR_CONTAINS(store->Get(cat), "there is no note");
  const auto left = NotesFound(*store, {.query = "what is my cat called?"});
  EXPECT_EQ(std::ranges::count(left, cat), 0);
  EXPECT_OK(store->Verify());
}

TEST(NoteStore, FindsAllScripts) {
  const TemporaryDirectory directory;
  const auto store = MustOpen(directory.path(), nullptr);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"我住在北京，喜欢吃饺子。", "饺子"},
      {"私は東京タワーの近くに住んでいます。", "東京タワー"},
      {"ฉันเลี้ยงแมวสามตัวที่บ้าน", "แมว"},
      {"저는 부산에서 커피를 팝니다.", "커피"},
      {"Мы встречаемся у памятника в полдень.", "Памятника"},
      {"النافذة الزرقاء مفتوحة", "الزرقاء"},
      {"release party 🎉 on Friday", "🎉"},
      {"Prag 🇨🇿, dann Wien", "🇨🇿"},
      {"Schritt 3️⃣: warten", "3️⃣"},
      {"the sum ∑ over all n", "∑"},
      {"a fee of 12 €", "€"},
      {"see \U00030000 there", "\U00030000"},
      {"El niño compró dos árboles", "NINO"},
      {"वह हर सुबह चाय पीता है", "चाय"},
      {"猫", "猫"},
  };
  std::vector<int64_t> ids;
  for (const auto& [text, query] : cases) ids.push_back(MustAdd(*store, {.text = text}));
  for (size_t i = 0; i < cases.size(); ++i) {
    EXPECT_EQ(NotesFound(*store, {.query = cases[i].second}), std::vector<int64_t>{ids[i]})
        << cases[i].second;
  }
}

TEST(NoteStore, NamespacesAreKeptApart) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  const auto store = MustOpen(directory.path(), &embedder);
  const int64_t mine = MustAdd(*store, {.text = "the password is swordfish", .name_space = "ada"});
  ASSERT_OK_AND_ASSIGN(const auto before, store->Search({.query = "password", .namespaces = {"ada"}}));
  for (int i = 0; i < 20; ++i) {
    MustAdd(*store, {.text = fmt::format("password number {} of bob", i), .name_space = "bob"});
  }
  ASSERT_OK_AND_ASSIGN(const auto hits, store->Search({.query = "password", .namespaces = {"ada"}}));
  ASSERT_EQ(hits.size(), 1u);
  EXPECT_EQ(hits[0].note, mine);
  // Not even the statistics of other namespaces show.
  EXPECT_EQ(hits[0].bm25, before[0].bm25);
  EXPECT_EQ(hits[0].cosine, before[0].cosine);
  EXPECT_TRUE(NotesFound(*store, {.query = "password", .namespaces = {"eve"}}).empty());
  EXPECT_EQ(NotesFound(*store, {.query = "password", .namespaces = {"ada", "bob"}, .limit = 50}).size(), 21u);
}

// What one namespace needs is destroyed: a search in the other cannot have looked at it.
TEST(NoteStore, OtherNamespacesAreNeverRead) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  {
    const auto store = MustOpen(directory.path(), &embedder);
    for (const char* name : {"ada", "bob"}) {
      for (int i = 0; i < 20; ++i) {
        MustAdd(*store, {.text = fmt::format("password number {} of {}", i, name), .name_space = name});
      }
    }
  }
  const auto search = [&](NoteStore& store, const char* name) {
    return store.Search({.query = "password 7", .namespaces = {name}});
  };
  std::vector<NoteHit> before;
  {
    const auto store = MustOpen(directory.path(), &embedder);
    ASSERT_OK_AND_ASSIGN(before, search(*store, "ada"));
  }
  EXPECT_TRUE(std::filesystem::exists(directory / "notes.vectors-1.hnsw"));
  EXPECT_FALSE(std::filesystem::exists(directory / "notes.vectors-2.hnsw")) << "nobody searched there";
  {
    ASSERT_OK_AND_ASSIGN(Database database, Database::Open(directory / "notes.sqlite", 100));
    ASSERT_OK(database.Execute(
        "UPDATE embeddings SET vector = x'00' WHERE chunk IN (SELECT id FROM chunks WHERE namespace = 2);"
        "DROP TABLE words_2; DROP TABLE vocabulary_2"));
  }
  const auto store = MustOpen(directory.path(), &embedder);
  ASSERT_OK_AND_ASSIGN(const std::vector<NoteHit> after, search(*store, "ada"));
  ASSERT_EQ(after.size(), before.size());
  for (size_t i = 0; i < after.size(); ++i) {
    EXPECT_EQ(after[i].note, before[i].note);
    EXPECT_EQ(after[i].score, before[i].score);
    EXPECT_EQ(after[i].cosine, before[i].cosine);
  }
  EXPECT_FALSE(search(*store, "bob").ok()) << "the destruction was to be felt there";
  EXPECT_ERROR_CONTAINS(
      store->Search({.query = "password 7", .namespaces = {"bob"}, .mode = SearchMode::kVectors}),
      "the vector of chunk");
  EXPECT_FALSE(store->Search({.query = "password 7", .namespaces = {"ada", "bob"}}).ok());
}

TEST(NoteStore, UpdatesHideWhatTheyReplace) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  const auto store = MustOpen(directory.path(), &embedder);
  const int64_t old_home = MustAdd(*store, {.text = "I live in Lyon."});
  const int64_t home = MustAdd(*store, {.text = "I live in Porto.", .supersedes = old_home});
  EXPECT_EQ(NotesFound(*store, {.query = "where do I live"}), std::vector<int64_t>{home});
  EXPECT_EQ(NotesFound(*store, {.query = "where do I live", .include_superseded = true}).size(), 2u);
  ASSERT_OK_AND_ASSIGN(const Note old_note, store->Get(old_home));
  EXPECT_EQ(old_note.superseded_by, home);
  EXPECT_ERROR_CONTAINS(store->Add({.text = "x", .supersedes = 1234}), "no note 1234");
  const int64_t first = MustAdd(*store, {.text = "chapter one", .source = "book", .replaces_source = true});
  const int64_t second =
      MustAdd(*store, {.text = "chapter one, revised", .source = "book", .replaces_source = true});
  ASSERT_OK_AND_ASSIGN(const Note replaced, store->Get(first));
  EXPECT_EQ(replaced.superseded_by, second);
  // A text that is known already can still say that another is no longer true.
  const int64_t stale = MustAdd(*store, {.text = "I live in Rome."});
  EXPECT_EQ(MustAdd(*store, {.text = "I live in Porto.", .supersedes = stale}), home);
  EXPECT_EQ(NotesFound(*store, {.query = "where do I live", .mode = SearchMode::kWords}),
            std::vector<int64_t>{home});
  // Forgetting the new one makes the old one true again.
  ASSERT_OK(store->Forget(std::array{stale}, false));
  ASSERT_OK(store->Forget(std::array{home}, false));
  EXPECT_EQ(NotesFound(*store, {.query = "where do I live", .mode = SearchMode::kWords}),
            std::vector<int64_t>{old_home});
}

TEST(NoteStore, FiltersBySourceAndTags) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  const auto store = MustOpen(directory.path(), &embedder);
  for (int i = 0; i < 300; ++i) {
    MustAdd(*store, {.text = fmt::format("apple pie number {}", i), .source = "recipes"});
  }
  const int64_t tagged =
      MustAdd(*store, {.text = "some pear cake, and once an apple", .tags = {"best", "cake"}});
  for (const SearchMode mode : {SearchMode::kWords, SearchMode::kVectors}) {
    EXPECT_EQ(NotesFound(*store, {.query = "apple pie", .mode = mode, .candidates = 5, .tags = {"best"}}),
              std::vector<int64_t>{tagged});
  }
  EXPECT_EQ(NotesFound(*store, {.query = "apple", .limit = 7, .source = "recipes"}).size(), 7u);
  ASSERT_OK_AND_ASSIGN(const auto listed, store->List({.tags = {"cake"}}));
  EXPECT_EQ(listed.size(), 1u);
}

TEST(NoteStore, DocumentsComeBackWhole) {
  const TemporaryDirectory directory;
  const auto store = MustOpen(directory.path(), nullptr, {.chunks = {.max_tokens = 12, .overlap_tokens = 5}});
  std::string text;
  for (int i = 0; i < 80; ++i)
    text += fmt::format("Sentence {} says {}.{}", i, i * i, i % 7 == 0 ? "\n\n" : " ");
  const int64_t id = MustAdd(*store, {.text = text, .source = "document"});
  ASSERT_OK_AND_ASSIGN(const Note note, store->Get(id));
  EXPECT_EQ(note.text, text);
  EXPECT_GT(note.num_chunks, 20u);
  ASSERT_OK_AND_ASSIGN(const auto hits, store->Search({.query = "5041"}));  // 71 * 71
  ASSERT_FALSE(hits.empty());
  EXPECT_EQ(text.substr(hits[0].range.begin, hits[0].range.end - hits[0].range.begin), hits[0].text);
  EXPECT_NE(hits[0].text.find("Sentence 71"), std::string::npos);
}

TEST(NoteStore, ErasingLeavesNoTrace) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  const auto store = MustOpen(directory.path(), &embedder);
  std::vector<NewNote> notes;
  for (int i = 0; i < 200; ++i) notes.push_back({.text = fmt::format("An ordinary note about topic {}.", i)});
  ASSERT_OK(store->AddAll(notes));
  const int64_t secret = MustAdd(
      *store,
      {.text = "Zanzibar7 is the Quetzalcoatl place.", .title = "Xylophonist", .tags = {"Wolframite"}});
  ASSERT_OK(store->Search({.query = "Zanzibar7"}));
  ASSERT_OK(store->SaveVectorCaches());
  ASSERT_TRUE(AnyFileHolds(directory.path(), "Zanzibar7"));
  ASSERT_OK(store->Forget(std::array{secret}, /*erase=*/true));
  for (const char* trace :
       {"Zanzibar7", "zanzibar7", "anzibar", "uetzalcoatl", "Xylophonist", "Wolframite"}) {
    EXPECT_FALSE(AnyFileHolds(directory.path(), trace)) << trace;
  }
  EXPECT_OK(store->Verify());
  EXPECT_FALSE(NotesFound(*store, {.query = "ordinary topic 17"}).empty());
}

TEST(NoteStore, EmbeddersAreNotMixed) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder, small({.dimension = 64});
  { MustAdd(*MustOpen(directory.path(), &embedder), {.text = "a note about rivers"}); }
  EXPECT_ERROR_CONTAINS(NoteStore::Open(directory.path(), &small), "memory reindex");
  { MustAdd(*MustOpen(directory.path(), nullptr), {.text = "a note about mountains"}); }
  ASSERT_OK_AND_ASSIGN(const auto store, NoteStore::Reindex(directory.path(), &small, nullptr));
  ASSERT_OK_AND_ASSIGN(const NoteStats stats, store->Stats());
  EXPECT_EQ(stats.embedded, 2u);
  EXPECT_EQ(NotesFound(*store, {.query = "mountain", .mode = SearchMode::kVectors})[0], 2);
  EXPECT_ERROR_CONTAINS(NoteStore::Open(directory.path(), &embedder), "64 dimensions");
}

TEST(NoteStore, DamagedAndForeignFilesAreRefused) {
  HashedEmbedder embedder;
  {
    const TemporaryDirectory directory;
    ASSERT_OK(WriteFileAtomically(directory / "notes.sqlite", std::string(5000, 'x')));
    EXPECT_ERROR_CONTAINS(NoteStore::Open(directory.path(), &embedder), "is not a valid SQLite database");
  }
  const TemporaryDirectory directory;
  { MustAdd(*MustOpen(directory.path(), &embedder), {.text = "kept"}); }
  {
    ASSERT_OK_AND_ASSIGN(Database database, Database::Open(directory / "notes.sqlite", 100));
    ASSERT_OK(database.Execute("PRAGMA user_version=7"));
  }
  EXPECT_ERROR_CONTAINS(NoteStore::Open(directory.path(), &embedder), "newer qwen25 (schema 7");
  {
    const TemporaryDirectory foreign;
    {
      ASSERT_OK_AND_ASSIGN(Database database, Database::Open(foreign / "notes.sqlite", 100));
      ASSERT_OK(database.Execute("CREATE TABLE t (x)"));
    }
    EXPECT_ERROR_CONTAINS(NoteStore::Open(foreign.path(), &embedder), "another program");
  }
  // A damaged page in the middle: found by Verify, and never a crash.
  const TemporaryDirectory damaged;
  {
    const auto store = MustOpen(damaged.path(), &embedder);
    std::vector<NewNote> notes;
    for (int i = 0; i < 100; ++i)
      notes.push_back({.text = fmt::format("note {} about subject {}", i, i * 7)});
    ASSERT_OK(store->AddAll(notes));
  }
  ASSERT_OK_AND_ASSIGN(std::string bytes, ReadFile(damaged / "notes.sqlite"));
  for (size_t page = 8; page < 12; ++page)
    std::fill_n(bytes.begin() + static_cast<ptrdiff_t>(page * 4096), 4096, '\x5a');
  ASSERT_OK(WriteFileAtomically(damaged / "notes.sqlite", bytes));
  const auto store = NoteStore::Open(damaged.path(), &embedder);
  if (store.ok()) {
    EXPECT_FALSE((*store)->Verify().ok());
  }
}

TEST(NoteStore, ASecondWriterWaitsOrIsTold) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  const auto store = MustOpen(directory.path(), &embedder, {.busy_milliseconds = 1});
  MustAdd(*store, {.text = "first"});
  ASSERT_OK_AND_ASSIGN(Database other, Database::Open(directory / "notes.sqlite", 1));
  {
    ASSERT_OK_AND_ASSIGN(const Transaction writing, Transaction::Begin(other));
    EXPECT_ERROR_CONTAINS(store->Add({.text = "second"}), "another process is writing");
    EXPECT_EQ(NotesFound(*store, {.query = "first"}).size(), 1u);  // readers go on
  }
  MustAdd(*store, {.text = "second"});
}

// Runs `check` in a process that cannot write to read-only files, even if root runs the tests.
void ExpectAsReader(const std::function<bool()>& check) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (::getuid() == 0 && ::setuid(65534) != 0) ::_exit(2);
    ::_exit(check() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST_P(NotesPlainAndEncrypted, AreReadWhereNothingCanBeWritten) {
  namespace fs = std::filesystem;
  const TemporaryDirectory written, kept;
  HashedEmbedder embedder;
  const fs::path folder = kept / "memory";
  {
    const auto store = MustOpen(written.path(), &embedder, Options());
    MustAdd(*store, {.text = "the tide comes at nine"});
    // Some of the notes are in the log alone, and there is no index of the log.
    fs::create_directory(folder);
    for (const char* name : {"notes.sqlite", "notes.sqlite-wal"}) {
      fs::copy_file(written / name, folder / name);
      fs::permissions(folder / name, fs::perms(0444));
    }
  }
  ASSERT_GT(fs::file_size(folder / "notes.sqlite-wal"), 0u);
  fs::permissions(kept.path(), fs::perms(0755));
  fs::permissions(folder, fs::perms(0555));
  ExpectAsReader([&] {
    const auto store = NoteStore::Open(folder, &embedder, Options());
    if (!store.ok()) {
      fmt::print("{}\n", store.status().message());
      return false;
    }
    const auto hits = (*store)->Search({.query = "tide"});
    const Status verified = (*store)->Verify(), added = (*store)->Add({.text = "x"}).status();
    fmt::print("{} | {}\n", verified.message(), added.message());
    return (*store)->read_only() && hits.ok() && hits->size() == 1 && (*hits)[0].vector_rank == 1 &&
           (*store)->List({}).ok() && (*store)->Stats().ok() && verified.ok() &&
           added.message().find("can only be read") != std::string::npos;
  });
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 2);
  fs::permissions(folder, fs::perms(0755));
}

TEST_P(NotesPlainAndEncrypted, ShowWhatAnotherWroteAndRemoved) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  const auto a = MustOpen(directory.path(), &embedder, Options()),
             b = MustOpen(directory.path(), &embedder, Options());
  const int64_t first = MustAdd(*a, {.text = "blue whale"});
  EXPECT_EQ(NotesFound(*b, {.query = "whales", .mode = SearchMode::kVectors}), std::vector<int64_t>{first});
  const int64_t second = MustAdd(*a, {.text = "grey whale"});
  EXPECT_EQ(NotesFound(*b, {.query = "whales", .mode = SearchMode::kVectors}).size(), 2u);
  ASSERT_OK(b->Forget(std::array{first}, false));
  EXPECT_EQ(NotesFound(*a, {.query = "whales", .mode = SearchMode::kVectors}), std::vector<int64_t>{second});
}

TEST(NoteStore, RefusesWhatIsNoText) {
  const TemporaryDirectory directory;
  const auto store = MustOpen(directory.path(), nullptr);
  EXPECT_ERROR_CONTAINS(store->Add({.text = " \n"}), "nothing to remember");
  EXPECT_ERROR_CONTAINS(store->Add({.text = "\xff\xfe", .source = "image.png"}), "image.png");
  EXPECT_ERROR_CONTAINS(store->Add({.text = std::string("a\0b", 3)}), "holds a NUL character");
  EXPECT_ERROR_CONTAINS(store->Add({.text = "x", .name_space = ""}), "namespace");
  EXPECT_ERROR_CONTAINS(store->Search({.query = "x", .mode = SearchMode::kVectors}), "needs an embedder");
  ASSERT_OK_AND_ASSIGN(const auto nothing, store->Search({.query = "\" OR * NEAR("}));
  EXPECT_TRUE(nothing.empty());
  // All or none.
  const std::vector<NewNote> notes = {{.text = "good"}, {.text = ""}};
  EXPECT_FALSE(store->AddAll(notes).ok());
  ASSERT_OK_AND_ASSIGN(const NoteStats stats, store->Stats());
  EXPECT_EQ(stats.notes, 0u);
}

// Random operations, compared with a plain list of texts.
TEST_P(NotesPlainAndEncrypted, BehaveLikeAListOfTexts) {
  EXPECT_TRUE(rc::check([](const std::vector<std::tuple<uint8_t, uint8_t>>& operations) {
    const TemporaryDirectory directory;
    HashedEmbedder embedder({.dimension = 32});
    auto store = MustOpen(directory.path(), &embedder, Options());
    struct Expected {
      std::string text;
      bool superseded = false;
      int64_t by = 0;
    };
    std::map<int64_t, Expected> expected;
    for (const auto& [what, which] : operations) {
      const std::string word = fmt::format("w{}", which % 9);
      const auto pick = [&]() -> int64_t {
        return expected.empty()
                   ? 0
                   : std::next(expected.begin(), which % static_cast<int>(expected.size()))->first;
      };
      if (what % 6 <= 2) {
        NewNote note{.text = fmt::format("{} about {}", word, expected.size() + 100 * which)};
        const int64_t old_note = what % 6 == 2 ? pick() : 0;
        if (old_note != 0) note.supersedes = old_note;
        const bool known = std::ranges::any_of(expected, [&](const auto& entry) {
          return entry.second.text == note.text && !entry.second.superseded;
        });
        if (known) continue;
        const int64_t id = MustAdd(*store, note);
        expected[id] = {note.text};
        if (old_note != 0) expected[old_note].superseded = true, expected[old_note].by = id;
      } else if (what % 6 == 3 && pick() != 0) {
        const int64_t id = pick();
        RC_ASSERT(store->Forget(std::array{id}, which % 4 == 0).ok());
        expected.erase(id);
        for (auto& [other, entry] : expected) {
          if (entry.by == id) entry.superseded = false, entry.by = 0;
        }
      } else if (what % 6 == 4) {
        store.reset();
        store = MustOpen(directory.path(), &embedder, Options());
      } else {
        std::set<int64_t> wanted, everything;
        for (const auto& [id, entry] : expected) {
          if (!entry.superseded) everything.insert(id);
          if (!entry.superseded && entry.text.starts_with(word + " ")) wanted.insert(id);
        }
        const auto words = NotesFound(*store, {.query = word, .mode = SearchMode::kWords, .limit = 1000});
        RC_ASSERT((std::set<int64_t>(words.begin(), words.end()) == wanted));
        const auto vectors = NotesFound(*store, {.query = word, .mode = SearchMode::kVectors, .limit = 1000});
        RC_ASSERT((std::set<int64_t>(vectors.begin(), vectors.end()) == everything));
      }
    }
    const auto listed = store->List({}, /*with_text=*/true);
    RC_ASSERT(listed.ok() && listed->size() == expected.size());
    for (const Note& note : *listed) RC_ASSERT(note.text == expected.at(note.id).text);
    RC_ASSERT(store->Verify().ok());
  }));
}

// A writer that is killed at any moment loses no acknowledged note.
TEST_P(NotesPlainAndEncrypted, SurviveAKillOnceAcknowledged) {
  const TemporaryDirectory directory;
  { MustOpen(directory.path(), nullptr, Options()); }
  size_t total = 0;
  for (int round = 0; round < 12; ++round) {
    int acknowledged[2];
    ASSERT_EQ(::pipe(acknowledged), 0);
    const pid_t writer = ::fork();
    ASSERT_GE(writer, 0);
    if (writer == 0) {
      HashedEmbedder embedder({.dimension = 16});
      const auto store = NoteStore::Open(directory.path(), &embedder, Options());
      if (!store.ok()) ::_exit(1);
      for (int i = 0;; ++i) {
        const auto id = (*store)->Add({.text = fmt::format("round {} note {}", round, i)});
        if (!id.ok() || ::write(acknowledged[1], &*id, sizeof(int64_t)) != sizeof(int64_t)) ::_exit(1);
      }
    }
    ::close(acknowledged[1]);
    std::vector<int64_t> ids;
    for (int64_t id = 0; ids.size() < static_cast<size_t>(1 + 3 * round) &&
                         ::read(acknowledged[0], &id, sizeof id) == sizeof id;) {
      ids.push_back(id);
    }
    ::kill(writer, SIGKILL);
    for (int64_t id = 0; ::read(acknowledged[0], &id, sizeof id) == sizeof id;) ids.push_back(id);
    ::close(acknowledged[0]);
    ::waitpid(writer, nullptr, 0);
    ASSERT_FALSE(ids.empty());
    total += ids.size();
    HashedEmbedder embedder({.dimension = 16});
    const auto store = MustOpen(directory.path(), &embedder, Options());
    EXPECT_OK(store->Verify());
    for (size_t i = 0; i < ids.size(); ++i) {
      ASSERT_OK_AND_ASSIGN(const Note note, store->Get(ids[i]));
      EXPECT_EQ(note.text, fmt::format("round {} note {}", round, i));
    }
    ASSERT_OK_AND_ASSIGN(const NoteStats stats, store->Stats());
    EXPECT_GE(stats.notes, total);
  }
}

TEST(NewNoteStoreTest, SeveralMayOpenItAtOnce) {
  for (int round = 0; round < 20; ++round) {
    const TemporaryDirectory folder;
    std::array<Status, 4> statuses;
    std::vector<std::thread> threads;
    for (Status& status : statuses) {
      threads.emplace_back([&] { status = NoteStore::Open(folder.path(), nullptr).status(); });
    }
    for (std::thread& thread : threads) thread.join();
    for (const Status& status : statuses) ASSERT_OK(status);
  }
}

}  // namespace
}  // namespace qwen25
