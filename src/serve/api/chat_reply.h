// POST /v1/chat/completions: the reply, as a whole or as chunks of a stream.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api/reply_parts.h"
#include "serve/api/token_logprobs.h"
#include "serve/api/tool_call_parser.h"

namespace qwen25 {

struct ChatChoice {
  AssistantMessage message;
  std::string finish_reason;  // FinishReasonWord
  std::optional<std::vector<TokenLogprob>> logprobs = std::nullopt;
};

// The object "chat.completion". Choices are numbered in their order. Ill-formed UTF-8 is repaired.
Json ChatCompletionJson(const ReplyHead& head, std::span<const ChatChoice> choices, const TokenUsage& usage);

// Makes the objects "chat.completion.chunk" of a stream. Clients join what the chunks of a choice have, so
// that its role, and the id and name of a call, are sent once.
class ChatChunkWriter {
 public:
  // With `include_usage` the stream ends with Usage(), and all other chunks have "usage": null.
  ChatChunkWriter(ReplyHead head, bool include_usage);

  // The chunk with the role, which is the first of a choice; the calls below send it if it is still missing.
  // Nothing if it was sent.
  std::vector<Json> Begin(size_t choice);
  // A chunk for each piece. `logprobs` are those of the tokens since the last call; without a piece that they
  // could go with, they go with the next.
  std::vector<Json> Next(size_t choice, std::span<const AnswerPiece> pieces,
                         std::span<const TokenLogprob> logprobs = {});
  // The end of a choice: an empty delta with the reason.
  std::vector<Json> Finish(size_t choice, std::string_view finish_reason);
  // The last chunk: no choices, but the usage.
  Json Usage(const TokenUsage& usage) const;

 private:
  struct Choice {
    bool has_begun = false;
    Utf8Pieces content, arguments;
    size_t call_index = 0;               // of `arguments`
    std::vector<TokenLogprob> logprobs;  // not sent yet
  };
  Json Chunk(size_t choice, Json delta, Json finish_reason, Json logprobs) const;
  Json TakeLogprobs(size_t choice);
  void Append(size_t choice, Json delta, std::vector<Json>& chunks);
  // What was held back of characters that do not go on.
  void AppendRest(size_t choice, std::vector<Json>& chunks);

  const ReplyHead head_;
  const bool include_usage_;
  std::map<size_t, Choice> choices_;
};

}  // namespace qwen25
