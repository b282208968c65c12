#include "serve/api/response_request.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "serve/api/request_test_util.h"

namespace qwen25 {
namespace {

using Case = RefusedCase;

std::string With(const std::string& members) {
  return R"({"input": "Hi", )" + members + "}";
}
std::string Input(const std::string& items) {
  return R"({"input": )" + items + "}";
}
std::string Tools(const std::string& members) {
  return With(R"("tools": [{"type": "function", "name": "f", "parameters": {}}], )" + members);
}

TEST(ResponseRequestTest, EveryMemberArrives) {
  const auto request = ReadRequest(
      R"({"model": "m", "instructions": "Be brief.", "max_output_tokens": 9, "temperature": 1.5, "top_p": 0.5,
          "input": [{"role": "user", "content": "a"},
                    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "b"}]}],
          "tools": [{"type": "function", "name": "f", "description": "d", "strict": true,
                     "parameters": {"type": "object", "maximum": 12345678901234567890123}}],
          "tool_choice": "none", "parallel_tool_calls": false, "stream": true,
          "stream_options": {"include_obfuscation": false},
          "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": true}},
          "include": ["message.output_text.logprobs"], "top_logprobs": 3, "truncation": "disabled",
          "background": false, "store": true, "user": "u", "metadata": {"k": "v"}, "reasoning": {"effort": "low"},
          "previous_response_id": null, "priority": 2})",
      &ReadResponseRequest);
  const std::vector<ChatMessage> expected = {{.role = "system", .content = "Be brief."},
                                             {.role = "user", .content = "a"},
                                             {.role = "user", .content = "b"}};
  EXPECT_EQ(request.prompt.messages, expected);
  EXPECT_EQ(request.max_tokens, 9);
  EXPECT_EQ(request.sampling.temperature, 1.5);
  EXPECT_EQ(request.sampling.top_p, 0.5);
  EXPECT_EQ(request.prompt.tool_names, std::vector<std::string>{"f"});
  EXPECT_EQ(request.prompt.tools[0]["function"]["description"], "d");
  EXPECT_EQ(request.tool_choice.kind, ToolChoice::Kind::kNone);
  EXPECT_FALSE(request.parallel_tool_calls);
  EXPECT_TRUE(request.stream && request.logprobs && request.constraint.strict);
  EXPECT_EQ(request.top_logprobs, 3);
  EXPECT_EQ(request.constraint.kind, OutputConstraint::Kind::kJsonSchema);
  EXPECT_EQ(request.constraint.field, "text.format");
  EXPECT_EQ(request.server.priority, 2);
  EXPECT_EQ(request.shown["instructions"], "Be brief.");
  EXPECT_EQ(request.shown["tool_choice"], "none");
  EXPECT_EQ(request.shown["tools"][0]["name"], "f");
  EXPECT_EQ(request.shown["tools"][0]["parameters"]["maximum"], 12345678901234567890123.0);
  EXPECT_EQ(request.shown["text"]["format"]["name"], "n");
  EXPECT_EQ(request.shown["metadata"], Json({{"k", "v"}}));
  EXPECT_EQ(request.shown["store"], false);
  EXPECT_EQ(request.shown["max_output_tokens"], 9);
  EXPECT_EQ(request.ignored,
            (std::vector<std::string>{"tools[0].strict", "user", "store", "metadata", "reasoning"}));
}

TEST(ResponseRequestTest, TextAloneIsAMessageOfTheUser) {
  const auto request = ReadRequest(Input("\"Hi\""), &ReadResponseRequest);
  EXPECT_EQ(request.prompt.messages, (std::vector<ChatMessage>{{.role = "user", .content = "Hi"}}));
  EXPECT_EQ(request.shown["tools"], Json::array());
  EXPECT_EQ(request.shown["tool_choice"], "auto");
  EXPECT_EQ(request.shown["temperature"], nullptr);
}

// Calls belong to the message before them, and results stand in the order of the calls.
TEST(ResponseRequestTest, ItemsOfAReplyComeBackAsOneTurn) {
  const auto request = ReadRequest(Input(R"([{"role": "user", "content": "?"},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": "Let me look.", "annotations": [], "logprobs": []}]},
        {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": "{\"x\": 1}",
         "status": "completed"},
        {"type": "function_call", "call_id": "b", "name": "g", "arguments": ""},
        {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "of b"}]},
        {"type": "function_call_output", "call_id": "a", "output": "of a"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "of c"}])"),
                                   &ReadResponseRequest);
  const std::vector<ChatMessage> expected = {{.role = "user", .content = "?"},
                                             {.role = "assistant",
                                              .content = "Let me look.",
                                              .tool_calls = {{"f", Json({{"x", 1}})}, {"g", Json::object()}}},
                                             {.role = "tool", .content = "of a"},
                                             {.role = "tool", .content = "of b"},
                                             {.role = "assistant", .tool_calls = {{"f", Json::object()}}},
                                             {.role = "tool", .content = "of c"}};
  EXPECT_EQ(request.prompt.messages, expected);
}

TEST(ResponseRequestTest, MalformedItems) {
  const std::string call = R"([{"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}, )";
  const Case cases[] = {
      {"{}", "input", "is missing"},
      {Input("[]"), "input", "is an array of 0 values"},
      {Input("{}"), "input", "a string or an array"},
      {Input("[5]"), "input[0]", "is 5"},
      {Input(R"([{"type": "message", "content": "x"}])"), "input[0].role", "is missing"},
      {Input(R"([{"role": "tool", "content": "x"}])"), "input[0].role", "\"tool\""},
      {Input(R"([{"role": "user"}])"), "input[0].content", "is missing"},
      {Input(R"([{"role": "user", "content": [{"type": "input_image"}]}])"), "input[0].content[0].type",
       "reads text only"},
      {Input(R"([{"role": "user", "content": "x", "mood": 1}])"), "input[0].mood", "is not a field"},
      {Input(R"([{"type": "item_reference", "id": "x"}])"), "input[0].type", "keeps no items"},
      {Input(R"([{"type": "reasoning"}])"), "input[0].type", "one of message, function_call"},
      {Input(R"([{"type": "function_call", "name": "f", "arguments": "{}"}])"), "input[0].call_id",
       "is missing"},
      {Input(R"([{"type": "function_call", "call_id": "a", "arguments": "{}"}])"), "input[0].name",
       "must be a name"},
      {Input(R"([{"type": "function_call", "call_id": "a", "name": "f"}])"), "input[0].arguments",
       "is missing"},
      {Input(R"([{"type": "function_call", "call_id": "a", "name": "f", "arguments": "[1]"}])"),
       "input[0].arguments", "is an array of 1 values"},
      {Input(call + call.substr(1, call.size() - 3) + "]"), "input[1].call_id", "an earlier call"},
      {Input(call + R"({"type": "function_call_output", "call_id": "b", "output": "x"}])"),
       "input[1].call_id", "the id of no function_call"},
      {Input(call + R"({"type": "function_call_output", "call_id": "a"}])"), "input[1].output", "is missing"},
      {Input(call +
             R"({"type": "function_call_output", "call_id": "a", "output": [{"type": "input_file"}]}])"),
       "input[1].output[0].type", "reads text only"},
      {Input(call + R"({"type": "function_call_output", "call_id": "a", "output": "x"},
                       {"type": "function_call_output", "call_id": "a", "output": "y"}])"),
       "input[2].call_id", "an earlier message has the result of"},
  };
  for (const Case& c : cases) ExpectRefused(c, &ReadResponseRequest);
}

TEST(ResponseRequestTest, MalformedMembers) {
  const Case cases[] = {
      {With(R"("instructions": 5)"), "instructions", "is 5"},
      {With(R"("max_output_tokens": 0)"), "max_output_tokens", "is 0"},
      {With(R"("temperature": 3)"), "temperature", "from 0 to 2"},
      {With(R"("previous_response_id": "resp_1")"), "previous_response_id", "keeps no responses"},
      {With(R"("conversation": "x")"), "conversation", "keeps no conversations"},
      {With(R"("prompt": {})"), "prompt", "keeps no prompts"},
      {With(R"("background": true)"), "background", "stream the response instead"},
      {With(R"("truncation": "auto")"), "truncation", "one of disabled"},
      {With(R"("max_tool_calls": 3)"), "max_tool_calls", "is not supported"},
      {With(R"("reasoning": "low")"), "reasoning", "expected an object"},
      {With(R"("text": {"verbosity": "low"})"), "text.verbosity", "is not supported"},
      {With(R"("text": {"format": {"type": "xml"}})"), "text.format.type", "\"xml\""},
      {With(R"("text": {"format": {"type": "json_schema", "name": "x"}})"), "text.format.schema",
       "is missing"},
      {With(R"("include": ["file_search_call.results"])"), "include[0]", "is not supported"},
      {With(R"("include": "x")"), "include", "an array of names"},
      {With(R"("top_logprobs": 2)"), "top_logprobs", "in include"},
      {Tools(R"("include": ["message.output_text.logprobs"])"), "include", "leave the tools out"},
      {With(R"("stream_options": {"include_usage": true}, "stream": true)"), "stream_options.include_usage",
       "is not a field"},
      {With(R"("n": 2)"), "n", "is not a field"},
      {With(R"("tools": [{"type": "web_search"}])"), "tools[0].type", "one of function"},
      {With(R"("tools": [{"type": "function", "function": {"name": "f"}}])"), "tools[0].name",
       "must be a name"},
      {With(R"("tools": [{"type": "function", "name": "f", "parameters": 5}])"), "tools[0].parameters",
       "is 5, expected an object"},
      {With(R"("tool_choice": "required")"), "tool_choice", "the request has no tools"},
      {Tools(R"("tool_choice": {"type": "function", "name": "g"})"), "tool_choice.name",
       "none of the request's tools"},
      {Tools(R"("tool_choice": {"type": "allowed_tools"})"), "tool_choice.type", "\"allowed_tools\""},
  };
  for (const Case& c : cases) ExpectRefused(c, &ReadResponseRequest);
}

}  // namespace
}  // namespace qwen25
