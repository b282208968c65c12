#include "knowledge/dialogue_log.h"

#include <filesystem>
#include <fstream>

#include "base/test_util.h"

namespace qwen25 {
namespace {

std::vector<ChatMessage> Dialogue(const std::string& question) {
  return {{.role = "system", .content = "Be brief."},
          {.role = "user", .content = question},
          {.role = "assistant", .content = "No \"idea\"\n\xe2\x9c\x93"}};
}

TEST(DialogueLog, KeepsDialoguesByNumberAndNamespace) {
  TemporaryDirectory memory;
  const DialogueLog log(memory.path(), "work"), other(memory.path(), "../a b/\xc3\xa9");
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
  EXPECT_EQ(DialogueLog::Namespaces(memory.path()), (std::vector<std::string>{"../a b/\xc3\xa9", "work"}));
  ASSERT_OK_AND_ASSIGN(const size_t erased, log.Erase());
  EXPECT_EQ(erased, 2u);
  EXPECT_EQ(log.Latest(), 0u);
  EXPECT_EQ(other.Latest(), 7u);
}

TEST(DialogueLog, ForeignFilesAreLeftAlone) {
  TemporaryDirectory memory;
  const DialogueLog log(memory.path(), "work");
  ASSERT_OK(log.Save(3, Dialogue("three")));
  std::ofstream(log.directory() / "000004.json") << "{\"messages\": 5";
  std::ofstream(log.directory() / "notes.txt") << "hello";
  EXPECT_EQ(log.List().size(), 1u);
  EXPECT_EQ(log.Latest(), 4u) << "a number that is taken is not given again";
  EXPECT_ERROR_CONTAINS(log.Load(4), "000004.json");
  EXPECT_ERROR_CONTAINS(log.Load(9), "000009.json");
}

}  // namespace
}  // namespace qwen25
