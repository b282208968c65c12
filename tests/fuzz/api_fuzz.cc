#include <string>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "serve/api/chat_reply.h"
#include "serve/api/chat_request.h"
#include "serve/api/completion_request.h"
#include "serve/api/infill_request.h"
#include "serve/api/message_reply.h"
#include "serve/api/message_request.h"
#include "serve/api/request_json.h"
#include "serve/api/response_reply.h"
#include "serve/api/response_request.h"
#include "serve/api/text_requests.h"
#include "serve/api/tool_call_parser.h"
#include "targets.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

// A reader refuses a request with a message, or gives one that keeps the promises of its members.
template <typename Request, typename Check>
void CheckReader(const Json& body, ApiResult<Request> (*read)(const Json&), Check check) {
  const ApiResult<Request> request = read(body);
  if (request.ok()) return check(*request);
  QWEN25_CHECK(request.error().status == 400 && !request.error().message.empty());
  QWEN25_CHECK(ParseJson(DumpJson(OpenAiErrorJson(request.error())), "error").ok());
}

void CheckSampling(const SamplingRequest& sampling) {
  QWEN25_CHECK(sampling.ApplyTo({}).Validate().ok());
  QWEN25_CHECK(sampling.num_choices >= 1 && sampling.num_choices <= 16 && sampling.stop.size() <= 16);
  for (const std::string& stop : sampling.stop) QWEN25_CHECK(!stop.empty());
}

void CheckChat(const ChatRequest& request) {
  CheckSampling(request.sampling);
  QWEN25_CHECK(!request.prompt.messages.empty());
  QWEN25_CHECK(request.tool_choice.kind == ToolChoice::Kind::kNone ||
               request.PromptOptions().tools.is_array());
  for (const ChatMessage& message : request.prompt.messages) {
    QWEN25_CHECK(IsValidUtf8(message.content));
    for (const ToolCall& call : message.tool_calls) QWEN25_CHECK(call.arguments.is_object());
  }
}

void CheckRequests(const Json& body) {
  CheckReader(body, &ReadChatCompletionRequest, &CheckChat);
  CheckReader(body, &ReadMessageRequest, &CheckChat);
  CheckReader(body, &ReadCountTokensRequest, &CheckChat);
  CheckReader(body, &ReadResponseRequest, [](const ResponseRequest& request) {
    CheckChat(request);
    QWEN25_CHECK(ParseJson(DumpJson(request.shown), "shown").ok());
  });
  CheckReader(body, &ReadInfillRequest,
              [](const InfillRequest& request) { CheckSampling(request.sampling); });
  CheckReader(body, &ReadCompletionRequest, [](const CompletionRequest& request) {
    CheckSampling(request.sampling);
    QWEN25_CHECK(!request.prompts.empty());
  });
  CheckReader(body, &ReadEmbeddingRequest,
              [](const EmbeddingRequest& request) { QWEN25_CHECK(!request.inputs.empty()); });
  CheckReader(body, &ReadRerankRequest,
              [](const RerankRequest& request) { QWEN25_CHECK(!request.documents.empty()); });
  CheckReader(body, &ReadTokenizeRequest,
              [](const TokenizeRequest& request) { QWEN25_CHECK(IsValidUtf8(request.text)); });
  CheckReader(body, &ReadDetokenizeRequest, [](const DetokenizeRequest& request) {
    for (const int32_t token : request.tokens) QWEN25_CHECK(token >= 0);
  });
  CheckReader(body, &ReadApplyTemplateRequest,
              [](const ApplyTemplateRequest& request) { QWEN25_CHECK(!request.prompt.messages.empty()); });
}

// The answer `text`, given in pieces of `piece_bytes`.
std::vector<AnswerPiece> ParseAnswer(std::string_view text, size_t piece_bytes, bool stream_arguments) {
  ToolCallParser parser({.stream_arguments = stream_arguments,
                         .bare_json = true,
                         .tool_names = {"search", "get_time"},
                         .make_id = [] { return "id"; }});
  std::vector<AnswerPiece> all;
  const auto take = [&](const std::vector<AnswerPiece>& pieces) {
    all.insert(all.end(), pieces.begin(), pieces.end());
  };
  for (size_t at = 0; at < text.size(); at += piece_bytes) take(parser.Feed(text.substr(at, piece_bytes)));
  take(parser.Finish());
  return all;
}

AssistantMessage Joined(const std::vector<AnswerPiece>& pieces) {
  AssistantMessage message;
  AppendPieces(pieces, message);
  return message;
}

// A stream of the pieces is UTF-8 and has the message's text.
void CheckStream(const std::vector<AnswerPiece>& pieces) {
  ChatReplyWriter writer({.id = "c", .model = "m"}, false);
  std::string content;
  const auto check = [&](const std::vector<Json>& chunks) {
    for (const Json& chunk : chunks) {
      const std::string text = chunk["choices"][0]["delta"].value("content", "");
      QWEN25_CHECK(IsValidUtf8(text));
      content += text;
    }
  };
  check(writer.Next(0, pieces, {}));
  check(writer.Finish(0, {}));
  const AssistantMessage message = Joined(pieces);
  if (message.tool_calls.empty()) QWEN25_CHECK(content == RepairUtf8(message.content));
}

// Other writers take all pieces, and the whole message, too, and give JSON in UTF-8.
void CheckWriter(ReplyWriter&& writer, const std::vector<AnswerPiece>& pieces) {
  const auto check = [&](const std::vector<Json>& events) {
    for (const Json& event : events) QWEN25_CHECK(IsValidUtf8(writer.Frame(event)));
  };
  check(writer.Next(0, pieces, {}));
  check(writer.Finish(0, {}));
  check(writer.End({}));
  const ReplyChoice choice = {.message = Joined(pieces)};
  QWEN25_CHECK(ParseJson(DumpJson(writer.Whole({&choice, 1}, {})), "reply").ok());
}

}  // namespace

// What clients send, and what a model answers: the bytes are both a request and an answer.
void FuzzApi(std::span<const uint8_t> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const ApiResult<Json> body = ParseRequestJson(text);
  if (body.ok()) {
    CheckRequests(*body);
  } else {
    QWEN25_CHECK(body.error().status == 400 && body.error().message.find("request") != std::string::npos);
  }
  for (const bool stream_arguments : {true, false}) {
    const AssistantMessage whole = Joined(ParseAnswer(text, text.size() + 1, stream_arguments));
    QWEN25_CHECK(Joined(ParseAnswer(text, 1, stream_arguments)) == whole);
    const std::vector<AnswerPiece> pieces = ParseAnswer(text, 7, stream_arguments);
    QWEN25_CHECK(Joined(pieces) == whole);
    if (stream_arguments) CheckStream(pieces);
    CheckWriter(MessageReplyWriter({.id = "msg_1", .model = "m"}, 1), pieces);
    CheckWriter(ResponseReplyWriter({.id = "resp_1", .model = "m"}, Json::object()), pieces);
    if (whole.tool_calls.empty()) QWEN25_CHECK(whole.content == text);
    for (const FunctionCall& call : whole.tool_calls) {
      QWEN25_CHECK(!call.name.empty());
      // In bytes that no tokenizer gives, strings may hold what is no UTF-8.
      if (stream_arguments || !IsValidUtf8(text)) continue;
      JsonScanner scanner;
      bool done = false;
      for (const char c : call.arguments) {
        if (done && (c == ' ' || c == '\n' || c == '\t' || c == '\r')) continue;
        QWEN25_CHECK(!done);
        const JsonScanner::Step step = scanner.Next(c);
        QWEN25_CHECK(step.ok);
        done = step.done;
      }
      QWEN25_CHECK(done);
    }
  }
}

}  // namespace qwen25
