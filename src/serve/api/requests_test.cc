// What is accepted, and what it means.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string>
#include <vector>

#include "base/test_util.h"
#include "serve/api/chat_request.h"
#include "serve/api/completion_request.h"
#include "serve/api/request_test_util.h"
#include "serve/api/text_requests.h"
#include "text/python_json.h"

namespace qwen25 {
namespace {

TEST(RequestJsonTest, KeepsWhatTheTextHas) {
  const ApiResult<Json> json = ParseRequestJson(
      R"({"z": 1, "a": [true, null, -2, 2.5, "\u00e9\ud83d\ude00"], "big": 123456789012345678901234567890})");
  ASSERT_TRUE(json.ok());
  EXPECT_EQ(PythonJson(*json),
            "{\"z\": 1, \"a\": [true, null, -2, 2.5, \"\xC3\xA9\xF0\x9F\x98\x80\"], "
            "\"big\": 123456789012345678901234567890}");
}

TEST(RequestJsonTest, LimitsCountExactly) {
  const RequestBodyLimits limits = {.bytes = 40, .depth = 3, .values = 5, .members = 2};
  const auto error = [&](const std::string& body) {
    const ApiResult<Json> json = ParseRequestJson(body, limits);
    return json.ok() ? std::string() : json.error().message;
  };
  EXPECT_EQ(error(R"({"a": [1, 2, 3]})"), "");
  EXPECT_NE(error(R"({"a": [1, 2, 3, 4]})").find("more than 5 values"), std::string::npos);
  EXPECT_EQ(error(R"({"a": [[]]})"), "");
  EXPECT_NE(error(R"({"a": [[[]]]})").find("deeper than 3 levels"), std::string::npos);
  EXPECT_EQ(error(R"({"a": 1, "b": 2})"), "");
  EXPECT_NE(error(R"({"a": 1, "b": 2, "c": 3})").find("more than 2 members"), std::string::npos);
  const std::string longest = R"({"a": ")" + std::string(31, 'x') + "\"}";
  EXPECT_EQ(error(longest), "");
  EXPECT_EQ(error(longest + " "), "The body of the request has 41 bytes, at most 40 are accepted.");
  EXPECT_EQ(ParseRequestJson(longest + " ", limits).error().status, 413);
}

// Whatever the tree, its text is read as the same tree, and one repeated key anywhere is found.
TEST(RequestJsonTest, RoundTrip) {
  EXPECT_TRUE(rc::check("reads what was written", [] {
    const auto numbers = *rc::gen::arbitrary<std::vector<int64_t>>();
    const auto keys = *rc::gen::unique<std::vector<std::string>>(
        rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::inRange('a', 'e'))));
    Json tree = Json::object();
    for (const std::string& key : keys) tree[key] = numbers;
    const ApiResult<Json> read = ParseRequestJson(tree.dump());
    RC_ASSERT(read.ok());
    RC_ASSERT(*read == tree);
    if (keys.empty()) return;
    std::string repeated = tree.dump();
    repeated.insert(repeated.size() - 1, ",\"" + *rc::gen::elementOf(keys) + "\":0");
    RC_ASSERT(!ParseRequestJson(repeated).ok());
  }));
}

TEST(ChatRequestTest, DefaultsAndNulls) {
  const std::string plain = R"({"model": "m", "messages": [{"role": "user", "content": "Hi"}])";
  const std::string nulls =
      plain +
      R"(, "tools": null, "tool_choice": null, "temperature": null, "stop": null, "n": null, "seed": null,
           "stream_options": null, "response_format": null, "logit_bias": null, "max_tokens": null,
           "functions": null, "audio": null, "user": null, "memory": null, "parallel_tool_calls": null})";
  for (const std::string& body : {plain + "}", nulls}) {
    const auto request = ReadRequest(body, &ReadChatCompletionRequest);
    EXPECT_EQ(request.model, "m");
    ASSERT_EQ(request.prompt.messages.size(), 1u);
    EXPECT_EQ(request.prompt.messages[0], (ChatMessage{.role = "user", .content = "Hi"}));
    EXPECT_EQ(request.prompt.tools, nullptr);
    EXPECT_EQ(request.tool_choice.kind, ToolChoice::Kind::kNone);
    EXPECT_FALSE(request.max_tokens || request.sampling.temperature || request.sampling.seed);
    EXPECT_EQ(request.sampling.num_choices, 1);
    EXPECT_EQ(request.constraint.kind, OutputConstraint::Kind::kNone);
    EXPECT_TRUE(request.parallel_tool_calls && request.prompt.add_generation_prompt);
    EXPECT_FALSE(request.stream || request.logprobs || request.server.memory.has_value());
    EXPECT_TRUE(request.ignored.empty());
  }
}

TEST(ChatRequestTest, EveryMemberArrives) {
  const auto request = ReadRequest(
      R"({"messages": [{"role": "developer", "content": [{"type": "text", "text": "a"},
                                                         {"type": "text", "text": "b"}]},
                       {"role": "user", "content": "", "name": "Ann"}],
          "tools": [{"type": "function", "function": {"name": "get.time-1", "description": "d", "strict": true,
                     "parameters": {"type": "object"}}}],
          "tool_choice": {"type": "function", "function": {"name": "get.time-1"}},
          "parallel_tool_calls": false, "max_completion_tokens": 9, "max_tokens": 9, "temperature": 2,
          "top_p": 0.5, "top_k": -1, "min_p": 0.1, "repetition_penalty": 1.1, "seed": -1,
          "presence_penalty": -2, "frequency_penalty": 1, "n": 3, "logit_bias": {"10": -100, "9": 0.5},
          "stop": "END", "stream": true, "stream_options": {"include_usage": true, "include_obfuscation": true},
          "logprobs": true, "top_logprobs": 20, "chat_template_kwargs": {"enable_thinking": false},
          "response_format": {"type": "json_schema", "json_schema": {"name": "x", "strict": true, "schema": {}}},
          "memory": {"namespace": "work", "recall": true, "notes_as": "blocks"}, "priority": -3,
          "deadline_ms": 500, "routing": "top_k:8", "speculation": false,
          "user": "u", "store": false, "metadata": {"a": "b"}, "service_tier": "auto", "modalities": ["text"]})",
      &ReadChatCompletionRequest);
  EXPECT_EQ(request.prompt.messages[0], (ChatMessage{.role = "system", .content = "a\nb"}));
  EXPECT_EQ(request.prompt.tool_names, std::vector<std::string>{"get.time-1"});
  EXPECT_EQ(request.tool_choice.kind, ToolChoice::Kind::kFunction);
  EXPECT_EQ(request.tool_choice.function, "get.time-1");
  EXPECT_FALSE(request.parallel_tool_calls);
  EXPECT_EQ(request.max_tokens, 9);
  EXPECT_EQ(request.sampling.presence_penalty, -2);
  EXPECT_EQ(request.sampling.frequency_penalty, 1);
  EXPECT_EQ(request.sampling.num_choices, 3);
  EXPECT_EQ(request.sampling.logit_bias, (std::vector<std::pair<int32_t, float>>{{9, 0.5f}, {10, -100}}));
  EXPECT_EQ(request.sampling.stop, std::vector<std::string>{"END"});
  EXPECT_TRUE(request.stream && request.include_usage && request.logprobs);
  EXPECT_EQ(request.top_logprobs, 20);
  EXPECT_EQ(request.constraint.kind, OutputConstraint::Kind::kJsonSchema);
  EXPECT_TRUE(request.constraint.strict);
  EXPECT_EQ(request.server.memory->name_space, "work");
  EXPECT_EQ(request.server.memory->recall, true);
  EXPECT_EQ(request.server.memory->notes_as, "blocks");
  EXPECT_EQ(request.server.priority, -3);
  EXPECT_EQ(request.server.deadline_ms, 500);
  EXPECT_EQ(request.server.routing, "top_k:8");
  EXPECT_EQ(request.server.speculation, false);
  EXPECT_EQ(request.ignored, (std::vector<std::string>{"user", "service_tier", "store", "metadata"}));
  EXPECT_EQ(request.PromptOptions().tools, request.prompt.tools);
  EXPECT_EQ(request.PromptOptions().variables, Json({{"enable_thinking", false}}));

  const SamplingOptions options = request.sampling.ApplyTo({.temperature = 0.7f, .top_k = 20, .seed = 5});
  EXPECT_EQ(options.temperature, 2);
  EXPECT_EQ(options.top_p, 0.5f);
  EXPECT_EQ(options.top_k, 0u);
  EXPECT_EQ(options.min_p, 0.1f);
  EXPECT_EQ(options.repetition_penalty, 1.1f);
  EXPECT_EQ(options.seed, ~uint64_t{0});
  EXPECT_OK(options.Validate());
  EXPECT_EQ(SamplingRequest().ApplyTo({.temperature = 0.3f}).temperature, 0.3f);
}

TEST(ChatRequestTest, ToolsAreNotShownIfNoneMayBeCalled) {
  const auto request = ReadRequest(R"({"messages": [{"role": "user", "content": "x"}], "tool_choice": "none",
                                "tools": [{"type": "function", "function": {"name": "f"}}]})",
                                   &ReadChatCompletionRequest);
  EXPECT_EQ(request.PromptOptions().tools, nullptr);
  EXPECT_EQ(request.prompt.tools.size(), 1u);
}

TEST(ChatRequestTest, PrefilledAnswerIsContinuedOnlyOnRequest) {
  const std::string messages =
      R"({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "So"}])";
  const auto answered = ReadRequest(messages + "}", &ReadChatCompletionRequest);
  EXPECT_TRUE(answered.prompt.add_generation_prompt);
  EXPECT_FALSE(answered.prompt.continue_final_message);
  for (const char* more : {R"(, "continue_final_message": true})", R"(, "continue_final_message": true,
                                                   "add_generation_prompt": false})"}) {
    const auto continued = ReadRequest(messages + more, &ReadChatCompletionRequest);
    EXPECT_FALSE(continued.PromptOptions().add_generation_prompt);
    EXPECT_TRUE(continued.PromptOptions().continue_final_message);
  }
}

// What the client's library makes of a reply and sends back.
TEST(ChatRequestTest, RepliesMayBeSentBack) {
  const auto request = ReadRequest(
      R"({"messages": [{"role": "user", "content": "x"},
          {"role": "assistant", "content": null, "refusal": null, "annotations": [], "audio": null,
           "function_call": null, "tool_calls": [
             {"id": "b", "type": "function", "index": 0, "function": {"name": "f", "arguments": "{\"a\": 1}"}},
             {"id": "c", "type": "function", "function": {"name": "g", "arguments": ""}}]},
          {"role": "tool", "tool_call_id": "c", "content": "of c"},
          {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "of b"}]},
          {"role": "assistant", "content": "Done", "reasoning_content": "hm"}]})",
      &ReadChatCompletionRequest);
  ASSERT_EQ(request.prompt.messages.size(), 5u);
  const ChatMessage& called = request.prompt.messages[1];
  ASSERT_EQ(called.tool_calls.size(), 2u);
  EXPECT_EQ(called.tool_calls[0], (ToolCall{"f", {{"a", 1}}}));
  EXPECT_EQ(called.tool_calls[1], (ToolCall{"g", Json::object()}));
  // The model sees no ids: results stand in the order of the calls.
  EXPECT_EQ(request.prompt.messages[2].content, "of b");
  EXPECT_EQ(request.prompt.messages[3].content, "of c");
  EXPECT_EQ(request.prompt.messages[4].content, "Done");
}

TEST(ChatRequestTest, ResultsWithoutIdsKeepTheirOrder) {
  const auto request = ReadRequest(
      R"({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]},
                       {"role": "tool", "content": "1"}, {"role": "tool", "content": "2"}]})",
      &ReadChatCompletionRequest);
  EXPECT_EQ(request.prompt.messages[1].content, "1");
  EXPECT_EQ(request.prompt.messages[2].content, "2");
}

TEST(ChatRequestTest, FormsOfTheText) {
  const auto constraint = [](const std::string& member) {
    return ReadRequest(R"({"messages": [{"role": "user", "content": "x"}], )" + member + "}",
                       &ReadChatCompletionRequest)
        .constraint;
  };
  using Kind = OutputConstraint::Kind;
  EXPECT_EQ(constraint(R"("response_format": {"type": "text"})").kind, Kind::kNone);
  EXPECT_EQ(constraint(R"("response_format": {"type": "json_object"})").kind, Kind::kJsonObject);
  EXPECT_EQ(constraint(R"("guided_json": "{\"type\": \"array\"}")").schema, Json({{"type", "array"}}));
  EXPECT_EQ(constraint(R"("guided_json": {"type": "array"})").kind, Kind::kJsonSchema);
  EXPECT_EQ(constraint(R"("guided_regex": "[a-z]+")").text, "[a-z]+");
  EXPECT_EQ(constraint(R"("guided_grammar": "root ::= \"a\"")").kind, Kind::kGrammar);
  EXPECT_EQ(constraint(R"("guided_choice": ["yes", "no"])").choices, (std::vector<std::string>{"yes", "no"}));
  // Its text form, since the schema itself may hold big integers.
  const auto big = constraint(R"("guided_json": {"maximum": 100000000000000000000})");
  EXPECT_EQ(PythonJson(big.schema), R"({"maximum": 100000000000000000000})");
}

TEST(CompletionRequestTest, TheFourKindsOfPrompts) {
  const auto prompts = [](const std::string& prompt) {
    return ReadRequest(R"({"prompt": )" + prompt + "}", &ReadCompletionRequest).prompts;
  };
  using Prompts = std::vector<PromptInput>;
  using Tokens = std::vector<int32_t>;
  EXPECT_EQ(prompts(R"("a")"), Prompts{"a"});
  EXPECT_EQ(prompts(R"("")"), Prompts{""});
  EXPECT_EQ(prompts(R"(["a", ""])"), (Prompts{"a", ""}));
  EXPECT_EQ(prompts("[1, 2147483647]"), (Prompts{Tokens{1, 2147483647}}));
  EXPECT_EQ(prompts("[[1, 2], [0]]"), (Prompts{Tokens{1, 2}, Tokens{0}}));
}

// The request of EleutherAI's evaluation harness for scores.
TEST(CompletionRequestTest, Scoring) {
  const auto request = ReadRequest(
      R"({"model": "m", "prompt": [[5, 6, 7]], "max_tokens": 1, "logprobs": 1, "echo": true, "temperature": 0,
          "seed": 1234})",
      &ReadCompletionRequest);
  EXPECT_TRUE(request.echo);
  EXPECT_EQ(request.logprobs, 1);
  EXPECT_EQ(request.max_tokens, 1);
  EXPECT_EQ(request.sampling.ApplyTo({}).temperature, 0);
  const auto plain = ReadRequest(R"({"prompt": "a", "best_of": 1, "suffix": "b"})", &ReadCompletionRequest);
  EXPECT_EQ(plain.max_tokens, 16);
  EXPECT_EQ(plain.suffix, "b");
  EXPECT_FALSE(plain.logprobs.has_value());
  EXPECT_EQ(ReadRequest(R"({"prompt": "a", "max_tokens": 0})", &ReadCompletionRequest).max_tokens, 0);
}

TEST(TextRequestsTest, SmallerEndpoints) {
  const auto embedding = ReadRequest(R"({"input": ["a", "b"], "encoding_format": "base64", "dimensions": 8,
                                  "user": "u"})",
                                     &ReadEmbeddingRequest);
  EXPECT_EQ(embedding.inputs.size(), 2u);
  EXPECT_TRUE(embedding.as_base64);
  EXPECT_EQ(embedding.dimensions, 8);
  EXPECT_EQ(embedding.ignored, std::vector<std::string>{"user"});
  EXPECT_FALSE(ReadRequest(R"({"input": [1]})", &ReadEmbeddingRequest).as_base64);

  EXPECT_EQ(ReadRequest(R"({"prompt": "a"})", &ReadTokenizeRequest).text, "a");
  EXPECT_TRUE(ReadRequest(R"({"prompt": ""})", &ReadTokenizeRequest).add_special_tokens);
  EXPECT_EQ(ReadRequest(R"({"content": "b", "add_special_tokens": false})", &ReadTokenizeRequest).text, "b");
  EXPECT_EQ(ReadRequest(R"({"tokens": [3, 1]})", &ReadDetokenizeRequest).tokens,
            (std::vector<int32_t>{3, 1}));
  EXPECT_TRUE(ReadRequest(R"({"tokens": []})", &ReadDetokenizeRequest).tokens.empty());
  const auto apply = ReadRequest(R"({"messages": [{"role": "user", "content": "a"}], "tools": [
                               {"type": "function", "function": {"name": "f"}}]})",
                                 &ReadApplyTemplateRequest);
  EXPECT_EQ(apply.prompt.messages.size(), 1u);
  EXPECT_EQ(apply.prompt.tool_names.size(), 1u);
}

}  // namespace
}  // namespace qwen25
