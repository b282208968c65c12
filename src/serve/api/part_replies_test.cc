// Replies of /v1/messages, /v1/responses and /infill.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string>
#include <vector>

#include "base/test_util.h"
#include "serve/api/infill_reply.h"
#include "serve/api/message_reply.h"
#include "serve/api/response_reply.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

const ReplyHead kHead = {.id = "x_1", .created = 17, .model = "m"};
const TokenUsage kUsage = {.prompt_tokens = 9, .completion_tokens = 4, .cached_tokens = 2};
const std::vector<AnswerPiece> kTextAndCall = {
    {.content = "Hi"},
    {.call = ToolCallDelta{.index = 0, .id = "call_1", .name = "f"}},
    {.call = ToolCallDelta{.index = 0, .arguments = "{\"a\""}},
    {.call = ToolCallDelta{.index = 0, .arguments = ": 1}"}},
};
const AnswerEnd kCalls = {.reason = FinishReason::kStopToken, .has_calls = true};

ReplyChoice Joined(const std::vector<AnswerPiece>& pieces, const AnswerEnd& end) {
  ReplyChoice choice = {.end = end};
  AppendPieces(pieces, choice.message);
  return choice;
}

std::vector<Json> Stream(ReplyWriter& writer, const std::vector<AnswerPiece>& pieces, const AnswerEnd& end) {
  std::vector<Json> all = writer.Begin(0);
  const auto append = [&](std::vector<Json> events) {
    for (Json& event : events) all.push_back(std::move(event));
  };
  append(writer.Next(0, pieces, {}));
  append(writer.Finish(0, end));
  append(writer.End(kUsage));
  return all;
}

std::vector<std::string> Types(const std::vector<Json>& events) {
  std::vector<std::string> types;
  for (const Json& event : events) types.push_back(event["type"]);
  return types;
}

TEST(MessageReplyTest, Whole) {
  MessageReplyWriter writer(kHead, 9);
  const ReplyChoice choice = Joined(kTextAndCall, kCalls);
  EXPECT_EQ(DumpJson(writer.Whole({&choice, 1}, kUsage)),
            R"({"id":"x_1","type":"message","role":"assistant","model":"m","content":[)"
            R"({"type":"text","text":"Hi"},{"type":"tool_use","id":"call_1","name":"f","input":{"a":1}}],)"
            R"("stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":7,)"
            R"("cache_creation_input_tokens":0,"cache_read_input_tokens":2,"output_tokens":4}})");
}

TEST(MessageReplyTest, ArgumentsThatNoReaderTakesAreText) {
  MessageReplyWriter writer(kHead, 9);
  const ReplyChoice choice = {.message = {.tool_calls = {{"call_1", "f", "{\"a\": 1e999}"}}}, .end = kCalls};
  EXPECT_EQ(writer.Whole({&choice, 1}, kUsage)["content"],
            Json::parse(R"([{"type": "text", "text": "{\"a\": 1e999}"}])"));
}

TEST(MessageReplyTest, StopReasons) {
  const auto reason = [](const AnswerEnd& end) {
    const ReplyChoice choice = {.end = end};
    const Json reply = MessageReplyWriter(kHead, 9).Whole({&choice, 1}, kUsage);
    return reply["stop_reason"].get<std::string>() + " " + reply["stop_sequence"].dump();
  };
  EXPECT_EQ(reason({FinishReason::kStopToken}), "end_turn null");
  EXPECT_EQ(reason({FinishReason::kStopText, false, "END"}), "stop_sequence \"END\"");
  EXPECT_EQ(reason({FinishReason::kLength}), "max_tokens null");
  EXPECT_EQ(reason({FinishReason::kCancelled}), "max_tokens null");
  EXPECT_EQ(reason({FinishReason::kContextFull}), "model_context_window_exceeded null");
}

TEST(MessageReplyTest, Events) {
  MessageReplyWriter writer(kHead, 9);
  const std::vector<Json> events = Stream(writer, kTextAndCall, kCalls);
  EXPECT_EQ(Types(events),
            (std::vector<std::string>{"message_start", "ping", "content_block_start", "content_block_delta",
                                      "content_block_stop", "content_block_start", "content_block_delta",
                                      "content_block_delta", "content_block_stop", "message_delta",
                                      "message_stop"}));
  EXPECT_EQ(events[0]["message"]["usage"]["input_tokens"], 9);
  EXPECT_EQ(events[0]["message"]["stop_reason"], nullptr);
  EXPECT_EQ(DumpJson(events[2]),
            R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})");
  EXPECT_EQ(DumpJson(events[3]),
            R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}})");
  EXPECT_EQ(DumpJson(events[5]), R"({"type":"content_block_start","index":1,"content_block":)"
                                 R"({"type":"tool_use","id":"call_1","name":"f","input":{}}})");
  EXPECT_EQ(DumpJson(events[6]), R"({"type":"content_block_delta","index":1,"delta":)"
                                 R"({"type":"input_json_delta","partial_json":"{\"a\""}})");
  EXPECT_EQ(DumpJson(events[9]),
            R"({"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":)"
            R"({"input_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":2,)"
            R"("output_tokens":4}})");
  EXPECT_EQ(writer.Frame(events[1]), "event: ping\ndata: {\"type\":\"ping\"}\n\n");
  EXPECT_EQ(writer.Closing(), "");
  EXPECT_EQ(writer.Fail(InvalidRequest("", "No."))[0]["type"], "error");
}

TEST(ResponseReplyTest, Whole) {
  ResponseReplyWriter writer(kHead, {{"tools", Json::array()}});
  ReplyChoice choice = Joined(kTextAndCall, kCalls);
  choice.logprobs = {{{.id = 1, .bytes = "Hi", .logprob = -0.5f}}};
  const Json reply = writer.Whole({&choice, 1}, kUsage);
  EXPECT_EQ(DumpJson(reply["output"]),
            R"([{"id":"msg_1_0","type":"message","status":"completed","role":"assistant","content":[)"
            R"({"type":"output_text","text":"Hi","annotations":[],"logprobs":[{"token":"Hi","logprob":-0.5,)"
            R"("bytes":[72,105],"top_logprobs":[]}]}]},{"id":"fc_1_1","type":"function_call",)"
            R"("status":"completed","call_id":"call_1","name":"f","arguments":"{\"a\": 1}"}])");
  EXPECT_EQ(DumpJson(reply["usage"]),
            R"({"input_tokens":9,"input_tokens_details":{"cached_tokens":2,"cache_write_tokens":0},)"
            R"("output_tokens":4,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":13})");
  EXPECT_EQ(reply["status"], "completed");
  EXPECT_EQ(reply["incomplete_details"], nullptr);
  EXPECT_EQ(reply["tools"], Json::array());
}

TEST(ResponseReplyTest, Events) {
  ResponseReplyWriter writer(kHead, Json::object());
  const std::vector<Json> events = Stream(writer, kTextAndCall, kCalls);
  EXPECT_EQ(Types(events),
            (std::vector<std::string>{
                "response.created", "response.in_progress", "response.output_item.added",
                "response.content_part.added", "response.output_text.delta", "response.output_text.done",
                "response.content_part.done", "response.output_item.done", "response.output_item.added",
                "response.function_call_arguments.delta", "response.function_call_arguments.delta",
                "response.function_call_arguments.done", "response.output_item.done", "response.completed"}));
  for (size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i]["sequence_number"], i);
  EXPECT_EQ(DumpJson(events[4]),
            R"({"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1_0",)"
            R"("output_index":0,"content_index":0,"delta":"Hi","logprobs":[]})");
  EXPECT_EQ(DumpJson(events[11]),
            R"({"type":"response.function_call_arguments.done","sequence_number":11,"item_id":"fc_1_1",)"
            R"("output_index":1,"name":"f","arguments":"{\"a\": 1}"})");
  EXPECT_EQ(events[2]["item"]["content"], Json::array());
  EXPECT_EQ(events[2]["item"]["status"], "in_progress");
  EXPECT_EQ(events[8]["item"]["arguments"], "");
  // The last event has what the reply as a whole has.
  const ReplyChoice choice = Joined(kTextAndCall, kCalls);
  EXPECT_EQ(events.back()["response"],
            ResponseReplyWriter(kHead, Json::object()).Whole({&choice, 1}, kUsage));
}

TEST(ResponseReplyTest, WhatALimitCutsIsIncomplete) {
  ResponseReplyWriter writer(kHead, Json::object());
  const std::vector<Json> events = Stream(writer, {{.content = "Hi"}}, {FinishReason::kLength});
  const Json& last = events.back();
  EXPECT_EQ(last["type"], "response.incomplete");
  EXPECT_EQ(last["response"]["status"], "incomplete");
  EXPECT_EQ(last["response"]["incomplete_details"], Json({{"reason", "max_output_tokens"}}));
  EXPECT_EQ(last["response"]["output"][0]["status"], "incomplete");
}

TEST(ResponseReplyTest, AFailureHasWhatThereIs) {
  ResponseReplyWriter writer(kHead, Json::object());
  writer.Next(0, std::vector<AnswerPiece>{{.content = "Hi"}}, {});
  const std::vector<Json> events = writer.Fail(InternalFailure("req_1"));
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0]["type"], "response.failed");
  EXPECT_EQ(events[0]["response"]["error"]["code"], "server_error");
  EXPECT_EQ(events[0]["response"]["output"][0]["content"][0]["text"], "Hi");
}

TEST(ResponseReplyTest, EveryLogprobIsGivenOnce) {
  ResponseReplyWriter writer(kHead, Json::object());
  const auto token = [](std::string bytes) {
    return std::vector<TokenLogprob>{{.bytes = std::move(bytes), .logprob = -1}};
  };
  std::vector<Json> events = writer.Next(0, {}, token("<"));
  const auto append = [&](std::vector<Json> more) {
    for (Json& event : more) events.push_back(std::move(event));
  };
  append(writer.Next(0, std::vector<AnswerPiece>{{.content = "<a"}}, token("a")));
  append(writer.Next(0, std::vector<AnswerPiece>{{.content = "\xC3"}}, token("\xC3")));
  append(writer.Finish(0, {}));
  std::vector<std::string> deltas;
  for (const Json& event : events) {
    if (event["type"] != "response.output_text.delta") continue;
    for (const Json& logprob : event["logprobs"]) deltas.push_back(logprob["token"]);
  }
  EXPECT_EQ(deltas, (std::vector<std::string>{"<", "a", "bytes:\\xc3"}));
  const Json& done = events[events.size() - 3];
  EXPECT_EQ(done["text"], "<a\xEF\xBF\xBD");
  EXPECT_EQ(done["logprobs"].size(), 3u);
}

// However an answer is cut, the deltas of each part are the part of the whole reply, and each part begins and
// ends once, in order.
TEST(PartRepliesTest, DeltasJoinToTheWholeReply) {
  EXPECT_TRUE(rc::check("stream and reply agree", [] {
    const std::vector<std::string> fragments = {
        "text", "\n", "\xC3\xA9", "\xE2\x82",
        "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"\xC3\xA9\"}}</tool_call>"};
    std::string text;
    for (const auto& part : *rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(fragments)))
      text += part;
    ToolCallParser parser({.make_id = [] { return "id"; }});
    ResponseReplyWriter writer(kHead, Json::object());
    std::vector<Json> events;
    std::vector<AnswerPiece> all;
    const auto give = [&](const std::vector<AnswerPiece>& pieces) {
      all.insert(all.end(), pieces.begin(), pieces.end());
      for (Json& event : writer.Next(0, pieces, {})) events.push_back(std::move(event));
    };
    for (size_t at = 0; at < text.size();) {
      const auto size = *rc::gen::inRange<size_t>(1, 6);
      give(parser.Feed(text.substr(at, size)));
      at += size;
    }
    give(parser.Finish());
    for (Json& event : writer.Finish(0, {})) events.push_back(std::move(event));
    const Json response = writer.End(kUsage)[0]["response"];

    std::vector<std::string> parts;
    std::string content;
    for (const Json& event : events) {
      const std::string type = event["type"];
      if (type == "response.output_item.added") {
        RC_ASSERT(event["output_index"] == parts.size());
        parts.emplace_back();
      }
      if (!type.ends_with(".delta")) continue;
      RC_ASSERT(event["output_index"] == parts.size() - 1);
      RC_ASSERT(event["delta"] != "");
      parts.back() += event["delta"].get<std::string>();
    }
    RC_ASSERT(parts.size() == response["output"].size());
    for (size_t i = 0; i < parts.size(); ++i) {
      const Json& item = response["output"][i];
      const bool is_call = item["type"] == "function_call";
      RC_ASSERT(parts[i] == (is_call ? item["arguments"] : item["content"][0]["text"]));
      if (!is_call) content += parts[i];
    }
    if (parser.num_calls() == 0) RC_ASSERT(content == RepairUtf8(Joined(all, {}).message.content));
  }));
}

TEST(InfillReplyTest, WholeAndChunks) {
  InfillReplyWriter writer("m");
  const ReplyChoice choice = {.message = {.content = "x\xFF"}, .end = {FinishReason::kStopText, false, "\n"}};
  EXPECT_EQ(DumpJson(writer.Whole({&choice, 1}, kUsage)),
            "{\"index\":0,\"content\":\"x\xEF\xBF\xBD\",\"stop\":true,\"model\":\"m\",\"tokens_predicted\":4,"
            "\"tokens_evaluated\":9,\"tokens_cached\":2,\"stop_type\":\"word\",\"stopping_word\":\"\\n\"}");
  const std::vector<Json> events =
      Stream(writer, {{.content = "\xC3"}, {.content = "\xA9y"}}, {FinishReason::kLength});
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(DumpJson(events[0]), "{\"index\":0,\"content\":\"\xC3\xA9y\",\"stop\":false}");
  EXPECT_EQ(events[1]["content"], "");
  EXPECT_EQ(events[1]["stop_type"], "limit");
  EXPECT_EQ(writer.Frame(events[0]), "data: " + DumpJson(events[0]) + "\n\n");
}

}  // namespace
}  // namespace qwen25
