// What check_openai_client.py (tests/reference) drives; not installed. The API without a model and without a
// network: what would be generated is what the request's last message or its prompt says.
//
//   api_tool < REQUESTS > REPLIES
//
// REQUESTS holds a JSON object per line: {"path": "/v1/chat/completions", "body": text of the request}. Each
// is answered by a line: {"status": number, "type": content type, "headers": object, "body": text}.
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "serve/api/chat_reply.h"
#include "serve/api/chat_request.h"
#include "serve/api/completion_reply.h"
#include "serve/api/completion_request.h"
#include "serve/api/identifier.h"
#include "serve/api/request_json.h"
#include "serve/api/small_replies.h"
#include "serve/api/text_requests.h"

namespace qwen25 {
namespace {

constexpr TokenUsage kUsage = {.prompt_tokens = 7, .completion_tokens = 3, .cached_tokens = 4};
constexpr size_t kPieceBytes = 5;

Json Reply(const std::string& body, const char* type = "application/json", int status = 200) {
  return {{"status", status}, {"type", type}, {"headers", Json::object()}, {"body", body}};
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

// What a choice says, in pieces.
struct Said {
  std::string text;
  bool has_logprobs = false;
  std::optional<ToolCallParser> parser = {};  // if it may call functions
  AnswerEnd end = {};
};

std::vector<AnswerPiece> Pieces(Said& said, std::string_view text) {
  if (said.parser) return said.parser->Feed(text);
  return {{.content = std::string(text)}};
}

Json Whole(ReplyWriter& writer, std::vector<Said> choices, bool is_echo) {
  std::vector<ReplyChoice> replies;
  for (Said& said : choices) {
    ReplyChoice& reply = replies.emplace_back();
    AppendPieces(Pieces(said, said.text), reply.message);
    if (said.parser) {
      AppendPieces(said.parser->Finish(), reply.message);
      said.end.has_calls = said.parser->num_calls() > 0;
    }
    reply.end = said.end;
    if (!said.has_logprobs) continue;
    reply.logprobs = Tokens(said.text);
    if (is_echo && !said.text.empty()) reply.logprobs->front().logprob.reset();
  }
  return Reply(DumpJson(writer.Whole(replies, kUsage)));
}

Json Stream(ReplyWriter& writer, std::vector<Said> choices) {
  std::string body;
  const auto append = [&](const std::vector<Json>& events) {
    for (const Json& event : events) body += writer.Frame(event);
  };
  for (size_t i = 0; i < choices.size(); ++i) {
    Said& said = choices[i];
    append(writer.Begin(i));
    for (size_t at = 0; at < said.text.size(); at += kPieceBytes) {
      const std::string piece = said.text.substr(at, kPieceBytes);
      append(writer.Next(i, Pieces(said, piece),
                         said.has_logprobs ? Tokens(piece) : std::vector<TokenLogprob>()));
    }
    if (said.parser) {
      append(writer.Next(i, said.parser->Finish(), {}));
      said.end.has_calls = said.parser->num_calls() > 0;
    }
    append(writer.Finish(i, said.end));
  }
  append(writer.End(kUsage));
  return Reply(body + std::string(writer.Closing()), "text/event-stream");
}

Json AnswerChat(const Json& body) {
  const ApiResult<ChatCompletionRequest> request = ReadChatCompletionRequest(body);
  if (!request.ok()) return ErrorReply(request.error());
  const Said said = {.text = request->prompt.messages.back().content,
                     .has_logprobs = request->logprobs,
                     .parser = ToolCallParser({.stream_arguments = request->stream})};
  const std::vector<Said> choices(static_cast<size_t>(request->sampling.num_choices), said);
  ChatReplyWriter writer({.id = NewIdentifier("chatcmpl-"), .created = 1700000000, .model = request->model},
                         request->include_usage);
  return request->stream ? Stream(writer, choices) : Whole(writer, choices, /*is_echo=*/false);
}

Json AnswerCompletion(const Json& body) {
  const ApiResult<CompletionRequest> request = ReadCompletionRequest(body);
  if (!request.ok()) return ErrorReply(request.error());
  std::vector<Said> choices;
  for (const PromptInput& prompt : request->prompts) {
    std::string text;
    if (const auto* said = std::get_if<std::string>(&prompt)) {
      text = *said;
    } else {
      for (const int32_t token : std::get<std::vector<int32_t>>(prompt)) text += static_cast<char>(token);
    }
    const Said said = {.text = text,
                       .has_logprobs = request->logprobs.has_value() && !request->stream,
                       .end = {FinishReason::kLength}};
    for (int64_t i = 0; i < request->sampling.num_choices; ++i) choices.push_back(said);
  }
  CompletionReplyWriter writer({.id = NewIdentifier("cmpl-"), .created = 1700000000, .model = request->model},
                               request->include_usage);
  return request->stream ? Stream(writer, choices) : Whole(writer, choices, request->echo);
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
