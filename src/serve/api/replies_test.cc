#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/test_util.h"
#include "serve/api/chat_reply.h"
#include "serve/api/completion_reply.h"
#include "serve/api/identifier.h"
#include "serve/api/server_sent_events.h"
#include "serve/api/small_replies.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

const ReplyHead kHead = {.id = "chatcmpl-1", .created = 1700000000, .model = "m"};
const TokenUsage kUsage = {.prompt_tokens = 5,
                           .completion_tokens = 3,
                           .cached_tokens = 2,
                           .accepted_prediction_tokens = 1,
                           .rejected_prediction_tokens = 4};
const AnswerEnd kStop = {FinishReason::kStopToken};
constexpr std::string_view kUsageText =
    R"({"prompt_tokens":5,"completion_tokens":3,"total_tokens":8,"prompt_tokens_details":{"cached_tokens":2},)"
    R"("completion_tokens_details":{"accepted_prediction_tokens":1,"rejected_prediction_tokens":4}})";

std::vector<std::string> Dumped(const std::vector<Json>& values) {
  std::vector<std::string> lines;
  for (const Json& value : values) lines.push_back(DumpJson(value));
  return lines;
}

TEST(ReplyPartsTest, FinishReasons) {
  EXPECT_EQ(FinishReasonWord({FinishReason::kStopToken}), "stop");
  EXPECT_EQ(FinishReasonWord({FinishReason::kStopText}), "stop");
  EXPECT_EQ(FinishReasonWord({.has_calls = true}), "tool_calls");
  EXPECT_EQ(FinishReasonWord({FinishReason::kLength, true}), "length");
  EXPECT_EQ(FinishReasonWord({FinishReason::kContextFull}), "length");
  EXPECT_EQ(FinishReasonWord({FinishReason::kCancelled}), "length");
  EXPECT_DEATH(FinishReasonWord({FinishReason::kError}), "");
}

TEST(ReplyPartsTest, AnyCuttingOfBytesGivesTheRepairedText) {
  EXPECT_TRUE(rc::check("cuts do not matter", [] {
    std::string text;
    const std::vector<std::string> parts = {"a",    "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80",
                                            "\xC3", "\x80",     "\xF0\x9F"};
    for (const auto& part : *rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(parts)))
      text += part;
    Utf8Pieces pieces;
    std::string joined;
    for (size_t at = 0; at < text.size();) {
      const auto size = *rc::gen::inRange<size_t>(1, 4);
      const std::string piece = pieces.Next(text.substr(at, size));
      RC_ASSERT(IsValidUtf8(piece));
      joined += piece;
      at += size;
    }
    RC_ASSERT(joined + pieces.Finish() == RepairUtf8(text));
  }));
}

TEST(ReplyPartsTest, IdentifiersAreDifferent) {
  const std::string id = NewIdentifier("cmpl-");
  EXPECT_EQ(id.size(), 29u);
  EXPECT_TRUE(id.starts_with("cmpl-"));
  EXPECT_NE(id, NewIdentifier("cmpl-"));
}

TEST(ServerSentEventsTest, Framing) {
  EXPECT_EQ(ServerSentEvent({{"a", "line\nbreak"}}), "data: {\"a\":\"line\\nbreak\"}\n\n");
  EXPECT_EQ(ServerSentEvent("ping", Json::object()), "event: ping\ndata: {}\n\n");
  EXPECT_EQ(ServerSentEvent({{"a", "\xFF"}}), "data: {\"a\":\"\xEF\xBF\xBD\"}\n\n");
  EXPECT_EQ(kStreamEnd, "data: [DONE]\n\n");
  EXPECT_DEATH(ServerSentEvent("a\nb", Json()), "");
}

TEST(TokenLogprobsTest, NamesOfPartsOfCharacters) {
  EXPECT_EQ(TokenName("\xE2\x82\xAC"), "\xE2\x82\xAC");
  EXPECT_EQ(TokenName("\xE2\x82"), "bytes:\\xe2\\x82");
  EXPECT_EQ(TokenName(" a\xE2"), "bytes:\\x20\\x61\\xe2");
  EXPECT_EQ(TokenName(""), "");
}

TEST(TokenLogprobsTest, ShapeOfChats) {
  const std::vector<TokenLogprob> tokens = {
      {.id = 1, .bytes = "\xC3", .logprob = -0.5f, .top = {{2, "a", -0.25f}, {1, "\xC3", -0.5f}}},
      {.id = 3, .bytes = "b", .logprob = -std::numeric_limits<float>::infinity(), .top = {}}};
  EXPECT_EQ(
      DumpJson(ChatLogprobsJson(tokens)),
      R"({"content":[{"token":"bytes:\\xc3","logprob":-0.5,"bytes":[195],"top_logprobs":[)"
      R"({"token":"a","logprob":-0.25,"bytes":[97]},{"token":"bytes:\\xc3","logprob":-0.5,"bytes":[195]}]},)"
      R"({"token":"b","logprob":-9999.0,"bytes":[98],"top_logprobs":[]}],"refusal":null})");
}

TEST(TokenLogprobsTest, ShapeOfCompletions) {
  const std::vector<TokenLogprob> tokens = {
      {.id = 1, .bytes = "\xC3\xA9", .logprob = std::nullopt},
      {.id = 2, .bytes = "b\xE2", .logprob = -0.5f, .top = {{2, "b\xE2", -0.5f}, {7, "x", -1}, {8, "x", -2}}},
      {.id = 3, .bytes = "\x82\xAC", .logprob = -3, .top = {{9, "\x82", -0.1f}}},
      {.id = 4, .bytes = "d", .logprob = -0.75f, .top = {}}};
  const Json whole = CompletionLogprobs().Next(tokens);
  EXPECT_EQ(whole["tokens"], Json({"\xC3\xA9", "bytes:\\x62\\xe2", "bytes:\\x82\\xac", "d"}));
  EXPECT_EQ(whole["token_logprobs"], Json({nullptr, -0.5, -3, -0.75}));
  EXPECT_EQ(whole["text_offset"], Json({0, 1, 2, 3}));
  const Json& top = whole["top_logprobs"];
  EXPECT_EQ(top[0], nullptr);
  EXPECT_EQ(top[1], Json({{"bytes:\\x62\\xe2", -0.5}, {"x", -1}, {"token_id:8", -2}}));
  // The token itself is there though it is not among the most likely, and nothing is equal by accident: the
  // greatest is the token's own only if the token is the most likely one.
  EXPECT_EQ(top[2].size(), 2u);
  EXPECT_EQ(top[2]["bytes:\\x82\\xac"], -3);
  EXPECT_EQ(top[2]["bytes:\\x82"].get<double>(), static_cast<double>(-0.1f));
  EXPECT_EQ(top[3], Json({{"d", -0.75}}));

  CompletionLogprobs pieces;
  Json joined = pieces.Next(std::span(tokens).first(2));
  const Json rest = pieces.Next(std::span(tokens).subspan(2));
  for (const auto& member : rest.items()) {
    for (const Json& value : member.value()) joined[member.key()].push_back(value);
  }
  EXPECT_EQ(joined, whole);
}

TEST(ChatReplyTest, Whole) {
  const std::vector<ReplyChoice> choices = {
      {.message = {.content = "Hi\xFF"}, .end = kStop},
      {.message = {.content = "", .tool_calls = {{"call_1", "f", "{\"a\": 1}"}}}, .end = {.has_calls = true}},
      {.message = {.content = ""}, .end = {FinishReason::kLength}, .logprobs = {{}}}};
  const Json reply = ChatReplyWriter(kHead, false).Whole(choices, kUsage);
  EXPECT_EQ(
      DumpJson(reply["choices"][0]),
      "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hi\xEF\xBF\xBD\",\"refusal\":null},"
      "\"logprobs\":null,\"finish_reason\":\"stop\"}");
  EXPECT_EQ(DumpJson(reply["choices"][1]["message"]),
            R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"call_1",)"
            R"("type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}}]})");
  EXPECT_EQ(reply["choices"][2]["message"]["content"], "");
  EXPECT_EQ(DumpJson(reply["choices"][2]["logprobs"]), R"({"content":[],"refusal":null})");
  EXPECT_EQ(DumpJson(reply["usage"]), kUsageText);
  EXPECT_EQ(reply["object"], "chat.completion");
  EXPECT_EQ(reply["created"], 1700000000);
}

TEST(ChatReplyTest, ChunksOfText) {
  ChatReplyWriter writer(kHead, /*include_usage=*/false);
  const std::string head =
      R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m",)";
  const auto chunk = [&](const std::string& delta, const std::string& reason) {
    return head + R"("choices":[{"index":0,"delta":)" + delta + R"(,"logprobs":null,"finish_reason":)" +
           reason + "}]}";
  };
  EXPECT_EQ(Dumped(writer.Begin(0)),
            std::vector<std::string>{chunk(R"({"role":"assistant","content":""})", "null")});
  EXPECT_TRUE(writer.Begin(0).empty());
  EXPECT_EQ(Dumped(writer.Next(0, std::vector<AnswerPiece>{{.content = "Hi"}}, {})),
            std::vector<std::string>{chunk(R"({"content":"Hi"})", "null")});
  EXPECT_TRUE(writer.Next(0, {}, {}).empty());
  EXPECT_EQ(Dumped(writer.Finish(0, kStop)), std::vector<std::string>{chunk("{}", "\"stop\"")});
  EXPECT_TRUE(writer.End(kUsage).empty());

  ChatReplyWriter with_usage(kHead, /*include_usage=*/true);
  for (const Json& json : with_usage.Finish(1, {FinishReason::kLength})) {
    EXPECT_TRUE(json.contains("usage") && json["usage"].is_null());
    EXPECT_EQ(json["choices"][0]["index"], 1);
  }
  EXPECT_EQ(Dumped(with_usage.End(kUsage)),
            std::vector<std::string>{head + R"("choices":[],"usage":)" + std::string(kUsageText) + "}"});
}

TEST(ChatReplyTest, ChunksOfCalls) {
  ChatReplyWriter writer(kHead, false);
  const std::vector<AnswerPiece> pieces = {{.call = ToolCallDelta{.index = 0, .id = "a", .name = "f"}},
                                           {.call = ToolCallDelta{.index = 0, .arguments = "{\"x\":"}},
                                           {.call = ToolCallDelta{.index = 0, .arguments = "1}"}}};
  std::vector<std::string> deltas;
  for (const Json& chunk : writer.Next(0, pieces, {}))
    deltas.push_back(DumpJson(chunk["choices"][0]["delta"]));
  EXPECT_EQ(
      deltas,
      (std::vector<std::string>{
          R"({"role":"assistant","content":""})",
          R"({"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]})",
          R"({"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":"}}]})",
          R"({"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]})"}));
}

// The beginning of a character belongs to the text, or to the call, that it came with.
TEST(ChatReplyTest, CutCharactersStayInTheirPlace) {
  ChatReplyWriter writer(kHead, false);
  const std::vector<AnswerPiece> pieces = {{.content = "\xE2"},
                                           {.call = ToolCallDelta{.index = 0, .id = "a", .name = "f"}},
                                           {.call = ToolCallDelta{.index = 0, .arguments = "\xC3"}},
                                           {.call = ToolCallDelta{.index = 1, .id = "b", .name = "g"}},
                                           {.content = "\xF0"}};
  std::vector<std::string> parts;
  const auto receive = [&](const std::vector<Json>& chunks) {
    for (const Json& chunk : chunks) {
      const Json& delta = chunk["choices"][0]["delta"];
      if (!delta.contains("tool_calls")) {
        parts.push_back(delta.value("content", "end"));
        continue;
      }
      const Json& call = delta["tool_calls"][0];
      parts.push_back(call["index"].dump() + call["function"].value("name", "") +
                      call["function"].value("arguments", ""));
    }
  };
  receive(writer.Next(0, pieces, {}));
  receive(writer.Finish(0, kStop));
  const std::string replaced = "\xEF\xBF\xBD";
  EXPECT_EQ(parts, (std::vector<std::string>{"", replaced, "0f", "0" + replaced, "1g", replaced, "end"}));
}

// Tokens whose text is held back still have their logprobs in the stream, once and in order.
TEST(ChatReplyTest, EveryLogprobIsSentOnce) {
  ChatReplyWriter writer(kHead, false);
  const auto token = [](std::string bytes) { return TokenLogprob{.bytes = std::move(bytes), .logprob = -1}; };
  std::vector<Json> chunks;
  const auto next = [&](std::vector<AnswerPiece> pieces, std::string bytes) {
    const std::vector<TokenLogprob> tokens = {token(std::move(bytes))};
    for (Json& chunk : writer.Next(0, pieces, tokens)) chunks.push_back(std::move(chunk));
  };
  next({}, "<");
  next({{.content = "<a"}}, "a");
  next({{.content = "\xC3"}}, "\xC3");
  next({}, "z");
  for (Json& chunk : writer.Finish(0, kStop)) chunks.push_back(std::move(chunk));
  std::vector<std::string> names;
  std::string text;
  for (const Json& chunk : chunks) {
    const Json& choice = chunk["choices"][0];
    text += choice["delta"].value("content", "");
    if (choice["logprobs"].is_null()) continue;
    for (const Json& entry : choice["logprobs"]["content"]) names.push_back(entry["token"]);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"<", "a", "bytes:\\xc3", "z"}));
  EXPECT_EQ(text, "<a\xEF\xBF\xBD");
}

// Joins as the library of OpenAI's clients does: texts are put together, numbers added, objects and lists
// walked, and only "index" and "type" replaced.
void Accumulate(Json& into, const Json& delta) {
  for (const auto& [key, value] : delta.items()) {
    if (!into.contains(key) || into[key].is_null() || key == "index" || key == "type") {
      into[key] = value;
    } else if (value.is_string()) {
      into[key] = into[key].get<std::string>() + value.get<std::string>();
    } else if (value.is_object()) {
      Accumulate(into[key], value);
    } else if (value.is_array()) {
      for (const Json& entry : value) {
        const auto index = entry["index"].get<size_t>();
        if (index < into[key].size()) {
          Accumulate(into[key][index], entry);
        } else {
          into[key].push_back(entry);
        }
      }
    }
  }
}

TEST(ChatReplyTest, JoinedChunksAreTheWholeReply) {
  EXPECT_TRUE(rc::check("stream and reply agree", [] {
    const std::vector<std::string> fragments = {
        "text",
        "\n",
        "\xC3\xA9",
        "\xE2\x82",
        "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"\xC3\xA9\"}}</tool_call>",
        "<tool_call>",
        "{\"name\": \"g\", \"arguments\": {\"b\": 1",
        "}}"};
    std::string text;
    for (const auto& part : *rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(fragments)))
      text += part;

    const auto options = [] {
      return ToolCallParser::Options{.make_id = [n = 0]() mutable { return "id" + std::to_string(n++); }};
    };
    ToolCallParser whole(options()), cut(options());
    ReplyChoice choice = {.end = kStop};
    AppendPieces(whole.Feed(text), choice.message);
    AppendPieces(whole.Finish(), choice.message);
    const Json reply = ChatReplyWriter(kHead, false).Whole({&choice, 1}, kUsage);

    ChatReplyWriter writer(kHead, false);
    Json message = Json::object();
    const auto receive = [&](const std::vector<Json>& chunks) {
      for (const Json& chunk : chunks) Accumulate(message, chunk["choices"][0]["delta"]);
    };
    for (size_t at = 0; at < text.size();) {
      const auto size = *rc::gen::inRange<size_t>(1, 6);
      receive(writer.Next(0, cut.Feed(text.substr(at, size)), {}));
      at += size;
    }
    receive(writer.Next(0, cut.Finish(), {}));
    receive(writer.Finish(0, kStop));

    Json expected = reply["choices"][0]["message"];
    RC_ASSERT(message["role"] == "assistant");
    RC_ASSERT(message["content"] == (expected["content"].is_null() ? Json("") : expected["content"]));
    Json calls = message.value("tool_calls", Json::array());
    for (Json& call : calls) call.erase("index");
    RC_ASSERT(calls == expected.value("tool_calls", Json::array()));
  }));
}

TEST(CompletionReplyTest, Whole) {
  const std::vector<ReplyChoice> choices = {
      {.message = {.content = "a\xFF"}, .end = {FinishReason::kLength}},
      {.message = {.content = "b"}, .end = kStop, .logprobs = {{{.id = 1, .bytes = "b", .logprob = -1}}}}};
  CompletionReplyWriter writer({.id = "cmpl-1", .created = 7, .model = "m"}, false);
  EXPECT_EQ(DumpJson(writer.Whole(choices, kUsage)),
            "{\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"created\":7,\"model\":\"m\",\"choices\":["
            "{\"index\":0,\"text\":\"a\xEF\xBF\xBD\",\"logprobs\":null,\"finish_reason\":\"length\"},"
            "{\"index\":1,\"text\":\"b\",\"logprobs\":{\"tokens\":[\"b\"],\"token_logprobs\":[-1.0],"
            "\"top_logprobs\":[{\"b\":-1.0}],\"text_offset\":[0]},\"finish_reason\":\"stop\"}],\"usage\":" +
                std::string(kUsageText) + "}");
}

TEST(CompletionReplyTest, Chunks) {
  CompletionReplyWriter writer({.id = "cmpl-1", .created = 7, .model = "m"}, true);
  const std::vector<TokenLogprob> first = {{.bytes = "\xC3", .logprob = -1}},
                                  second = {{.bytes = "\xA9", .logprob = -2}};
  EXPECT_TRUE(writer.Next(2, std::vector<AnswerPiece>{{.content = "\xC3"}}, first).empty());
  const std::vector<Json> chunks = writer.Next(2, std::vector<AnswerPiece>{{.content = "\xA9"}}, second);
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0]["choices"][0]["text"], "\xC3\xA9");
  EXPECT_EQ(chunks[0]["choices"][0]["index"], 2);
  EXPECT_EQ(chunks[0]["choices"][0]["logprobs"]["token_logprobs"], Json({-1, -2}));
  EXPECT_EQ(chunks[0]["choices"][0]["finish_reason"], nullptr);
  EXPECT_EQ(chunks[0]["usage"], nullptr);
  const Json end = writer.Finish(2, kStop)[0];
  EXPECT_EQ(end["choices"][0]["text"], "");
  EXPECT_EQ(end["choices"][0]["finish_reason"], "stop");
  const Json last = writer.End(kUsage)[0];
  EXPECT_EQ(DumpJson(last["choices"]), "[]");
  EXPECT_EQ(DumpJson(last["usage"]), kUsageText);
}

TEST(SmallRepliesTest, Embeddings) {
  const std::vector<std::vector<float>> rows = {{1, -2.5f}, {0}};
  ASSERT_OK_AND_ASSIGN(const Json numbers, EmbeddingsJson("m", rows, false, 4));
  EXPECT_EQ(DumpJson(numbers),
            R"({"object":"list","data":[{"object":"embedding","index":0,"embedding":[1.0,-2.5]},)"
            R"({"object":"embedding","index":1,"embedding":[0.0]}],"model":"m",)"
            R"("usage":{"prompt_tokens":4,"total_tokens":4}})");
  ASSERT_OK_AND_ASSIGN(const Json text, EmbeddingsJson("m", rows, true, 4));
  EXPECT_EQ(text["data"][0]["embedding"], "AACAPwAAIMA=");  // 00 00 80 3f 00 00 20 c0
  EXPECT_EQ(text["data"][1]["embedding"], "AAAAAA==");
  const std::vector<std::vector<float>> bad = {{1}, {std::nanf("")}};
  EXPECT_ERROR_CONTAINS(EmbeddingsJson("m", bad, true, 1), "embedding 1 has numbers that are not finite");
}

TEST(SmallRepliesTest, RankedDocuments) {
  const std::vector<RankedDocument> ranked = {{.index = 1, .score = 0.5}, {.index = 0, .score = -0.25}};
  const std::vector<std::string> texts = {"a", "b"};
  ASSERT_OK_AND_ASSIGN(const Json plain, RerankJson("m", ranked, nullptr, 4));
  EXPECT_EQ(DumpJson(plain), R"({"object":"list","model":"m","results":[{"index":1,"relevance_score":0.5},)"
                             R"({"index":0,"relevance_score":-0.25}],)"
                             R"("usage":{"prompt_tokens":4,"total_tokens":4}})");
  ASSERT_OK_AND_ASSIGN(const Json repeated, RerankJson("m", ranked, &texts, 4));
  EXPECT_EQ(repeated["results"][0]["document"]["text"], "b");
  const std::vector<RankedDocument> bad = {{.index = 0, .score = std::nan("")}};
  EXPECT_ERROR_CONTAINS(RerankJson("m", bad, nullptr, 1), "not finite");
}

TEST(SmallRepliesTest, ModelsAndTokens) {
  const std::vector<ListedModel> models = {
      {.id = "m", .created = 5, .owned_by = "qwen25", .max_model_len = 32768}};
  EXPECT_EQ(DumpJson(ModelListJson(models)),
            R"({"object":"list","data":[{"id":"m","object":"model","created":5,"owned_by":"qwen25",)"
            R"("max_model_len":32768}]})");
  const std::vector<int32_t> tokens = {3, 1};
  EXPECT_EQ(DumpJson(TokenizeJson(tokens, 9)), R"({"count":2,"max_model_len":9,"tokens":[3,1]})");
  EXPECT_EQ(DumpJson(TokenizeJson({}, 9)), R"({"count":0,"max_model_len":9,"tokens":[]})");
  EXPECT_EQ(DumpJson(PromptJson("a\xFF")), "{\"prompt\":\"a\xEF\xBF\xBD\"}");
  EXPECT_EQ(DumpJson(TokenizerInfoJson({.eos_token = "<|im_end|>", .max_model_len = 9})),
            R"({"bos_token":null,"eos_token":"<|im_end|>","pad_token":null,"chat_template":null,)"
            R"("model_max_length":9})");
}

}  // namespace
}  // namespace qwen25
