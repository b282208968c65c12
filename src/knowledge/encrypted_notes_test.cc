// Encrypted notes: what is on disk, and what is refused. note_store_test.cc tests that they behave as plain
// ones.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/test_util.h"
#include "knowledge/encrypted_vfs.h"
#include "knowledge/hashed_embedder.h"
#include "knowledge/note_store_test_util.h"
#include "knowledge/sealed_page.h"

namespace qwen25 {
namespace {

NoteStoreOptions WithKey(char letter = 'k') {
  NoteStoreOptions options;
  options.key = std::string(32, letter);
  return options;
}

Cipher PageCipher(char letter = 'k') {
  auto cipher = Cipher::Create(std::string(32, letter), KeyPurpose::kPages);
  EXPECT_OK(cipher);
  return std::move(cipher).value();
}

// Everything that the notes below would show in the clear, and what SQLite and FTS5 add.
constexpr std::array kSecrets = {"Zanzibar7",    "zanzibar7",      "anzibar",      "Xylophonist",
                                 "Wolframite",   "lighthouse.txt", "ada-lovelace", "hashed",
                                 "CREATE TABLE", "SQLite format"};

void AddSecrets(NoteStore& store) {
  std::vector<NewNote> notes;
  for (int i = 0; i < 300; ++i) notes.push_back({.text = fmt::format("An ordinary note about topic {}.", i)});
  notes.push_back({.text = "Zanzibar7 is the Quetzalcoatl place.",
                   .name_space = "ada-lovelace",
                   .title = "Xylophonist",
                   .source = "lighthouse.txt",
                   .tags = {"Wolframite"}});
  ASSERT_OK(store.AddAll(notes));
}

TEST(EncryptedNotes, AreFoundAgainAndShowNothing) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  const auto expect_hidden = [&](const char* when) {
    for (const char* secret : kSecrets) {
      EXPECT_FALSE(AnyFileHolds(directory.path(), secret)) << secret << ", " << when;
    }
  };
  for (int round = 0; round < 2; ++round) {
    const auto store = MustOpen(directory.path(), &embedder, WithKey());
    AddSecrets(*store);
    for (const SearchMode mode : {SearchMode::kWords, SearchMode::kVectors, SearchMode::kHybrid}) {
      ASSERT_OK_AND_ASSIGN(
          const auto hits,
          store->Search({.query = "where is Zanzibar7?", .namespaces = {"ada-lovelace"}, .mode = mode}));
      ASSERT_EQ(hits.size(), 1u);
      EXPECT_EQ(hits[0].title, "Xylophonist");
    }
    EXPECT_FALSE(NotesFound(*store, {.query = "ordinary topic 17"}).empty());
    ASSERT_OK(store->SaveVectorCaches());
    EXPECT_OK(store->Verify());
    expect_hidden("while it is open");
    ASSERT_TRUE(std::filesystem::exists(directory / "notes.vectors-1.hnsw"));
    ASSERT_GT(std::filesystem::file_size(directory / "notes.sqlite-wal"), 0u);
  }
  expect_hidden("when it is closed");
  EXPECT_FALSE(std::filesystem::exists(directory / "notes.sqlite-journal"));
}

TEST(EncryptedNotes, TheCacheOfVectorsIsReadAgain) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  {
    const auto store = MustOpen(directory.path(), &embedder, WithKey());
    AddSecrets(*store);
    ASSERT_OK(store->Search({.query = "topic 3"}));
  }
  const std::string cache = directory / "notes.vectors-1.hnsw";
  const auto written = std::filesystem::last_write_time(cache);
  {
    const auto store = MustOpen(directory.path(), &embedder, WithKey());
    EXPECT_EQ(NotesFound(*store, {.query = "topic 3", .mode = SearchMode::kVectors}).size(), 10u);
  }
  EXPECT_EQ(std::filesystem::last_write_time(cache), written) << "the graph was built again";
  // A cache that was changed is built again.
  ASSERT_OK_AND_ASSIGN(std::string bytes, ReadFile(cache));
  bytes[bytes.size() / 2] ^= 1;
  ASSERT_OK(WriteFileAtomically(cache, bytes));
  const auto store = MustOpen(directory.path(), &embedder, WithKey());
  EXPECT_EQ(NotesFound(*store, {.query = "topic 3", .mode = SearchMode::kVectors}).size(), 10u);
}

TEST(EncryptedNotes, AnEarlierPlainStoreLeavesNoCacheBehind) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  {
    const auto store = MustOpen(directory.path(), &embedder);
    AddSecrets(*store);
    ASSERT_OK(store->Search({.query = "topic 3"}));
  }
  ASSERT_TRUE(std::filesystem::exists(directory / "notes.vectors-1.hnsw"));
  std::filesystem::remove(directory / "notes.sqlite");
  MustOpen(directory.path(), &embedder, WithKey());
  EXPECT_FALSE(std::filesystem::exists(directory / "notes.vectors-1.hnsw"));
}

TEST(EncryptedNotes, KeysAreChecked) {
  HashedEmbedder embedder;
  const TemporaryDirectory encrypted, plain;
  { MustAdd(*MustOpen(encrypted.path(), &embedder, WithKey()), {.text = "hidden"}); }
  { MustAdd(*MustOpen(plain.path(), &embedder), {.text = "open"}); }
  const auto open = [&](const TemporaryDirectory& directory, const NoteStoreOptions& options) {
    return NoteStore::Open(directory.path(), &embedder, options);
  };
  EXPECT_ERROR_CONTAINS(open(encrypted, {}), "these notes are encrypted; give the key");
  EXPECT_ERROR_CONTAINS(open(encrypted, WithKey('o')), "the key is not the one that these notes");
  EXPECT_ERROR_CONTAINS(open(plain, WithKey()), "these notes are not encrypted");
  NoteStoreOptions options;
  options.key = "short";
  EXPECT_ERROR_CONTAINS(open(encrypted, options), "has 5 bytes, expected 32");
  ASSERT_OK_AND_ASSIGN(std::string bytes, ReadFile(encrypted / "notes.sqlite"));
  bytes[7] = '2';
  ASSERT_OK(WriteFileAtomically(encrypted / "notes.sqlite", bytes));
  EXPECT_ERROR_CONTAINS(open(encrypted, WithKey()), "has version 2 of the encrypted format");
  ASSERT_OK(WriteFileAtomically(encrypted / "notes.sqlite", std::string(5000, 'x')));
  EXPECT_ERROR_CONTAINS(open(encrypted, WithKey()), "is not a database of encrypted notes");
}

// All pages, decrypted, in order.
std::string Decrypted(const std::string& path) {
  auto bytes = ReadFile(path);
  EXPECT_OK(bytes);
  EXPECT_EQ(bytes->size() % kPageBytes, 0u);
  const auto all = std::as_writable_bytes(std::span(bytes->data(), bytes->size()));
  const Cipher cipher = PageCipher();
  for (size_t i = 0; i < all.size() / kPageBytes; ++i) {
    EXPECT_TRUE(OpenDatabasePage(cipher, i + 1, all.subspan(i * kPageBytes).first<kPageBytes>()))
        << "page " << i;
  }
  return *bytes;
}

TEST(EncryptedNotes, ErasingLeavesNoTraceUnderTheCipher) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  const auto store = MustOpen(directory.path(), &embedder, WithKey());
  AddSecrets(*store);
  ASSERT_OK(store->EraseTraces());  // empties the log into the file
  const std::string before = Decrypted(directory / "notes.sqlite");
  for (const char* secret : {"Zanzibar7", "zanzibar7", "Xylophonist", "Wolframite", "CREATE TABLE"}) {
    EXPECT_NE(before.find(secret), std::string::npos) << secret;
  }
  ASSERT_OK_AND_ASSIGN(const auto hits,
                       store->Search({.query = "Zanzibar7", .namespaces = {"ada-lovelace"}}));
  ASSERT_OK(store->Forget(std::array{hits.at(0).note}, /*erase=*/true));
  const std::string after = Decrypted(directory / "notes.sqlite");
  for (const char* trace : {"Zanzibar7", "zanzibar7", "uetzalcoatl", "Xylophonist", "Wolframite"}) {
    EXPECT_EQ(after.find(trace), std::string::npos) << trace;
  }
  EXPECT_EQ(std::filesystem::file_size(directory / "notes.sqlite-wal"), 0u);
  EXPECT_FALSE(NotesFound(*store, {.query = "ordinary topic 17"}).empty());
  EXPECT_OK(store->Verify());
}

// Everything that a store says, or its error.
Result<std::vector<std::string>> AllTexts(const std::filesystem::path& directory) {
  QWEN25_TRY(const auto store, NoteStore::Open(directory, nullptr, WithKey()));
  QWEN25_RETURN_IF_ERROR(store->Verify());
  QWEN25_TRY(const std::vector<Note> notes, store->List({}, /*with_text=*/true));
  std::vector<std::string> texts;
  for (const Note& note : notes) texts.push_back(note.text);
  return texts;
}

void FlipBit(std::string& bytes, size_t bit) {
  bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
}

// Without rename and flush, since there are many.
void WriteQuickly(const std::string& path, const std::string& bytes) {
  std::filesystem::remove(path);
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST(EncryptedNotes, AFlippedBitOfTheFileIsNoticed) {
  const TemporaryDirectory directory;
  { AddSecrets(*MustOpen(directory.path(), nullptr, WithKey())); }
  ASSERT_OK_AND_ASSIGN(const std::string good, ReadFile(directory / "notes.sqlite"));
  // Every bit of a page: sealed_page_test. Here, some of every page, up to its last byte.
  for (size_t page = 0; page < good.size() / kPageBytes; ++page) {
    for (const size_t byte : {size_t{0} + page % 40, 1000 + page, kPageBytes - 1 - page % 40}) {
      std::string bad = good;
      FlipBit(bad, 8 * (page * kPageBytes + byte) + page % 8);
      std::filesystem::remove(directory / "notes.sqlite-shm");
      WriteQuickly(directory / "notes.sqlite", bad);
      EXPECT_FALSE(AllTexts(directory.path()).ok()) << "page " << page << ", byte " << byte;
    }
  }
  std::string bad = good;
  FlipBit(bad, 8 * (2 * kPageBytes + 500));
  WriteQuickly(directory / "notes.sqlite", bad);
  EXPECT_ERROR_CONTAINS(AllTexts(directory.path()), "page 3 cannot be decrypted");
  WriteQuickly(directory / "notes.sqlite", good.substr(0, good.size() - 100));
  EXPECT_FALSE(AllTexts(directory.path()).ok()) << "a file that was cut";
  // Pages that change places are whole, but not the right ones.
  std::string swapped = good;
  std::swap_ranges(swapped.begin() + kPageBytes, swapped.begin() + 2 * kPageBytes,
                   swapped.begin() + 2 * kPageBytes);
  WriteQuickly(directory / "notes.sqlite", swapped);
  EXPECT_ERROR_CONTAINS(AllTexts(directory.path()), "cannot be decrypted");
}

// A process that ends without closing the store leaves all of it in the log.
void LeaveInTheLog(const std::filesystem::path& directory, int num_notes) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto store = NoteStore::Open(directory, nullptr, WithKey());
    bool is_good = store.ok();
    for (int i = 0; is_good && i < num_notes; ++i) {
      is_good = (*store)->Add({.text = fmt::format("note {} about {}", i, std::string(3000, 'x'))}).ok();
    }
    ::_exit(is_good ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
}

TEST(EncryptedNotes, AFlippedBitOfTheLogIsNoticed) {
  const TemporaryDirectory directory;
  constexpr size_t kNotes = 4;
  LeaveInTheLog(directory.path(), kNotes);
  const std::string log_path = directory / "notes.sqlite-wal", path = directory / "notes.sqlite";
  ASSERT_OK_AND_ASSIGN(const std::string log, ReadFile(log_path));
  ASSERT_OK_AND_ASSIGN(const std::string file, ReadFile(path));
  ASSERT_GT(log.size(), 20 * kFrameBytes);
  const auto read_with = [&](const std::string& log_bytes) {
    std::filesystem::remove(directory / "notes.sqlite-shm");
    WriteQuickly(path, file);
    WriteQuickly(log_path, log_bytes);
    return AllTexts(directory.path());
  };
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> all, read_with(log));
  ASSERT_EQ(all.size(), kNotes);
  size_t refused = 0, num_flips = 0;
  const size_t frames = (log.size() - kLogHeadBytes) / kFrameBytes;
  for (size_t frame = 0; frame < frames; ++frame) {
    for (const size_t byte : {size_t{0}, size_t{9}, size_t{20}, 40 + frame, kFrameBytes - 1}) {
      std::string bad = log;
      FlipBit(bad, 8 * (kLogHeadBytes + frame * kFrameBytes + byte) + frame % 8);
      const auto texts = read_with(bad);
      ++num_flips;
      refused += texts.ok() ? 0 : 1;
      // If SQLite cannot tell the damage from a kill during the last transactions, these are lost; nothing is
      // ever wrong.
      if (!texts.ok()) continue;
      ASSERT_LT(texts->size(), kNotes) << "frame " << frame << ", byte " << byte;
      EXPECT_TRUE(std::equal(texts->begin(), texts->end(), all.begin()));
    }
  }
  EXPECT_GT(refused, num_flips / 3) << "of " << num_flips;
  std::string bad = log;
  FlipBit(bad, 8 * (kLogHeadBytes + kFrameBytes + 100));
  EXPECT_ERROR_CONTAINS(read_with(bad), "frame 2 of its log cannot be decrypted");
  // A log that is cut anywhere holds what came before the cut.
  for (size_t bytes = kLogHeadBytes; bytes < log.size(); bytes += kFrameBytes + 777) {
    ASSERT_OK_AND_ASSIGN(const auto texts, read_with(log.substr(0, bytes)));
    EXPECT_TRUE(texts.size() <= all.size() && std::equal(texts.begin(), texts.end(), all.begin()));
  }
}

// A power loss while the first page was being written into the file: the log has it.
TEST(EncryptedNotes, AFirstPageThatIsHalfWrittenComesFromTheLog) {
  const TemporaryDirectory directory;
  LeaveInTheLog(directory.path(), 3);
  ASSERT_OK_AND_ASSIGN(std::string file, ReadFile(directory / "notes.sqlite"));
  file.replace(2048, 100, 100, 'x');
  ASSERT_OK(WriteFileAtomically(directory / "notes.sqlite", file));
  ASSERT_OK_AND_ASSIGN(const auto texts, AllTexts(directory.path()));
  EXPECT_EQ(texts.size(), 3u);
}

TEST(EncryptedNotes, ABitThatFlipsWhileTheLogIsInUseIsNoticed) {
  const TemporaryDirectory directory;
  const auto store = MustOpen(directory.path(), nullptr, WithKey());
  AddSecrets(*store);
  const std::string log_path = directory / "notes.sqlite-wal";
  const auto bytes = static_cast<size_t>(std::filesystem::file_size(log_path));
  std::fstream log(log_path, std::ios::in | std::ios::out | std::ios::binary);
  for (size_t place = kLogHeadBytes + kFrameHeadBytes + 200; place < bytes; place += kFrameBytes) {
    log.seekg(static_cast<std::streamoff>(place));
    const char byte = static_cast<char>(log.get() ^ 4);
    log.seekp(static_cast<std::streamoff>(place));
    log.put(byte);
  }
  log.close();
  // A second connection has nothing in its cache and finds all pages in the log.
  EXPECT_ERROR_CONTAINS(AllTexts(directory.path()), "of its log cannot be decrypted");
}

// SQLite would play back into the file a rollback journal that somebody has put there.
TEST(EncryptedNotes, AForeignJournalIsNotRead) {
  const TemporaryDirectory directory, plain;
  { AddSecrets(*MustOpen(directory.path(), nullptr, WithKey())); }
  const char magic[] = "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7";
  std::string journal(512, '\0');
  journal.replace(0, 8, magic, 8);
  journal[11] = 1;
  journal[19] = 1;
  journal[22] = 2;
  journal[26] = 16;
  ASSERT_OK(WriteFileAtomically(directory / "notes.sqlite-journal", journal + std::string(4104, '\0')));
  ASSERT_OK_AND_ASSIGN(const auto texts, AllTexts(directory.path()));
  EXPECT_EQ(texts.size(), 301u);
}

TEST(EncryptedNotes, AreReadByTwoProcessesWhileOneWrites) {
  const TemporaryDirectory directory;
  { MustAdd(*MustOpen(directory.path(), nullptr, WithKey()), {.text = "the first of the notes"}); }
  constexpr int kNotes = 400;
  const auto start = [&](const auto& work) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(work() ? 0 : 1);
    return child;
  };
  const auto read = [&] {
    size_t seen = 0;
    while (seen < kNotes) {
      // Opened anew each time: the file's head is read while the writer may be writing it.
      const auto store = NoteStore::Open(directory.path(), nullptr, WithKey());
      if (!store.ok()) return false;
      for (int i = 0; i < 5; ++i) {
        const auto hits = (*store)->Search(
            {.query = "notes", .mode = SearchMode::kWords, .limit = 2 * kNotes, .candidates = 2 * kNotes});
        if (!hits.ok() || hits->size() < seen) return false;
        seen = hits->size();
      }
    }
    return true;
  };
  const std::array children = {start(read), start(read), start([&] {
                                 const auto store = NoteStore::Open(directory.path(), nullptr, WithKey());
                                 bool is_good = store.ok();
                                 for (int i = 1; is_good && i < kNotes; ++i) {
                                   is_good =
                                       (*store)->Add({.text = fmt::format("number {} of the notes", i)}).ok();
                                 }
                                 return is_good;
                               })};
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
}

TEST(EncryptedDatabase, KeepsWhatRollbacksAndVacuumsLeave) {
  const TemporaryDirectory directory;
  const Cipher cipher = PageCipher();
  const auto count = [](Database& database) {
    auto rows = database.QueryInt("SELECT count(*) FROM t");
    EXPECT_OK(rows);
    return *rows;
  };
  {
    ASSERT_OK_AND_ASSIGN(Database database, Database::Open(directory / "d", 1000, &cipher));
    // A small cache, so that a transaction spills into the log and writes frames anew.
    ASSERT_OK(database.Execute("PRAGMA cache_size=10; CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB)"));
    const std::string fill =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) "
        "INSERT INTO t (v) SELECT randomblob(1 + i * 37 % 9000) FROM n";
    ASSERT_OK(database.Execute(fill));
    ASSERT_OK(database.Execute("BEGIN; " + fill + "; ROLLBACK"));
    EXPECT_EQ(count(database), 500);
    ASSERT_OK(database.Execute("BEGIN; SAVEPOINT s; " + fill +
                               "; UPDATE t SET v = randomblob(3000); ROLLBACK TO s; " + fill +
                               "; UPDATE t SET v = zeroblob(10) WHERE k % 3 = 0; COMMIT"));
    EXPECT_EQ(count(database), 1000);
    ASSERT_OK(database.Execute("DELETE FROM t WHERE k % 2 = 0; CREATE INDEX i ON t (v); VACUUM"));
    EXPECT_EQ(count(database), 500);
    ASSERT_OK(database.Execute("BEGIN; " + fill + "; UPDATE t SET v = randomblob(500); COMMIT"));
  }
  ASSERT_OK_AND_ASSIGN(Database database, Database::Open(directory / "d", 1000, &cipher));
  EXPECT_EQ(count(database), 1000);
  ASSERT_OK_AND_ASSIGN(const int64_t errors,
                       database.QueryInt("SELECT count(*) FROM pragma_integrity_check WHERE "
                                         "integrity_check != 'ok'"));
  EXPECT_EQ(errors, 0);
  Decrypted(directory / "d");
}

// Its pages are in the log already, some of them twice, but its checksums are not.
TEST(EncryptedDatabase, ATransactionThatWasCutLeavesWhatWasBefore) {
  const TemporaryDirectory directory;
  const Cipher cipher = PageCipher();
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto database = Database::Open(directory / "d", 1000, &cipher);
    const bool is_good =
        database.ok() &&
        database
            ->Execute(
                "PRAGMA cache_size=10; CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB);"
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) "
                "INSERT INTO t (v) SELECT zeroblob(2000) FROM n;"
                "BEGIN; UPDATE t SET v = randomblob(2000); UPDATE t SET v = randomblob(1000); DELETE FROM t")
            .ok();
    ::_exit(is_good ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  ASSERT_GT(std::filesystem::file_size(directory / "d-wal"), 500 * kFrameBytes) << "nothing was spilled";
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK_AND_ASSIGN(Database database, Database::Open(directory / "d", 1000, &cipher));
    ASSERT_OK_AND_ASSIGN(const int64_t rows,
                         database.QueryInt("SELECT count(*) FROM t WHERE v = zeroblob(2000)"));
    EXPECT_EQ(rows, 500 - i);
    ASSERT_OK(database.Execute("UPDATE t SET v = 1 WHERE k = 7"));
  }
}

}  // namespace
}  // namespace qwen25
