#include "text/chat_message.h"

#include <gtest/gtest.h>

#include "base/test_util.h"
#include "text/python_json.h"
#include "text/qwen_chat.h"

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
  const std::string prompt = RenderQwenChat(messages, {});
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

TEST(PythonJson, NumbersThatOnlyPythonHasSurvive) {
  const std::string text =
      R"({"a": [NaN, -Infinity, 1e400, -2.5e999, 1e10], "NaN": "1e400 NaN \" Infinity"})";
  ASSERT_OK_AND_ASSIGN(const Json json, ParsePythonJson(text, "test"));
  const std::string written =
      R"({"a": [NaN, -Infinity, Infinity, -Infinity, 10000000000.0], "NaN": "1e400 NaN \" Infinity"})";
  EXPECT_EQ(PythonJson(json), written);
  ASSERT_OK_AND_ASSIGN(const Json again, ParsePythonJson(written, "test"));
  EXPECT_EQ(PythonJson(again), written);
  const std::string digits = fmt::format("[{}, NaN]", std::string(400, '7'));
  EXPECT_EQ(PythonJson(ParsePythonJson(digits, "test").value()), digits);
  EXPECT_ERROR_CONTAINS(ParsePythonJson("[NaN, nan]", "test"), "test: not valid JSON");
}

TEST(ParseMessages, PartsOfTextAreTextWhateverClientsCallThem) {
  ASSERT_OK_AND_ASSIGN(const std::vector<ChatMessage> messages, ParseMessages(Json::parse(R"([
    {"role": "user", "content": ["a", {"text": "b"}, {"type": "input_text", "text": "c"}]},
    {"role": "assistant", "content": [{"type": "output_text", "text": "d"}, {"type": "refusal", "refusal": "e"}]}])")));
  EXPECT_EQ(messages[0].content, "a\nb\nc");
  EXPECT_EQ(messages[1].content, "d\ne");
}

TEST(ParseMessages, NoArgumentsAreAnEmptyObject) {
  ASSERT_OK_AND_ASSIGN(
      const std::vector<ChatMessage> absent,
      ParseMessages(Json::parse(R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}])")));
  EXPECT_EQ(absent[0].tool_calls[0].arguments, Json::object());
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

}  // namespace
}  // namespace qwen25
