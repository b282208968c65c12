#include "serve/api/message_request.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "serve/api/request_test_util.h"

namespace qwen25 {
namespace {

using Case = RefusedCase;

std::string With(const std::string& members) {
  return R"({"max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}], )" + members + "}";
}
std::string Messages(const std::string& messages) {
  return R"({"max_tokens": 5, "messages": )" + messages + "}";
}
std::string Content(const std::string& blocks, const std::string& role = "user") {
  return Messages(R"([{"role": ")" + role + R"(", "content": )" + blocks + "}]");
}
std::string Tool(const std::string& members) {
  return With(R"("tools": [{"name": "f", "input_schema": {"type": "object"}, )" + members + "}]");
}
std::string Choice(const std::string& choice) {
  return With(R"("tools": [{"name": "f", "input_schema": {}}], "tool_choice": )" + choice);
}

TEST(MessageRequestTest, EveryMemberArrives) {
  const auto request = ReadRequest(
      R"({"model": "m", "max_tokens": 7, "system": [{"type": "text", "text": "a",
          "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}],
          "messages": [{"role": "user", "content": [{"type": "text", "text": "c"}, {"type": "text", "text": "d"}]},
                       {"role": "assistant", "content": "e"}, {"role": "user", "content": "f"}],
          "tools": [{"type": "custom", "name": "look", "description": "Looks.", "strict": true,
                     "input_schema": {"type": "object", "properties": {}}, "cache_control": {"type": "ephemeral"}}],
          "tool_choice": {"type": "tool", "name": "look", "disable_parallel_tool_use": true},
          "stop_sequences": ["x", "y"], "temperature": 0.5, "top_p": 0.25, "top_k": 3, "stream": true,
          "thinking": {"type": "disabled"}, "metadata": {"user_id": "u"}, "service_tier": "auto",
          "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
          "memory": {"namespace": "n"}, "chat_template_kwargs": {"k": 1}})",
      &ReadMessageRequest);
  const std::vector<ChatMessage> expected = {{.role = "system", .content = "a\nb"},
                                             {.role = "user", .content = "c\nd"},
                                             {.role = "assistant", .content = "e"},
                                             {.role = "user", .content = "f"}};
  EXPECT_EQ(request.prompt.messages, expected);
  EXPECT_FALSE(request.prompt.continue_final_message);
  EXPECT_TRUE(request.prompt.add_generation_prompt);
  EXPECT_EQ(request.model, "m");
  EXPECT_EQ(request.max_tokens, 7);
  EXPECT_EQ(request.prompt.tools, Json::parse(R"([{"type": "function", "function": {"name": "look",
      "description": "Looks.", "parameters": {"type": "object", "properties": {}}}}])"));
  EXPECT_EQ(request.tool_choice.kind, ToolChoice::Kind::kFunction);
  EXPECT_EQ(request.tool_choice.function, "look");
  EXPECT_FALSE(request.parallel_tool_calls);
  EXPECT_EQ(request.sampling.stop, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(request.sampling.temperature, 0.5);
  EXPECT_EQ(request.sampling.top_p, 0.25);
  EXPECT_EQ(request.sampling.top_k, 3);
  EXPECT_TRUE(request.stream);
  EXPECT_EQ(request.constraint.kind, OutputConstraint::Kind::kJsonSchema);
  EXPECT_EQ(request.constraint.field, "output_config.format");
  EXPECT_EQ(request.server.memory->name_space, "n");
  EXPECT_EQ(request.prompt.template_variables, Json({{"k", 1}}));
  for (const char* name : {"system[0].cache_control", "tools[0].cache_control", "tools[0].strict", "thinking",
                           "metadata", "service_tier"}) {
    EXPECT_NE(std::ranges::find(request.ignored, name), request.ignored.end()) << name;
  }
}

TEST(MessageRequestTest, CallsAndResults) {
  const auto request = ReadRequest(
      R"({"max_tokens": 1, "messages": [
          {"role": "user", "content": "?"},
          {"role": "assistant", "content": [{"type": "text", "text": "Let me look."},
             {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
             {"type": "tool_use", "id": "b", "name": "g", "input": {}, "caller": {"type": "direct"}}]},
          {"role": "user", "content": [
             {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "of b"}]},
             {"type": "tool_result", "tool_use_id": "a", "is_error": true},
             {"type": "text", "text": "Go on."}]}]})",
      &ReadMessageRequest);
  const std::vector<ChatMessage> expected = {{.role = "user", .content = "?"},
                                             {.role = "assistant",
                                              .content = "Let me look.",
                                              .tool_calls = {{"f", Json({{"x", 1}})}, {"g", Json::object()}}},
                                             {.role = "tool", .content = ""},  // in the order of the calls
                                             {.role = "tool", .content = "of b"},
                                             {.role = "user", .content = "Go on."}};
  EXPECT_EQ(request.prompt.messages, expected);
}

TEST(MessageRequestTest, TheModelGoesOnWithItsOwnLastMessage) {
  const auto request =
      ReadRequest(Messages(R"([{"role": "user", "content": "?"}, {"role": "assistant", "content": "Well"}])"),
                  &ReadMessageRequest);
  EXPECT_TRUE(request.prompt.continue_final_message);
  EXPECT_FALSE(request.prompt.add_generation_prompt);
}

TEST(MessageRequestTest, ChoicesOfTools) {
  using Kind = ToolChoice::Kind;
  const auto kind = [](const std::string& choice) {
    return ReadRequest(Choice(choice), &ReadMessageRequest).tool_choice.kind;
  };
  EXPECT_EQ(kind("null"), Kind::kAuto);
  EXPECT_EQ(kind(R"({"type": "auto"})"), Kind::kAuto);
  EXPECT_EQ(kind(R"({"type": "any"})"), Kind::kRequired);
  EXPECT_EQ(kind(R"({"type": "none"})"), Kind::kNone);
  EXPECT_EQ(ReadRequest(With(R"("tool_choice": {"type": "auto"})"), &ReadMessageRequest).tool_choice.kind,
            Kind::kNone);
}

TEST(MessageRequestTest, CountingNeedsNoLimit) {
  const auto request =
      ReadRequest(R"({"messages": [{"role": "user", "content": "Hi"}]})", &ReadCountTokensRequest);
  EXPECT_EQ(request.prompt.messages.size(), 1u);
  ExpectRefused({With(R"("stream": false)"), "max_tokens", "is not a field"}, &ReadCountTokensRequest);
}

TEST(MessageRequestTest, MalformedMessages) {
  const std::string call =
      R"([{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]}, )";
  const Case cases[] = {
      {R"({"messages": [{"role": "user", "content": "Hi"}]})", "max_tokens",
       "is missing, expected an integer"},
      {R"({"max_tokens": 5})", "messages", "is missing"},
      {Messages("[]"), "messages", "is an array of 0 values"},
      {Messages("[5]"), "messages[0]", "is 5, expected an object"},
      {Messages(R"([{"content": "x"}])"), "messages[0].role", "is missing"},
      {Messages(R"([{"role": "tool", "content": "x"}])"), "messages[0].role", "\"tool\""},
      {Messages(R"([{"role": "user", "content": "x", "name": "y"}])"), "messages[0].name", "is not a field"},
      {Content("null"), "messages[0].content", "is null"},
      {Content("[]"), "messages[0].content", "at least one block"},
      {Content("[5]"), "messages[0].content[0]", "is 5"},
      {Content(R"([{"text": "x"}])"), "messages[0].content[0].type", "is missing, expected one of text"},
      {Content(R"([{"type": "text"}])"), "messages[0].content[0].text", "is missing"},
      {Content(R"([{"type": "text", "text": "x", "color": 1}])"), "messages[0].content[0].color",
       "is not a field"},
      {Content(R"([{"type": "text", "text": "x", "cache_control": true}])"),
       "messages[0].content[0].cache_control", "expected an object"},
      {Content(R"([{"type": "image", "source": {}}])"), "messages[0].content[0].type", "reads text only"},
      {Content(R"([{"type": "document"}])"), "messages[0].content[0].type", "reads text only"},
      {Content(R"([{"type": "thinking"}])", "assistant"), "messages[0].content[0].type",
       "thinking is not supported"},
      {Content(R"([{"type": "tool_use", "id": "a", "name": "f", "input": {}}])"),
       "messages[0].content[0].type", "one of text, tool_result"},
      {Content(R"([{"type": "tool_result", "tool_use_id": "a"}])", "assistant"),
       "messages[0].content[0].type", "one of text, tool_use"},
      {Content(R"([{"type": "tool_use", "name": "f", "input": {}}])", "assistant"),
       "messages[0].content[0].id", "is missing"},
      {Content(R"([{"type": "tool_use", "id": "a", "name": "f g", "input": {}}])", "assistant"),
       "messages[0].content[0].name", "must be a name"},
      {Content(R"([{"type": "tool_use", "id": "a", "name": "f", "input": "{}"}])", "assistant"),
       "messages[0].content[0].input", "expected an object"},
      {Content(R"([{"type": "tool_result", "tool_use_id": "a"}])"), "messages[0].content[0].tool_use_id",
       "the id of no tool_use"},
      {Messages(call + R"({"role": "user", "content": [{"type": "text", "text": "x"},
                          {"type": "tool_result", "tool_use_id": "a"}]}])"),
       "messages[1].content[1].type", "results come first"},
      {Messages(call + R"({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"},
                          {"type": "tool_result", "tool_use_id": "a"}]}])"),
       "messages[1].content[1].tool_use_id", "an earlier message has the result of"},
      {Messages(call + R"({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a",
                          "content": [{"type": "image"}]}]}])"),
       "messages[1].content[0].content[0].type", "reads text only"},
      {Messages(call.substr(0, call.size() - 2) + "]"), "messages", "add a message with the tool_result"},
  };
  for (const Case& c : cases) ExpectRefused(c, &ReadMessageRequest);
}

TEST(MessageRequestTest, MalformedMembers) {
  const Case cases[] = {
      {With(R"("system": 5)"), "system", "a string or an array of text blocks"},
      {With(R"("system": [{"type": "image"}])"), "system[0].type", "reads text only"},
      {R"({"max_tokens": 0, "messages": [{"role": "user", "content": "Hi"}]})", "max_tokens", "is 0"},
      {With(R"("temperature": 1.5)"), "temperature", "from 0 to 1"},
      {With(R"("top_p": 0)"), "top_p", "above 0"},
      {With(R"("top_k": -2)"), "top_k", "is -2"},
      {With(R"("stop_sequences": [""])"), "stop_sequences[0]", "is a string of 0 bytes"},
      {With(R"("stream": 1)"), "stream", "true or false"},
      {With(R"("thinking": {"type": "enabled", "budget_tokens": 1024})"), "thinking", "is not supported"},
      {With(R"("thinking": {"type": null})"), "thinking", "is not supported"},
      {With(R"("metadata": "x")"), "metadata", "expected an object"},
      {With(R"("mcp_servers": [])"), "mcp_servers", "is not supported"},
      {With(R"("output_config": {"effort": "low"})"), "output_config.effort", "is not supported"},
      {With(R"("output_config": {"format": {"type": "json_schema"}})"), "output_config.format.schema",
       "is missing"},
      {With(R"("frequency_penalty": 1)"), "frequency_penalty", "is not a field"},
      {With(R"("tools": {})"), "tools", "an array of at most 128"},
      {With(R"("tools": [{"name": "f"}])"), "tools[0].input_schema", "is missing"},
      {With(R"("tools": [{"type": "web_search_20250305", "name": "web_search"}])"), "tools[0].type",
       "expected one of custom"},
      {With(R"("tools": [{"name": "f", "input_schema": {}}, {"name": "f", "input_schema": {}}])"),
       "tools[1].name", "an earlier tool"},
      {Tool(R"("input_examples": [])"), "tools[0].input_examples", "is not supported"},
      {With(R"("tool_choice": {"type": "any"})"), "tool_choice", "the request has no tools"},
      {Choice(R"("auto")"), "tool_choice", "expected an object"},
      {Choice(R"({"type": "required"})"), "tool_choice.type", "one of auto, any, tool, none"},
      {Choice(R"({"type": "tool", "name": "g"})"), "tool_choice.name", "none of the request's tools"},
      {Choice(R"({"type": "any", "name": "f"})"), "tool_choice.name", "is not a field"},
      {Choice(R"({"type": "none", "disable_parallel_tool_use": true})"),
       "tool_choice.disable_parallel_tool_use", "is not a field"},
  };
  for (const Case& c : cases) ExpectRefused(c, &ReadMessageRequest);
}

}  // namespace
}  // namespace qwen25
