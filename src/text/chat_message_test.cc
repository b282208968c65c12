#include "text/chat_message.h"

#include <gtest/gtest.h>

#include "base/test_util.h"
#include "text/chat_template.h"
#include "text/python_json.h"

namespace qwen25 {
namespace {

TEST(PythonJson, IntegersKeepAllTheirDigits) {
  for (const char* text : {"12345678901234567890123", "-98765432109876543210", "18446744073709551615",
                           "-9223372036854775808", "{\"n\": [1e+22, 123456789012345678901234567890, {}]}"}) {
    ASSERT_OK_AND_ASSIGN(const Json value, ParsePythonJson(text, "test"));
    EXPECT_EQ(PythonJson(value), text);
    ASSERT_OK_AND_ASSIGN(const Json again, ParsePythonJson(PythonJson(value), "test"));
    EXPECT_EQ(again, value);
  }
}

TEST(PythonJson, IndentsAsPythonDoes) {
  ASSERT_OK_AND_ASSIGN(const Json value,
                       ParsePythonJson(R"({"a": [1, {"b": null}], "c": [], "d": {}})", "t"));
  EXPECT_EQ(PythonJson(value, 2),
            "{\n  \"a\": [\n    1,\n    {\n      \"b\": null\n    }\n  ],\n  \"c\": [],\n  \"d\": {}\n}");
}

TEST(PythonJson, RefusesWhatParseJsonRefuses) {
  EXPECT_ERROR_CONTAINS(ParsePythonJson("{\"a\": }", "here"), "here: not valid JSON");
  EXPECT_ERROR_CONTAINS(ParsePythonJson("", "here"), "here: not valid JSON");
  EXPECT_ERROR_CONTAINS(ParsePythonJson("1 2", "here"), "here: not valid JSON");
  EXPECT_ERROR_CONTAINS(ParsePythonJson(std::string(200, '['), "here"), "nested deeper");
  ASSERT_OK_AND_ASSIGN(const Json twice, ParsePythonJson(R"({"a": 1, "b": 2, "a": 3})", "here"));
  EXPECT_EQ(PythonJson(twice), R"({"a": 3, "b": 2})");
}

// A message that is read and written again is the same text, with everything that the model does not see.
TEST(ChatMessage, NothingIsLostOnTheWay) {
  const std::string text =
      R"([{"role": "developer", "content": "", "name": "S"}, )"
      R"({"role": "user", "content": [{"type": "text", "text": "one", "cache": {"n": 99999999999999999999}}]}, )"
      R"({"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [{"id": "c1", "type": )"
      R"("function", "function": {"name": "f", "arguments": "{\"n\": 12345678901234567890123}"}}]}, )"
      R"({"role": "tool", "tool_call_id": "c1", "content": "{\"t\": 21}"}, )"
      R"({"role": "assistant", "content": null, "refusal": "no"}])";
  ASSERT_OK_AND_ASSIGN(const Json document, ParsePythonJson(text, "test"));
  ASSERT_OK_AND_ASSIGN(const auto messages, ParseMessages(document));
  Json again = Json::array();
  for (const ChatMessage& message : messages) again.push_back(MessageJson(message));
  EXPECT_EQ(PythonJson(again), text);
  EXPECT_EQ(PythonJson(messages[2].tool_calls[0].arguments), R"({"n": 12345678901234567890123})");
  const std::string prompt = RenderChat(messages, {});
  EXPECT_NE(prompt.find(R"("arguments": {"n": 12345678901234567890123}})"), std::string::npos) << prompt;
  EXPECT_TRUE(prompt.starts_with("<|im_start|>system\n<|im_end|>\n")) << prompt;
}

TEST(ChatMessage, CallsMadeHereAreReadBack) {
  ASSERT_OK_AND_ASSIGN(const Json arguments, ParsePythonJson(R"({"n": 12345678901234567890123})", "test"));
  const ChatMessage message = {
      .role = "assistant", .content = "x", .tool_calls = {{.name = "f", .arguments = arguments}}};
  ASSERT_OK_AND_ASSIGN(const auto read, ParseMessages(Json::array({MessageJson(message)})));
  EXPECT_EQ(read[0], message);
}

TEST(ParseMessages, NoArgumentsAreAnEmptyObject) {
  for (const char* arguments : {"\"\"", "\"  \\n\"", "null", "\"null\"", "{}", "\"{}\""}) {
    SCOPED_TRACE(arguments);
    ASSERT_OK_AND_ASSIGN(
        const Json messages,
        ParsePythonJson(
            fmt::format(R"([{{"role": "assistant", "content": null, "tool_calls": [{{"function": )"
                        R"({{"name": "f", "arguments": {}}}}}]}}])",
                        arguments),
            "test"));
    ASSERT_OK_AND_ASSIGN(const auto read, ParseMessages(messages));
    EXPECT_EQ(PythonJson(read[0].tool_calls[0].arguments), "{}");
  }
}

TEST(ParseToolCalls, BigIntegersKeepTheirDigits) {
  const ParsedReply reply = ParseToolCalls(
      "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"n\": 12345678901234567890123}}\n</tool_call>");
  ASSERT_EQ(reply.tool_calls.size(), 1u);
  EXPECT_EQ(PythonJson(reply.tool_calls[0].arguments), "{\"n\": 12345678901234567890123}");
}

}  // namespace
}  // namespace qwen25
