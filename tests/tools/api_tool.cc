// What check_openai_client.py (tests/reference) drives; not installed. The API without a model and without a
// network: what would be generated is what the request's last message or its prompt says.
//
//   api_tool < REQUESTS > REPLIES
//
// REQUESTS holds a JSON object per line: {"path": "/v1/chat/completions", "body": text of the request}. Each
// is answered by a line: {"status": number, "type": content type, "headers": object, "body": text}.
#include <algorithm>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "serve/api/chat_reply.h"
#include "serve/api/chat_request.h"
#include "serve/api/completion_reply.h"
#include "serve/api/completion_request.h"
#include "serve/api/identifier.h"
#include "serve/api/request_json.h"
#include "serve/api/server_sent_events.h"
#include "serve/api/small_replies.h"
#include "serve/api/text_requests.h"

namespace qwen25 {
namespace {

constexpr TokenUsage kUsage = {.prompt_tokens = 7, .completion_tokens = 3, .cached_tokens = 4};
constexpr size_t kPieceBytes = 5;

Json Reply(const std::string& body, const char* type = "application/json", int status = 200) {
  return {{"status", status}, {"type", type}, {"headers", Json::object()}, {"body", body}};
}
Json Stream(const std::vector<Json>& chunks) {
  std::string body;
  for (const Json& chunk : chunks) body += ServerSentEvent(chunk);
  return Reply(body + std::string(kStreamEnd), "text/event-stream");
}
Json ErrorReply(const ApiError& error) {
  Json reply = Reply(DumpJson(OpenAiErrorJson(error)), "application/json", error.status);
  for (const auto& [name, value] : RetryHeaders(error)) reply["headers"][name] = value;
  return reply;
}

// A token for each byte, with itself and a neighbour as the most likely ones.
std::vector<TokenLogprob> Tokens(std::string_view text) {
  std::vector<TokenLogprob> tokens;
  for (const char c : text) {
    const std::string other(1, static_cast<char>(c ^ 1));
    tokens.push_back({.id = c & 255, .bytes = std::string(1, c), .logprob = -0.5f});
    tokens.back().top = {{c & 255, tokens.back().bytes, -0.5f}, {(c ^ 1) & 255, other, -1.5f}};
  }
  return tokens;
}

Json AnswerChat(const Json& body) {
  const ApiResult<ChatCompletionRequest> request = ReadChatCompletionRequest(body);
  if (!request.ok()) return ErrorReply(request.error());
  const std::string& answer = request->prompt.messages.back().content;
  const ReplyHead head = {.id = NewIdentifier("chatcmpl-"), .created = 1700000000, .model = request->model};
  const ToolCallParser::Options options = {.stream_arguments = request->stream};
  const auto num_choices = static_cast<size_t>(request->sampling.num_choices);
  if (!request->stream) {
    ToolCallParser parser(options);
    ChatChoice choice;
    AppendPieces(parser.Feed(answer), choice.message);
    AppendPieces(parser.Finish(), choice.message);
    choice.finish_reason = FinishReasonWord(FinishReason::kStopToken, parser.num_calls() > 0);
    if (request->logprobs) choice.logprobs = Tokens(answer);
    return Reply(DumpJson(ChatCompletionJson(head, std::vector<ChatChoice>(num_choices, choice), kUsage)));
  }
  ChatChunkWriter writer(head, request->include_usage);
  std::vector<ToolCallParser> parsers(num_choices, ToolCallParser(options));
  std::vector<Json> chunks;
  const auto append = [&](std::vector<Json> more) {
    for (Json& chunk : more) chunks.push_back(std::move(chunk));
  };
  for (size_t at = 0; at < answer.size(); at += kPieceBytes) {
    const std::string piece = answer.substr(at, kPieceBytes);
    const std::vector<TokenLogprob> logprobs =
        request->logprobs ? Tokens(piece) : std::vector<TokenLogprob>();
    for (size_t i = 0; i < num_choices; ++i) append(writer.Next(i, parsers[i].Feed(piece), logprobs));
  }
  for (size_t i = 0; i < num_choices; ++i) {
    append(writer.Next(i, parsers[i].Finish()));
    append(writer.Finish(i, FinishReasonWord(FinishReason::kStopToken, parsers[i].num_calls() > 0)));
  }
  if (request->include_usage) chunks.push_back(writer.Usage(kUsage));
  return Stream(chunks);
}

Json AnswerCompletion(const Json& body) {
  const ApiResult<CompletionRequest> request = ReadCompletionRequest(body);
  if (!request.ok()) return ErrorReply(request.error());
  const ReplyHead head = {.id = NewIdentifier("cmpl-"), .created = 1700000000, .model = request->model};
  std::vector<CompletionChoice> choices;
  for (const PromptInput& prompt : request->prompts) {
    std::string text;
    if (const auto* said = std::get_if<std::string>(&prompt)) {
      text = *said;
    } else {
      for (const int32_t token : std::get<std::vector<int32_t>>(prompt)) text += static_cast<char>(token);
    }
    CompletionChoice choice = {.text = text, .finish_reason = "length"};
    if (request->logprobs.has_value()) {
      choice.logprobs = Tokens(text);
      if (request->echo && !text.empty()) choice.logprobs->front().logprob.reset();
    }
    choices.insert(choices.end(), static_cast<size_t>(request->sampling.num_choices), choice);
  }
  if (!request->stream) return Reply(DumpJson(CompletionJson(head, choices, kUsage)));
  CompletionChunkWriter writer(head, request->include_usage);
  std::vector<Json> chunks;
  for (size_t i = 0; i < choices.size(); ++i) {
    for (size_t at = 0; at < choices[i].text.size(); at += kPieceBytes) {
      for (Json& chunk : writer.Next(i, choices[i].text.substr(at, kPieceBytes)))
        chunks.push_back(std::move(chunk));
    }
    chunks.push_back(writer.Finish(i, choices[i].finish_reason));
  }
  if (request->include_usage) chunks.push_back(writer.Usage(kUsage));
  return Stream(chunks);
}

Json AnswerEmbedding(const Json& body) {
  const ApiResult<EmbeddingRequest> request = ReadEmbeddingRequest(body);
  if (!request.ok()) return ErrorReply(request.error());
  std::vector<std::vector<float>> rows;
  for (size_t i = 0; i < request->inputs.size(); ++i) rows.push_back({static_cast<float>(i), 0.5f, -2.25f});
  const Result<Json> reply = EmbeddingsJson(request->model, rows, request->as_base64, 5);
  return reply.ok() ? Reply(DumpJson(*reply)) : ErrorReply(InternalFailure("i-1"));
}

Json ReplyTo(const std::string& path, const std::string& body) {
  if (path == "/v1/models") {
    const std::vector<ListedModel> models = {
        {.id = "m", .created = 5, .owned_by = "qwen25", .max_model_len = 9}};
    return Reply(DumpJson(ModelListJson(models)));
  }
  const ApiResult<Json> json = ParseRequestJson(body);
  if (!json.ok()) return ErrorReply(json.error());
  if (json->value("model", "m") != "m") return ErrorReply(UnknownModel((*json)["model"].get<std::string>()));
  if (path == "/v1/chat/completions") return AnswerChat(*json);
  if (path == "/v1/completions") return AnswerCompletion(*json);
  if (path == "/v1/embeddings") return AnswerEmbedding(*json);
  return ErrorReply(ApiErrorOf(NotFound("there is no {}", path), {.message_is_public = true}));
}

}  // namespace
}  // namespace qwen25

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    const qwen25::Result<qwen25::Json> request = qwen25::ParseJson(line, "request");
    if (!request.ok()) {
      std::cerr << request.status().message() << '\n';
      return 1;
    }
    const qwen25::Json reply = qwen25::ReplyTo(request->value("path", ""), request->value("body", ""));
    std::cout << qwen25::DumpJson(reply) << std::endl;
  }
  return 0;
}
