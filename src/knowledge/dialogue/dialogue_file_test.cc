#include "knowledge/dialogue/dialogue_file.h"

#include "base/test_util.h"

namespace qwen25 {
namespace {

const std::string kUser = R"({"role": "user", "content": "hi"})";
const std::string kAssistant = R"({"role": "assistant", "content": "ho"})";

std::vector<ChatMessage> Two() {
  return {{.role = "user", .content = "hi"}, {.role = "assistant", .content = "ho"}};
}

TEST(ParseDialogueFile, ReadsEveryFormInWhichMessagesAreKept) {
  for (
      const std::string& text : {
          fmt::format(R"({{"messages": [{}, {}]}})", kUser, kAssistant),
          fmt::format("[{}, {}]", kUser, kAssistant),
          fmt::format("{}\n{}\n", kUser, kAssistant),
          fmt::format("{}\r\n\r\n{}", kUser, kAssistant),
          fmt::format(R"([{{"messages": [{}, {}]}}])", kUser, kAssistant),
          fmt::format(R"({{"conversations": [{}, {}]}})", kUser, kAssistant),
          std::string(
              R"({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]})"),
          std::string(
              R"([{"conversation": [{"from": "user", "value": "hi"}, {"from": "chatgpt", "value": "ho"}]}])"),
      }) {
    ASSERT_OK_AND_ASSIGN(const Dialogue dialogue, ParseDialogueFile(text, "talk.json"));
    EXPECT_EQ(dialogue.messages, Two()) << text;
    EXPECT_TRUE(dialogue.other.empty()) << text;
  }
}

TEST(ParseDialogueFile, KeepsWhatStandsBesideTheTurns) {
  ASSERT_OK_AND_ASSIGN(const Dialogue dialogue, ParseDialogueFile(R"({
    "id": 7, "system": "Be brief.", "tools": [], "conversations": [
      {"from": "human", "value": "weather?", "weight": 1},
      {"from": "function_call", "value": "{\"name\": \"f\", \"arguments\": {\"n\": 123456789012345678901}}"},
      {"from": "observation", "value": "rain"}]})",
                                                                  "talk.json"));
  ASSERT_EQ(dialogue.messages.size(), 4u);
  EXPECT_EQ(dialogue.messages[0], (ChatMessage{.role = "system", .content = "Be brief."}));
  EXPECT_EQ(dialogue.messages[1].as_read["weight"], 1);
  ASSERT_EQ(dialogue.messages[2].tool_calls.size(), 1u);
  EXPECT_EQ(dialogue.messages[2].tool_calls[0].name, "f");
  EXPECT_EQ(dialogue.messages[3].role, "tool");
  EXPECT_EQ(dialogue.other, (Json{{"id", 7}, {"tools", Json::array()}}));
  ASSERT_OK_AND_ASSIGN(const Dialogue again, ParseDialogueFile(RenderDialogue(dialogue), "again"));
  EXPECT_EQ(again.messages, dialogue.messages);
  EXPECT_NE(RenderDialogue(again).find("123456789012345678901"), std::string::npos);
}

TEST(ParseDialogueFile, SaysWhatIsWrong) {
  const auto parse = [](const std::string& text) { return ParseDialogueFile(text, "talk.json"); };
  const std::string one = fmt::format(R"({{"messages": [{}]}})", kUser);
  EXPECT_ERROR_CONTAINS(parse(one + "\n" + one), "talk.json: holds 2 conversations, expected one");
  EXPECT_ERROR_CONTAINS(parse(fmt::format("[{}, {}]", one, one)), "talk.json: holds 2 conversations");
  EXPECT_ERROR_CONTAINS(parse("[1, 2]"), "talk.json: expected a conversation");
  EXPECT_ERROR_CONTAINS(parse("{\"a\": 1}"), "talk.json: expected an object with \"messages\"");
  EXPECT_ERROR_CONTAINS(parse("{\"a\": "), "talk.json: not valid JSON");
  EXPECT_ERROR_CONTAINS(parse("hello\nthere"), "talk.json: not valid JSON");
  EXPECT_ERROR_CONTAINS(parse(R"({"conversations": [{"from": "narrator", "value": "x"}]})"),
                        "turn 0 is from \"narrator\"");
  EXPECT_ERROR_CONTAINS(parse(R"({"conversations": [{"from": "function_call", "value": "call f"}]})"),
                        "the call of turn 0: not valid JSON");
  EXPECT_ERROR_CONTAINS(parse(R"({"conversations": [{"from": "human"}]})"),
                        "messages[0]: \"content\" is missing");
}

}  // namespace
}  // namespace qwen25
