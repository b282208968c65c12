// Turns of conversations as notes: their fields, and how a search uses these.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "base/test_util.h"
#include "knowledge/hashed_embedder.h"
#include "knowledge/note_store_test_util.h"
#include "knowledge/note_transfer.h"
#include "knowledge/recalled_notes.h"

namespace qwen25 {
namespace {

constexpr int64_t kMay = 1683554160000, kJune = 1686340500000;  // 8 May and 9 June 2023

NewNote Turn(const std::string& speaker, const std::string& text, const std::string& session = "1",
             int64_t created_ms = kMay) {
  NewNote note;
  note.text = text;
  note.speaker = speaker;
  note.session = session;
  note.created_ms = created_ms;
  return note;
}

TEST(NoteTurns, AreKeptExportedAndImported) {
  const TemporaryDirectory from, to;
  const auto store = MustOpen(from.path(), nullptr);
  const int64_t turn = MustAdd(*store, Turn("Caroline", "Good morning!"));
  EXPECT_EQ(MustAdd(*store, Turn("Caroline", "Good morning!")), turn) << "the same turn again";
  EXPECT_NE(MustAdd(*store, Turn("Melanie", "Good morning!")), turn);
  EXPECT_NE(MustAdd(*store, Turn("Caroline", "Good morning!", "2")), turn);
  EXPECT_NE(MustAdd(*store, Turn("Caroline", "Good morning!", "1", kMay + 1)), turn) << "said twice";
  ASSERT_OK_AND_ASSIGN(const Note note, store->Get(turn));
  EXPECT_EQ(note.speaker, "Caroline");
  EXPECT_EQ(note.session, "1");
  std::string lines;
  ASSERT_OK(ExportNotes(*store, {}, [&](std::string_view line) { return lines += line, Status(); }).status());
  ASSERT_OK_AND_ASSIGN(const std::vector<Note> notes, ParseNoteLines(lines, "lines"));
  const auto copy = MustOpen(to.path(), nullptr);
  ASSERT_OK(ImportNotes(notes, *copy));
  ASSERT_OK_AND_ASSIGN(const std::vector<Note> list, copy->List({}, /*with_text=*/true));
  ASSERT_EQ(list.size(), 4u);
  EXPECT_EQ(list[1].speaker, "Melanie");
  EXPECT_EQ(list[2].session, "2");
  ASSERT_OK(copy->Verify());
  EXPECT_ERROR_CONTAINS(copy->Add(Turn(std::string(201, 'x'), "hello")), "at most 200 bytes");
  EXPECT_ERROR_CONTAINS(copy->Add(Turn("\xff", "hello")), "speaker and session must be names");
}

TEST(NoteTurns, AreFoundByTheirSpeaker) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  const auto store = MustOpen(directory.path(), &embedder);
  MustAdd(*store, Turn("Melanie", "I bought a pottery wheel.", "1"));
  const int64_t caroline = MustAdd(*store, Turn("Caroline", "I bought a pottery wheel.", "2"));
  for (const SearchMode mode : {SearchMode::kWords, SearchMode::kHybrid}) {
    const auto found = NotesFound(*store, {.query = "What did Caroline buy?", .mode = mode});
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(found[0], caroline);
  }
  ASSERT_OK_AND_ASSIGN(const auto hits, store->Search({.query = "Caroline"}));
  EXPECT_EQ(hits[0].speaker, "Caroline");
  EXPECT_EQ(hits[0].session, "2");
  EXPECT_EQ(NoteLine(hits[0], {}),
            fmt::format("- (note {}, 2023-05-08) Caroline: I bought a pottery wheel.\n", caroline));
  ASSERT_OK(store->Forget({{caroline}}, /*erase=*/false).status());
  ASSERT_OK(store->Verify()) << "the index holds the words of a forgotten speaker";
}

// The answer has no word of the question, but stands behind the turn that has them all.
TEST(NoteTurns, NeighboursOfAHitAreFound) {
  const TemporaryDirectory directory;
  const auto store = MustOpen(directory.path(), nullptr);
  MustAdd(*store, Turn("Ann", "Let us talk of something else."));
  const int64_t asked = MustAdd(*store, Turn("Ann", "Which instrument do you practise?"));
  const int64_t answer = MustAdd(*store, Turn("Bob", "The oboe, since last winter."));
  const int64_t other = MustAdd(*store, Turn("Bob", "It rains.", "2"));
  const auto found = NotesFound(*store, {.query = "instrument practise", .mode = SearchMode::kWords});
  ASSERT_GE(found.size(), 2u);
  EXPECT_EQ(found[0], asked);
  EXPECT_NE(std::ranges::find(found, answer), found.end());
  EXPECT_EQ(std::ranges::find(found, other), found.end()) << "another session";
  ASSERT_OK_AND_ASSIGN(const auto recalled, RecallNotes(*store, "instrument practise", {}));
  EXPECT_TRUE(
      std::ranges::any_of(recalled, [&](const RecalledNote& note) { return note.hit.note == answer; }));
  // Without a session, a note that matches nothing is not found.
  MustAdd(*store, {.text = "A trumpet has three valves."});
  MustAdd(*store, {.text = "Bread takes an hour."});
  EXPECT_EQ(NotesFound(*store, {.query = "trumpet", .mode = SearchMode::kWords}).size(), 1u);
}

TEST(NoteTurns, AreFoundByTheDateOfTheirSession) {
  const TemporaryDirectory directory;
  const auto store = MustOpen(directory.path(), nullptr);
  const int64_t may = MustAdd(*store, Turn("Ann", "We went camping at the lake.", "1", kMay));
  const int64_t june = MustAdd(*store, Turn("Ann", "We went camping at the lake.", "2", kJune));
  EXPECT_EQ(NotesFound(*store, {.query = "Who went camping in May 2023?"})[0], may);
  EXPECT_EQ(NotesFound(*store, {.query = "Who went camping in June 2023?"})[0], june);
}

// A conversation of which nothing but the order and the times is known.
TEST(NoteTurns, ConversationsAreRecognizedByTheirWords) {
  const TemporaryDirectory directory;
  const auto store = MustOpen(directory.path(), nullptr);
  std::vector<NewNote> notes;
  const auto add = [&](const std::string& text, size_t minute) {
    NewNote note;
    note.text = text;
    note.created_ms = kMay + static_cast<int64_t>(minute) * 60000;
    notes.push_back(note);
  };
  for (size_t i = 0; i < 40; ++i) {
    const std::string a = fmt::format("apple{}", i), b = fmt::format("pear{}", i);
    add("Ann: is " + a + " yours", 4 * i);
    add("Bob: no, " + a + " is of " + b, 4 * i + 1);
    add("Ann: and " + b + " is small", 4 * i + 2);
    add("Bob: very, " + b + "!", 4 * i + 3);
  }
  ASSERT_OK(store->AddAll(notes).status());
  ASSERT_OK_AND_ASSIGN(const auto hits, store->Search({.query = "apple7 small", .mode = SearchMode::kWords}));
  const auto place = [&](const std::string& text) {
    return std::ranges::find_if(hits, [&](const NoteHit& hit) { return hit.text == text; }) - hits.begin();
  };
  EXPECT_LT(place("Ann: and pear7 is small"), 4) << "beside the turns about apple7";
}

// Fields of older stores are empty, and can be given to new notes.
TEST(NoteTurns, AStoreOfVersion2IsBroughtUpToDate) {
  const TemporaryDirectory directory;
  HashedEmbedder embedder;
  {
    const auto store = MustOpen(directory.path(), &embedder);
    MustAdd(*store, {.text = "kept"});
    ASSERT_OK_AND_ASSIGN(Database database, Database::Open(directory / "notes.sqlite", 100));
    ASSERT_OK(
        database.Execute("ALTER TABLE notes DROP COLUMN speaker; ALTER TABLE notes DROP COLUMN session; "
                         "UPDATE settings SET value = '2 icu 0' WHERE key = 'terms'; PRAGMA user_version=2"));
  }
  const auto store = MustOpen(directory.path(), &embedder);
  ASSERT_OK(store->Verify());
  EXPECT_EQ(NotesFound(*store, {.query = "keeping", .mode = SearchMode::kWords}), std::vector<int64_t>{1})
      << "by the stem, which the old index did not hold";
  MustAdd(*store, Turn("Ann", "new"));
  ASSERT_OK(store->Verify());
}

// Whatever is stored and asked: scores are finite and fall, and notes added in another order score alike.
TEST(NoteTurns, SearchesAreWellDefined) {
  constexpr std::array<const char*, 8> kTexts = {"red apple", "May 2023", "went home",    "Ann goes",
                                                 "::",        "猫",       "apple apple!", "Is Bob in?"};
  for (unsigned round = 1; round < 256; round += 23) {
    std::vector<std::string> texts;
    for (size_t i = 0; i < kTexts.size(); ++i) {
      if ((round >> i & 1) != 0) texts.emplace_back(kTexts[i]);
    }
    std::map<std::string, double> first;
    for (const bool reversed : {false, true}) {
      if (reversed) std::ranges::reverse(texts);
      const TemporaryDirectory directory;
      HashedEmbedder embedder({.dimension = 64});
      const auto store = MustOpen(directory.path(), &embedder);
      std::vector<NewNote> notes;
      for (const std::string& text : texts) notes.push_back({.text = text, .created_ms = kMay});
      ASSERT_OK(store->AddAll(notes).status());
      ASSERT_OK_AND_ASSIGN(const auto hits,
                           store->Search({.query = "Ann went home in May 2023 with an apple"}));
      double last = INFINITY;
      for (const NoteHit& hit : hits) {
        EXPECT_TRUE(std::isfinite(hit.score) && hit.score <= last) << hit.text;
        last = hit.score;
        if (!reversed) first[hit.text] = hit.score;
        EXPECT_NEAR(first.at(hit.text), hit.score, 1e-9) << hit.text;
      }
    }
  }
}

}  // namespace
}  // namespace qwen25
