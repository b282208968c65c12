#include "knowledge/dialogue/dialogue_log.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/test_util.h"
#include "text/qwen_chat.h"

namespace qwen25 {
namespace {

Dialogue Talk(const std::string& question) {
  return {.messages = {{.role = "system", .content = "Be brief."},
                       {.role = "user", .content = question},
                       {.role = "assistant", .content = "No \"idea\"\n\xe2\x9c\x93"}}};
}

// Replaces the dialogue of this number, or creates it.
Status SaveAs(const DialogueLog& log, uint32_t number, const Dialogue& dialogue) {
  DialogueLog::Place place;
  static_cast<void>(log.Load(number, &place));
  place.number = number;
  QWEN25_RETURN_IF_ERROR(log.Save(dialogue, place));
  return place.number == number ? Status() : InvalidArgument("saved as {}", place.number);
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
  ASSERT_OK(SaveAs(log, 1, Talk("one")));
  ASSERT_OK(SaveAs(log, 2, Talk("two")));
  ASSERT_OK(SaveAs(log, 1, Talk("one, again")));
  ASSERT_OK(SaveAs(other, 7, Talk("seven")));
  EXPECT_EQ(log.Latest(), 2u);
  EXPECT_EQ(other.Latest(), 7u);
  ASSERT_OK_AND_ASSIGN(const auto messages, log.Load(1));
  EXPECT_EQ(messages.messages, Talk("one, again").messages);
  const auto entries = log.List();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].first_question, "one, again");
  EXPECT_EQ(entries[1].num_messages, 2u);
  ASSERT_OK_AND_ASSIGN(const auto names, DialogueLog::Namespaces(memory.path(), key));
  EXPECT_EQ(names, (std::vector<std::string>{"../a b/\xc3\xa9", "work"}));
  EXPECT_EQ(log.Verify().num_dialogues, 2u);
  EXPECT_TRUE(log.Verify().damaged.empty());
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
  ASSERT_OK(SaveAs(log, 3, Talk("three")));
  std::ofstream(log.directory() / "000004.json") << "{\"messages\": 5";
  std::ofstream(log.directory() / "notes.txt") << "hello";
  EXPECT_EQ(log.List().size(), 1u);
  EXPECT_EQ(log.Latest(), 4u) << "a number that is taken is not given again";
  EXPECT_ERROR_CONTAINS(log.Load(4), "000004.json");
  EXPECT_ERROR_CONTAINS(log.Load(9), "000009.json");
}

TEST(DialogueLog, WhatKilledChatsWereWritingIsRemoved) {
  TemporaryDirectory memory;
  ASSERT_OK(SaveAs(MustOpen(memory, "work"), 1, Talk("one")));
  const std::filesystem::path left = memory.path() / "dialogues/work/000001.json.tmp.2147483647.0";
  ASSERT_TRUE(std::filesystem::is_directory(left.parent_path()));
  std::ofstream(left) << "half of it";
  MustOpen(memory, "another");
  EXPECT_FALSE(std::filesystem::exists(left));
  EXPECT_EQ(MustOpen(memory, "work").Latest(), 1u);
}

TEST(DialogueLog, EncryptedFilesShowNothing) {
  TemporaryDirectory memory;
  ASSERT_OK(SaveAs(MustOpen(memory, "ada-lovelace", kKey), 1, Talk("Zanzibar7")));
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
  EXPECT_EQ(num_files, 3u) << "the dialogue, and the name of its namespace twice";
}

TEST(DialogueLog, KeysAreChecked) {
  TemporaryDirectory encrypted, plain;
  ASSERT_OK(SaveAs(MustOpen(encrypted, "work", kKey), 1, Talk("one")));
  ASSERT_OK(SaveAs(MustOpen(plain, "work"), 1, Talk("one")));
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
  ASSERT_OK(SaveAs(log, 1, Talk("one")));
  ASSERT_OK(SaveAs(log, 2, Talk("two")));
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
  ASSERT_EQ(log.Verify().damaged.size(), 1u);
  EXPECT_NE(log.Verify().damaged[0].find("000001.sealed: "), std::string::npos);
  EXPECT_EQ(log.List().size(), 1u);
  std::filesystem::copy_file(log.directory() / "000002.sealed", path,
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_ERROR_CONTAINS(log.Load(1), "cut, changed or moved here");
}

TEST(DialogueLog, EveryFlipOfAPlainOneIsNoticed) {
  TemporaryDirectory memory;
  const DialogueLog log = MustOpen(memory, "work");
  ASSERT_OK(SaveAs(log, 1, Talk("one")));
  ASSERT_OK(SaveAs(log, 2, Talk("two")));
  const std::filesystem::path path = log.directory() / "000001.json";
  ASSERT_OK_AND_ASSIGN(const std::string good, ReadFile(path));
  const auto expect_refused = [&](const std::string& bytes, size_t place) {
    std::filesystem::remove(path);
    std::ofstream(path, std::ios::binary) << bytes;
    EXPECT_FALSE(log.Load(1).ok()) << place;
  };
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    expect_refused(bad, bit);
  }
  for (size_t bytes = 0; bytes < good.size(); ++bytes) expect_refused(good.substr(0, bytes), bytes);
  ASSERT_EQ(log.Verify().damaged.size(), 1u);
  EXPECT_EQ(log.Verify().num_dialogues, 2u);
  EXPECT_EQ(log.List().size(), 1u) << "the other one is there";
}

// Files from before there were checksums, and files that somebody has changed and whose checksum was removed.
TEST(DialogueLog, FilesWithoutASumAreRead) {
  TemporaryDirectory memory;
  const DialogueLog log = MustOpen(memory, "work");
  ASSERT_OK(SaveAs(log, 1, Talk("one")));
  ASSERT_OK(WriteFileAtomically(log.directory() / "000001.json", RenderDialogue(Talk("changed"))));
  ASSERT_OK_AND_ASSIGN(const Dialogue dialogue, log.Load(1));
  EXPECT_EQ(dialogue.messages, Talk("changed").messages);
}

TEST(DialogueLog, WhatIsKeptRendersToTheSameText) {
  TemporaryDirectory memory;
  const std::string text = R"({"model": "m", "messages": [{"role": "system", "content": ""},
      {"role": "user", "content": [{"type": "text", "text": "hi"}], "name": "Ann"},
      {"role": "assistant", "content": null, "reasoning_content": "r", "tool_calls": [{"id": "c1", "type":
       "function", "function": {"name": "f", "arguments": "{\"n\": 12345678901234567890123}"}}]},
      {"role": "tool", "tool_call_id": "c1", "content": "21"}], "tools": [{"n": 99999999999999999999}]})";
  ASSERT_OK_AND_ASSIGN(const Dialogue read, ParseDialogue(text, "test"));
  for (const Key& key : {Key(), Key(kKey)}) {
    const DialogueLog log = MustOpen(memory, "work", key);
    ASSERT_OK(SaveAs(log, 1, read));
    ASSERT_OK_AND_ASSIGN(const Dialogue again, log.Load(1));
    EXPECT_EQ(RenderDialogue(again), RenderDialogue(read));
    EXPECT_EQ(RenderQwenChat(again.messages, {}), RenderQwenChat(read.messages, {}));
    EXPECT_NE(RenderDialogue(again).find("99999999999999999999"), std::string::npos);
    ASSERT_OK(log.Erase());
  }
}

TEST(DialogueLog, AnEmptyOneIsRead) {
  TemporaryDirectory memory;
  const DialogueLog log = MustOpen(memory, "work");
  ASSERT_OK(SaveAs(log, 1, {}));
  ASSERT_OK_AND_ASSIGN(const Dialogue dialogue, log.Load(1));
  EXPECT_TRUE(dialogue.messages.empty());
}

// Two chats in one namespace: neither overwrites what the other has said.
TEST(DialogueLog, TwoWritersKeepBothDialogues) {
  TemporaryDirectory memory;
  const DialogueLog log = MustOpen(memory, "work");
  DialogueLog::Place a, b;
  ASSERT_OK(log.Save(Talk("a"), a));
  ASSERT_OK(log.Save(Talk("b"), b));
  EXPECT_EQ(a.number, 1u);
  EXPECT_EQ(b.number, 2u);
  DialogueLog::Place c;
  ASSERT_OK(log.Load(1, &c));
  ASSERT_OK(log.Save(Talk("a, and more"), a));
  ASSERT_OK(log.Save(Talk("a, and other things"), c));
  EXPECT_EQ(a.number, 1u);
  EXPECT_EQ(c.number, 3u);
  ASSERT_OK(log.Save(Talk("a, and still more"), a));
  EXPECT_EQ(a.number, 1u);
  EXPECT_EQ(log.List().size(), 3u);
}

TEST(DialogueLog, NamesOfAnyLengthAreFolders) {
  std::string cyrillic, slashes(200, '/');
  for (int i = 0; i < 50; ++i) cyrillic += "\xd0\xb6";
  for (const Key& key : {Key(), Key(kKey)}) {
    TemporaryDirectory memory;
    for (const std::string& name : {cyrillic, slashes, std::string("short")}) {
      ASSERT_OK(SaveAs(MustOpen(memory, name, key), 1, Talk(name)));
    }
    ASSERT_OK_AND_ASSIGN(const auto names, DialogueLog::Namespaces(memory.path(), key));
    EXPECT_EQ(names, (std::vector<std::string>{slashes, "short", cyrillic}));
    ASSERT_OK_AND_ASSIGN(const Dialogue dialogue, MustOpen(memory, cyrillic, key).Load(1));
    EXPECT_EQ(dialogue.messages, Talk(cyrillic).messages);
  }
}

// To erase it would erase the dialogues of all namespaces.
TEST(DialogueLog, ANamespaceHasAName) {
  TemporaryDirectory memory;
  for (const Key& key : {Key(), Key(kKey)}) {
    EXPECT_ERROR_CONTAINS(DialogueLog::Open(memory.path(), "", key), "is empty");
    EXPECT_ERROR_CONTAINS(DialogueLog::Open(memory.path(), std::string(201, 'n'), key),
                          "expected at most 200");
    EXPECT_OK(DialogueLog::Open(memory.path(), std::string(200, 'n'), key));
  }
}

TEST(DialogueLog, ADamagedNameIsNotAWrongKey) {
  TemporaryDirectory memory;
  const DialogueLog log = MustOpen(memory, "work", kKey);
  ASSERT_OK(SaveAs(log, 1, Talk("one")));
  const auto damage = [&](const char* name) {
    auto bytes = ReadFile(log.directory() / name);
    ASSERT_OK(bytes);
    (*bytes)[20] = static_cast<char>((*bytes)[20] ^ 1);
    ASSERT_OK(WriteFileAtomically(log.directory() / name, *bytes));
  };
  damage("name.sealed");
  ASSERT_OK_AND_ASSIGN(const auto names, DialogueLog::Namespaces(memory.path(), kKey));
  EXPECT_EQ(names, std::vector<std::string>{"work"}) << "the copy tells it";
  ASSERT_EQ(log.Verify().damaged.size(), 1u);
  damage("name2.sealed");
  EXPECT_OK(MustOpen(memory, "work", kKey).Load(1));
  EXPECT_ERROR_CONTAINS(DialogueLog::Namespaces(memory.path(), kKey), "name.sealed) are damaged");
  // A second namespace with a readable name proves that the key is right.
  TemporaryDirectory both;
  ASSERT_OK(SaveAs(MustOpen(both, "other", kKey), 1, Talk("two")));
  std::filesystem::copy(memory / "dialogues", both / "dialogues", std::filesystem::copy_options::recursive);
  std::vector<std::string> damaged;
  ASSERT_OK(DialogueLog::Namespaces(both.path(), kKey, &damaged));
  EXPECT_EQ(damaged.size(), 1u);
  ASSERT_OK(SaveAs(MustOpen(memory, "work", kKey), 1, Talk("three")));
  EXPECT_TRUE(log.Verify().damaged.empty()) << "written again";
}

// A process that is killed during a Save leaves what the last complete one wrote.
TEST(DialogueLog, EncryptedOnesSurviveAKillOnceAcknowledged) {
  TemporaryDirectory memory;
  for (int round = 0; round < 10; ++round) {
    int acknowledged[2];
    ASSERT_EQ(::pipe(acknowledged), 0);
    const pid_t writer = ::fork();
    ASSERT_GE(writer, 0);
    if (writer == 0) {
      const auto log = DialogueLog::Open(memory.path(), "work", kKey);
      for (int32_t i = 0; log.ok() && SaveAs(*log, 1, Talk(std::to_string(i))).ok(); ++i) {
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
    const int stored = std::stoi(messages.messages[1].content);
    EXPECT_TRUE(stored == last || stored == last + 1) << stored << " after " << last;
  }
}

}  // namespace
}  // namespace qwen25
