// Requests that are wrong in one way each, to the field and the message that say how.
#include <gtest/gtest.h>

#include <string>

#include "base/test_util.h"
#include "serve/api/chat_request.h"
#include "serve/api/completion_request.h"
#include "serve/api/request_test_util.h"
#include "serve/api/text_requests.h"

namespace qwen25 {
namespace {

using Case = RefusedCase;

// Bodies that are no request of any kind.
TEST(MalformedRequestsTest, Bodies) {
  const Case cases[] = {
      {"", "", "not valid JSON at byte 1"},
      {"{", "", "not valid JSON at byte 2"},
      {"[]", "", "is an array of 0 values, expected a JSON object"},
      {"\"x\"", "", "is a string of 1 bytes, expected a JSON object"},
      {"{} {}", "", "not valid JSON at byte"},
      {R"({"a": NaN})", "", "not valid JSON"},
      {R"({"a": 01})", "", "not valid JSON"},
      {R"({"a": 1,})", "", "not valid JSON"},
      {R"({"a": 1e999})", "", "beyond the range of float64"},
      {R"({"a": 1, "b": 2, "a": 3})", "", "the key \"a\" comes twice"},
      {R"({"a": {"x": 1, "\u0078": 2}})", "", "the key \"x\" comes twice"},
      {"{\"a\": \"\xC3\"}", "", "is not UTF-8"},
      {R"({"a": "\ud800"})", "", "not valid JSON"},
      {"{\"a\": \"line\nbreak\"}", "", "not valid JSON"},
      {"{\"a\": " + std::string(64, '[') + std::string(64, ']') + "}", "", "nested deeper than 64 levels"},
      {std::string(1'000'000, '['), "", "nested deeper than 64 levels"},
  };
  for (const Case& c : cases) ExpectRefused(c, &ReadChatCompletionRequest);
}

std::string Chat(const std::string& members) {
  return R"({"messages": [{"role": "user", "content": "Hi"}], )" + members + "}";
}
std::string Repeated(std::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}
std::string Messages(const std::string& messages) {
  return R"({"messages": )" + messages + "}";
}
std::string Tools(const std::string& members) {
  return Chat(R"("tools": [{"type": "function", "function": {"name": "f"}}], )" + members);
}

TEST(MalformedRequestsTest, Messages) {
  const Case cases[] = {
      {"{}", "messages", "messages is missing, expected an array of at least one message"},
      {Messages("null"), "messages", "is null"},
      {Messages("[]"), "messages", "is an array of 0 values"},
      {Messages("{}"), "messages", "is an object"},
      {Messages("[7]"), "messages[0]", "messages[0] is 7, expected an object"},
      {Messages(R"([{"content": "x"}])"), "messages[0].role", "is missing, expected one of system"},
      {Messages(R"([{"role": "robot", "content": "x"}])"), "messages[0].role", "is \"robot\""},
      {Messages(R"([{"role": 1, "content": "x"}])"), "messages[0].role", "is 1"},
      {Messages(R"([{"role": "user"}])"), "messages[0].content", "is missing"},
      {Messages(R"([{"role": "user", "content": null}])"), "messages[0].content", "is null"},
      {Messages(R"([{"role": "user", "content": 5}])"), "messages[0].content", "is 5, expected a string"},
      {Messages(R"([{"role": "user", "content": "x"}, {"role": "user", "content": {}}])"),
       "messages[1].content", "is an object"},
      {Messages(R"([{"role": "user", "content": ["x"]}])"), "messages[0].content[0]", "expected an object"},
      {Messages(R"([{"role": "user", "content": [{"type": "text"}]}])"), "messages[0].content[0].text",
       "is missing"},
      {Messages(R"([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}])"),
       "messages[0].content[1].type", "this model reads text only"},
      {Messages(R"([{"role": "user", "content": [{"text": "a"}]}])"), "messages[0].content[0].type",
       "is missing"},
      {Messages(R"([{"role": "user", "content": [{"type": "text", "text": "a", "b": 1}]}])"),
       "messages[0].content[0].b", "is not a field that this server knows"},
      {Messages(R"([{"role": "user", "content": "x", "mood": "calm"}])"), "messages[0].mood",
       "is not a field"},
  };
  for (const Case& c : cases) ExpectRefused(c, &ReadChatCompletionRequest);
}

TEST(MalformedRequestsTest, CallsInMessages) {
  const std::string call = R"([{"role": "assistant", "content": null, "tool_calls": [)";
  const std::string calls = R"([{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [)"
                            R"({"id": "a", "type": "function", "function": {"name": "f"}}]}, )";
  const Case cases[] = {
      {Messages(R"([{"role": "user", "content": "x", "tool_call_id": "a"}])"), "messages[0].tool_call_id",
       "is not a field"},
      {Messages(R"([{"role": "user", "content": "x", "tool_calls": [{}]}])"), "messages[0].tool_calls",
       "role \"user\""},
      {Messages(R"([{"role": "assistant", "tool_calls": {}}])"), "messages[0].tool_calls",
       "expected an array of at most 128 calls"},
      {Messages(call + "7" + Repeated(",7", 128) + "]}]"), "messages[0].tool_calls",
       "is an array of 129 values, expected an array of at most 128"},
      {Messages(call + "7]}]"), "messages[0].tool_calls[0]", "is 7"},
      {Messages(call + R"({"type": "custom"}]}])"), "messages[0].tool_calls[0].type", "\"custom\""},
      {Messages(call + "{}]}]"), "messages[0].tool_calls[0].function", "is missing"},
      {Messages(call + R"({"function": {"name": ""}}]}])"), "messages[0].tool_calls[0].function.name",
       "must be a name"},
      {Messages(call + R"({"function": {"name": "f", "arguments": 3}}]}])"),
       "messages[0].tool_calls[0].function.arguments", "is 3, expected a JSON object"},
      {Messages(call + R"({"function": {"name": "f", "arguments": "[1]"}}]}])"),
       "messages[0].tool_calls[0].function.arguments", "is an array of 1 values"},
      {Messages(call + R"({"function": {"name": "f", "arguments": "{\"a\": "}}]}])"),
       "messages[0].tool_calls[0].function.arguments", "not valid JSON at byte 7"},
      {Messages(call + R"({"function": {"name": "f", "arguments": "{\"a\":1,\"a\":2}"}}]}])"),
       "messages[0].tool_calls[0].function.arguments", "comes twice"},
      {Messages(call +
                R"({"id": "a", "function": {"name": "f"}}, {"id": "a", "function": {"name": "g"}}]}])"),
       "messages[0].tool_calls[1].id", "earlier call"},
      {Messages(calls + R"({"role": "tool", "content": "1", "tool_call_id": "b"}])"),
       "messages[2].tool_call_id", "the id of no call"},
      {Messages(calls + R"({"role": "tool", "content": "1", "tool_call_id": "a"},
                           {"role": "tool", "content": "2", "tool_call_id": "a"}])"),
       "messages[3].tool_call_id", "an earlier message has the result of"},
      {Messages(R"([{"role": "assistant", "content": "x", "function_call": {}}])"),
       "messages[0].function_call", "use tool_calls"},
  };
  for (const Case& c : cases) ExpectRefused(c, &ReadChatCompletionRequest);
}

TEST(MalformedRequestsTest, ToolsAndTheirChoice) {
  const Case cases[] = {
      {Chat(R"("tools": {})"), "tools", "expected an array of at most 128 tools"},
      {Chat(R"("tools": [{}])"), "tools[0].type", "is missing"},
      {Chat(R"("tools": [{"type": "function"}])"), "tools[0].function", "is missing"},
      {Chat(R"("tools": [{"type": "function", "function": {"name": "a b"}}])"), "tools[0].function.name",
       "must be a name"},
      {Chat(R"("tools": [{"type": "function", "function": {"name": "f", "parameters": []}}])"),
       "tools[0].function.parameters", "expected an object"},
      {Chat(R"("tools": [{"type": "function", "function": {"name": "f", "color": 1}}])"),
       "tools[0].function.color", "is not a field"},
      {Chat(R"("tools": [{"type": "function", "function": {"name": "f"}},
                         {"type": "function", "function": {"name": "f"}}])"),
       "tools[1].function.name", "an earlier tool"},
      {Chat(R"("tool_choice": "required")"), "tool_choice", "the request has no tools"},
      {Tools(R"("tool_choice": "maybe")"), "tool_choice", "expected none, auto, required"},
      {Tools(R"("tool_choice": {"type": "function"})"), "tool_choice.function", "is missing"},
      {Tools(R"("tool_choice": {"type": "function", "function": {"name": "g"}})"),
       "tool_choice.function.name", "none of the request's tools"},
      {Tools(R"("tool_choice": {"type": "allowed_tools"})"), "tool_choice.type", "\"allowed_tools\""},
      {Tools(R"("parallel_tool_calls": 1)"), "parallel_tool_calls", "expected true or false"},
  };
  for (const Case& c : cases) ExpectRefused(c, &ReadChatCompletionRequest);
}

TEST(MalformedRequestsTest, Sampling) {
  const Case cases[] = {
      {Chat(R"("temperature": 2.5)"), "temperature", "is 2.5, expected a number from 0 to 2"},
      {Chat(R"("temperature": "hot")"), "temperature", "is a string of 3 bytes"},
      {Chat(R"("temperature": -0.1)"), "temperature", "is -0.1"},
      {Chat(R"("top_p": 0)"), "top_p", "expected a number above 0 and at most 1"},
      {Chat(R"("top_p": 1.01)"), "top_p", "expected a number from 0 to 1"},
      {Chat(R"("min_p": 2)"), "min_p", "is 2"},
      {Chat(R"("repetition_penalty": 0)"), "repetition_penalty", "above 0 and at most 100"},
      {Chat(R"("top_k": -2)"), "top_k", "is -2"},
      {Chat(R"("top_k": 1.5)"), "top_k", "is 1.5, expected an integer"},
      {Chat(R"("seed": 99999999999999999999999)"), "seed", "is 99999999999999999999999"},
      {Chat(R"("seed": 9223372036854775808)"), "seed", "is 9223372036854775808"},
      {Chat(R"("presence_penalty": 3)"), "presence_penalty", "from -2 to 2"},
      {Chat(R"("frequency_penalty": -2.1)"), "frequency_penalty", "from -2 to 2"},
      {Chat(R"("n": 0)"), "n", "from 1 to 16"},
      {Chat(R"("n": 17)"), "n", "from 1 to 16"},
      {Chat(R"("logit_bias": [])"), "logit_bias", "an object of token ids"},
      {Chat(R"("logit_bias": {"the": 1})"), "logit_bias.the", "names no token"},
      {Chat(R"("logit_bias": {"-1": 1})"), "logit_bias.-1", "names no token"},
      {Chat(R"("logit_bias": {"05": 1})"), "logit_bias.05", "names no token"},
      {Chat(R"("logit_bias": {"5": 101})"), "logit_bias.5", "from -100 to 100"},
      {Chat(R"("logit_bias": {"5": null})"), "logit_bias.5", "is null"},
      {Chat(R"("stop": 5)"), "stop", "a string or an array of strings"},
      {Chat(R"("stop": "")"), "stop", "is a string of 0 bytes"},
      {Chat(R"("stop": ["a", 1])"), "stop[1]", "is 1"},
      {Chat(R"("stop": ["1","2","3","4","5","6","7","8","9","a","b","c","d","e","f","g","h"])"), "stop",
       "has 17 texts, at most 16"},
      {Chat(R"("max_tokens": 0)"), "max_tokens", "from 1 to"},
      {Chat(R"("max_completion_tokens": "10")"), "max_completion_tokens", "is a string of 2 bytes"},
      {Chat(R"("max_tokens": 5, "max_completion_tokens": 6)"), "max_completion_tokens", "two names of one"},
      {Chat(R"("top_logprobs": 21, "logprobs": true)"), "top_logprobs", "from 0 to 20"},
      {Chat(R"("top_logprobs": 5)"), "top_logprobs", "needs \"logprobs\": true"},
      {Chat(R"("logprobs": 5)"), "logprobs", "expected true or false"},
  };
  for (const Case& c : cases) ExpectRefused(c, &ReadChatCompletionRequest);
}

TEST(MalformedRequestsTest, FormsOfTheText) {
  const Case cases[] = {
      {Chat(R"("response_format": "json")"), "response_format", "expected an object"},
      {Chat(R"("response_format": {})"), "response_format.type", "is missing"},
      {Chat(R"("response_format": {"type": "xml"})"), "response_format.type", "\"xml\""},
      {Chat(R"("response_format": {"type": "json_schema"})"), "response_format.json_schema", "is missing"},
      {Chat(R"("response_format": {"type": "json_schema", "json_schema": {"schema": {}}})"),
       "response_format.json_schema.name", "is missing"},
      {Chat(R"("response_format": {"type": "json_schema", "json_schema": {"name": "x"}})"),
       "response_format.json_schema.schema", "is missing"},
      {Chat(
           R"("response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}, "y": 1}})"),
       "response_format.json_schema.y", "is not a field"},
      {Chat(R"("guided_json": 4)"), "guided_json", "a JSON Schema, or a string"},
      {Chat(R"("guided_json": "{")"), "guided_json", "not valid JSON"},
      {Chat(R"("guided_regex": "")"), "guided_regex", "a string of 1 to"},
      {Chat(R"("guided_choice": [])"), "guided_choice", "an array of 1 to 1024 strings"},
      {Chat(R"("guided_choice": ["a", ""])"), "guided_choice", "none empty"},
      {Chat(R"("guided_regex": "a", "guided_json": {})"), "guided_regex",
       "guided_json and guided_regex both"},
      {Chat(R"("response_format": {"type": "json_object"}, "guided_grammar": "x")"), "guided_grammar",
       "response_format and guided_grammar both"},
  };
  for (const Case& c : cases) ExpectRefused(c, &ReadChatCompletionRequest);
}

TEST(MalformedRequestsTest, OtherMembersOfAChat) {
  const Case cases[] = {
      {Chat(R"("model": 5)"), "model", "is 5, expected a string of 0 to 256 bytes"},
      {Chat("\"model\": \"" + std::string(257, 'm') + "\""), "model", "is a string of 257 bytes"},
      {Chat(R"("stream": "yes")"), "stream", "expected true or false"},
      {Chat(R"("stream_options": {"include_usage": true})"), "stream_options", "needs \"stream\": true"},
      {Chat(R"("stream": true, "stream_options": {"include_usage": 1})"), "stream_options.include_usage",
       "is 1"},
      {Chat(R"("stream": true, "stream_options": {"usage": true})"), "stream_options.usage",
       "is not a field"},
      {Chat(R"("continue_final_message": true)"), "continue_final_message", "role \"assistant\""},
      {Messages(R"([{"role": "assistant", "content": "So"}], "continue_final_message": true,
                   "add_generation_prompt": true)"),
       "add_generation_prompt", "set one of them only"},
      {Chat(R"("chat_template_kwargs": [])"), "chat_template_kwargs", "expected an object"},
      {Chat(R"("chat_template_kwargs": {"messages": []})"), "chat_template_kwargs.messages",
       "would replace what the server sets"},
      {Chat(R"("memory": true)"), "memory", "expected an object"},
      {Chat(R"("memory": {"namespace": ""})"), "memory.namespace", "a string of 1 to 128 bytes"},
      {Chat(R"("memory": {"recall": "yes"})"), "memory.recall", "true or false"},
      {Chat(R"("memory": {"notes_as": "song"})"), "memory.notes_as", "one of text, blocks"},
      {Chat(R"("memory": {"note": 1})"), "memory.note", "is not a field"},
      {Chat(R"("priority": 5000)"), "priority", "from -1000 to 1000"},
      {Chat(R"("deadline_ms": 0)"), "deadline_ms", "from 1 to 86400000"},
      {Chat(R"("routing": 5)"), "routing", "is 5"},
      {Chat(R"("speculation": "on")"), "speculation", "true or false"},
      {Chat(R"("metadata": "x")"), "metadata", "expected an object"},
      {Chat(R"("store": "no")"), "store", "expected true or false"},
      {Chat(R"("functions": [])"), "functions", "use tools"},
      {Chat(R"("audio": {})"), "audio", "writes text only"},
      {Chat(R"("modalities": ["text", "audio"])"), "modalities", "writes text only"},
      {Chat(R"("temprature": 1)"), "temprature", "is not a field that this server knows"},
      {Chat(R"("best_of": 1)"), "best_of", "is not a field"},
      {Chat(R"("": 1)"), "", "is not a field"},
  };
  for (const Case& c : cases) ExpectRefused(c, &ReadChatCompletionRequest);
}

TEST(MalformedRequestsTest, Completions) {
  const auto prompt = [](const std::string& members) { return R"({"prompt": "Once", )" + members + "}"; };
  const Case cases[] = {
      {"{}", "prompt", "is missing"},
      {R"({"prompt": []})", "prompt", "is an array of 0 values"},
      {R"({"prompt": 5})", "prompt", "is 5"},
      {R"({"prompt": [1, "a"]})", "prompt[1]", "expected a token id"},
      {R"({"prompt": [-1]})", "prompt[0]", "is -1"},
      {R"({"prompt": [2147483648]})", "prompt[0]", "from 0 to 2147483647"},
      {R"({"prompt": ["a", [1]]})", "prompt[1]", "is an array of 1 values"},
      {R"({"prompt": [[1], []]})", "prompt[1]", "is an empty array"},
      {R"({"prompt": [[1], [2, 0.5]]})", "prompt[1][1]", "is 0.5"},
      {R"({"prompt": [{}]})", "prompt[0]", "is an object"},
      {prompt(R"("max_tokens": -1)"), "max_tokens", "is -1"},
      {prompt(R"("logprobs": 21)"), "logprobs", "from 0 to 20"},
      {prompt(R"("logprobs": true)"), "logprobs", "is true"},
      {prompt(R"("best_of": 2)"), "best_of", "returns every answer"},
      {prompt(R"("echo": 1)"), "echo", "true or false"},
      {prompt(R"("suffix": "end", "echo": true)"), "suffix", "does not go together with echo"},
      {R"({"prompt": [1], "suffix": "end"})", "suffix", "needs prompts that are texts"},
      {prompt(R"("messages": [])"), "messages", "is not a field"},
  };
  for (const Case& c : cases) ExpectRefused(c, &ReadCompletionRequest);
}

TEST(MalformedRequestsTest, SmallerEndpoints) {
  const Case embeddings[] = {
      {"{}", "input", "is missing"},
      {R"({"input": ""})", "input", "is an empty string"},
      {R"({"input": ["a", ""]})", "input[1]", "is an empty string"},
      {R"({"input": "a", "encoding_format": "int8"})", "encoding_format", "one of float, base64"},
      {R"({"input": "a", "dimensions": 0})", "dimensions", "from 1 to 65536"},
      {R"({"input": "a", "temperature": 0})", "temperature", "is not a field"},
  };
  for (const Case& c : embeddings) ExpectRefused(c, &ReadEmbeddingRequest);
  const Case rerank[] = {
      {R"({"documents": ["a"]})", "query", "is missing"},
      {R"({"query": "", "documents": ["a"]})", "query", "at least 1 bytes"},
      {R"({"query": "a"})", "documents", "is missing"},
      {R"({"query": "a", "documents": []})", "documents", "1 to 2047 documents"},
      {R"({"query": "a", "documents": ["a", 5]})", "documents[1]", "is 5"},
      {R"({"query": "a", "documents": [""]})", "documents[0]", "has no text"},
      {R"({"query": "a", "documents": [{"text": 1}]})", "documents[0].text", "is 1"},
      {R"({"query": "a", "documents": [{"title": "a"}]})", "documents[0].title", "is not a field"},
      {R"({"query": "a", "documents": ["a"], "top_n": 0})", "top_n", "is 0"},
      {R"({"query": "a", "documents": ["a"], "rank_fields": []})", "rank_fields", "is not a field"},
  };
  for (const Case& c : rerank) ExpectRefused(c, &ReadRerankRequest);
  const Case tokenize[] = {
      {"{}", "prompt", "is missing"},
      {R"({"prompt": "a", "content": "a"})", "content", "two names of one text"},
      {R"({"prompt": ["a"]})", "prompt", "expected a string"},
      {R"({"prompt": "a", "add_special_tokens": 0})", "add_special_tokens", "true or false"},
  };
  for (const Case& c : tokenize) ExpectRefused(c, &ReadTokenizeRequest);
  const Case detokenize[] = {
      {"{}", "tokens", "is missing"},
      {R"({"tokens": "a"})", "tokens", "an array of token ids"},
      {R"({"tokens": [1, null]})", "tokens[1]", "is null"},
  };
  for (const Case& c : detokenize) ExpectRefused(c, &ReadDetokenizeRequest);
  const Case apply[] = {
      {R"({"messages": [{"role": "user", "content": 1}]})", "messages[0].content", "is 1"},
      {Chat(R"("temperature": 1)"), "temperature", "is not a field"},
  };
  for (const Case& c : apply) ExpectRefused(c, &ReadApplyTemplateRequest);
}

}  // namespace
}  // namespace qwen25
