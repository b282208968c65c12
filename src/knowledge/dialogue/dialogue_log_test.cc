#include "knowledge/dialogue/dialogue_log.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/test_util.h"

namespace qwen25 {
namespace {

std::vector<ChatMessage> Dialogue(const std::string& question) {
  return {{.role = "system", .content = "Be brief."},
          {.role = "user", .content = question},
          {.role = "assistant", .content = "No \"idea\"\n\xe2\x9c\x93"}};
}

using Key = std::optional<std::string>;
const std::string kKey(32, 'k');

DialogueLog MustOpen(const TemporaryDirectory& memory, std::string_view name_space, const Key& key = {}) {
  auto log = DialogueLog::Open(memory.path(), name_space, key);
  EXPECT_OK(log);
  return std::move(log).value();
}

void ExpectKeptByNumberAndNamespace(const Key& key) {
  TemporaryDirectory memory;
  const DialogueLog log = MustOpen(memory, "work", key), other = MustOpen(memory, "../a b/\xc3\xa9", key);
  EXPECT_EQ(log.Latest(), 0u);
  EXPECT_TRUE(log.List().empty());
  EXPECT_TRUE(std::filesystem::is_empty(memory.path()))
      << "nothing is made before there is something to keep";
  ASSERT_OK(log.Save(1, Dialogue("one")));
  ASSERT_OK(log.Save(2, Dialogue("two")));
  ASSERT_OK(log.Save(1, Dialogue("one, again")));
  ASSERT_OK(other.Save(7, Dialogue("seven")));
  EXPECT_EQ(log.Latest(), 2u);
  EXPECT_EQ(other.Latest(), 7u);
  ASSERT_OK_AND_ASSIGN(const auto messages, log.Load(1));
  EXPECT_EQ(messages, Dialogue("one, again"));
  const auto entries = log.List();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].first_question, "one, again");
  EXPECT_EQ(entries[1].num_messages, 2u);
  ASSERT_OK_AND_ASSIGN(const auto names, DialogueLog::Namespaces(memory.path(), key));
  EXPECT_EQ(names, (std::vector<std::string>{"../a b/\xc3\xa9", "work"}));
  ASSERT_OK_AND_ASSIGN(const size_t verified, log.Verify());
  EXPECT_EQ(verified, 2u);
  ASSERT_OK_AND_ASSIGN(const size_t erased, log.Erase());
  EXPECT_EQ(erased, 2u);
  EXPECT_EQ(log.Latest(), 0u);
  EXPECT_EQ(other.Latest(), 7u);
}

TEST(DialogueLog, KeepsDialoguesByNumberAndNamespace) {
  ExpectKeptByNumberAndNamespace({});
}
TEST(DialogueLog, KeepsEncryptedOnesByNumberAndNamespace) {
  ExpectKeptByNumberAndNamespace(kKey);
}

TEST(DialogueLog, ForeignFilesAreLeftAlone) {
  TemporaryDirectory memory;
  const DialogueLog log = MustOpen(memory, "work");
  ASSERT_OK(log.Save(3, Dialogue("three")));
  std::ofstream(log.directory() / "000004.json") << "{\"messages\": 5";
  std::ofstream(log.directory() / "notes.txt") << "hello";
  EXPECT_EQ(log.List().size(), 1u);
  EXPECT_EQ(log.Latest(), 4u) << "a number that is taken is not given again";
  EXPECT_ERROR_CONTAINS(log.Load(4), "000004.json");
  EXPECT_ERROR_CONTAINS(log.Load(9), "000009.json");
}

TEST(DialogueLog, WhatKilledChatsWereWritingIsRemoved) {
  TemporaryDirectory memory;
  ASSERT_OK(MustOpen(memory, "work").Save(1, Dialogue("one")));
  const std::filesystem::path left = memory.path() / "dialogues/work/000001.json.tmp.2147483647.0";
  ASSERT_TRUE(std::filesystem::is_directory(left.parent_path()));
  std::ofstream(left) << "half of it";
  MustOpen(memory, "another");
  EXPECT_FALSE(std::filesystem::exists(left));
  EXPECT_EQ(MustOpen(memory, "work").Latest(), 1u);
}

TEST(DialogueLog, EncryptedFilesShowNothing) {
  TemporaryDirectory memory;
  ASSERT_OK(MustOpen(memory, "ada-lovelace", kKey).Save(1, Dialogue("Zanzibar7")));
  size_t num_files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(memory.path())) {
    EXPECT_EQ(entry.path().string().find("ada"), std::string::npos);
    if (!entry.is_regular_file()) continue;
    ++num_files;
    ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadFile(entry.path()));
    for (const char* secret : {"ada", "Zanzibar7", "idea", "role", "user", "brief"}) {
      EXPECT_EQ(bytes.find(secret), std::string::npos) << secret << " in " << entry.path();
    }
  }
  EXPECT_EQ(num_files, 2u) << "the dialogue, and the name of its namespace";
}

TEST(DialogueLog, KeysAreChecked) {
  TemporaryDirectory encrypted, plain;
  ASSERT_OK(MustOpen(encrypted, "work", kKey).Save(1, Dialogue("one")));
  ASSERT_OK(MustOpen(plain, "work").Save(1, Dialogue("one")));
  for (const char* name : {"work", "other"}) {
    EXPECT_ERROR_CONTAINS(DialogueLog::Open(encrypted.path(), name), "are encrypted; give the key");
    EXPECT_ERROR_CONTAINS(DialogueLog::Open(encrypted.path(), name, std::string(32, 'o')),
                          "the key is not the one");
    EXPECT_ERROR_CONTAINS(DialogueLog::Open(plain.path(), name, kKey), "are not encrypted");
    EXPECT_OK(DialogueLog::Open(encrypted.path(), name, kKey));
  }
  EXPECT_ERROR_CONTAINS(DialogueLog::Open(plain.path(), "work", "short"), "has 5 bytes, expected 32");
  EXPECT_ERROR_CONTAINS(DialogueLog::Namespaces(encrypted.path()), "are encrypted");
}

TEST(DialogueLog, EveryFlipAndEveryCutOfAnEncryptedOneIsNoticed) {
  TemporaryDirectory memory;
  const DialogueLog log = MustOpen(memory, "work", kKey);
  ASSERT_OK(log.Save(1, Dialogue("one")));
  ASSERT_OK(log.Save(2, Dialogue("two")));
  const std::filesystem::path path = log.directory() / "000001.sealed";
  ASSERT_OK_AND_ASSIGN(const std::string good, ReadFile(path));
  const auto expect_refused = [&](const std::string& bytes, size_t place) {
    std::filesystem::remove(path);  // a file that is cut and written again is flushed, which takes long
    std::ofstream(path, std::ios::binary) << bytes;
    const auto read = log.Load(1);
    ASSERT_FALSE(read.ok()) << place;
    EXPECT_EQ(read.status().code(), StatusCode::kCorrupt) << place;
  };
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    expect_refused(bad, bit);
  }
  for (size_t bytes = 0; bytes < good.size(); ++bytes) expect_refused(good.substr(0, bytes), bytes);
  EXPECT_ERROR_CONTAINS(log.Verify(), "000001.sealed: ");
  EXPECT_EQ(log.List().size(), 1u);
  std::filesystem::copy_file(log.directory() / "000002.sealed", path,
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_ERROR_CONTAINS(log.Load(1), "cut, changed or moved here");
}

// A process that is killed in the middle of a Save leaves what the last complete one wrote.
TEST(DialogueLog, EncryptedOnesSurviveAKillOnceAcknowledged) {
  TemporaryDirectory memory;
  for (int round = 0; round < 10; ++round) {
    int acknowledged[2];
    ASSERT_EQ(::pipe(acknowledged), 0);
    const pid_t writer = ::fork();
    ASSERT_GE(writer, 0);
    if (writer == 0) {
      const auto log = DialogueLog::Open(memory.path(), "work", kKey);
      for (int32_t i = 0; log.ok() && log->Save(1, Dialogue(std::to_string(i))).ok(); ++i) {
        if (::write(acknowledged[1], &i, sizeof i) != sizeof i) break;
      }
      ::_exit(1);
    }
    ::close(acknowledged[1]);
    int32_t last = -1, value = 0;
    while (last < 2 * round && ::read(acknowledged[0], &value, sizeof value) == sizeof value) last = value;
    ::kill(writer, SIGKILL);
    while (::read(acknowledged[0], &value, sizeof value) == sizeof value) last = value;
    ::close(acknowledged[0]);
    ::waitpid(writer, nullptr, 0);
    ASSERT_OK_AND_ASSIGN(const auto messages, MustOpen(memory, "work", kKey).Load(1));
    const int stored = std::stoi(messages[1].content);
    EXPECT_TRUE(stored == last || stored == last + 1) << stored << " after " << last;
  }
}

}  // namespace
}  // namespace qwen25
