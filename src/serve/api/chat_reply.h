// POST /v1/chat/completions: the reply, as a whole or as chunks of a stream.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api/reply_writer.h"

namespace qwen25 {

// The object "chat.completion", or the objects "chat.completion.chunk" of a stream. Clients join what the
// chunks of a choice have, so that its role, and the id and name of a call, are sent once.
class ChatReplyWriter : public ReplyWriter {
 public:
  // With `include_usage` a stream ends with a chunk that has no choices, but the usage; all others have
  // "usage": null.
  ChatReplyWriter(ReplyHead head, bool include_usage);

  Json Whole(std::span<const ReplyChoice> choices, const TokenUsage& usage) override;
  // The chunk with the role.
  std::vector<Json> Begin(size_t choice) override;
  // A chunk for each piece.
  std::vector<Json> Next(size_t choice, std::span<const AnswerPiece> pieces,
                         std::span<const TokenLogprob> logprobs) override;
  // An empty delta with the reason.
  std::vector<Json> Finish(size_t choice, const AnswerEnd& end) override;
  std::vector<Json> End(const TokenUsage& usage) override;
  std::string_view Closing() const override { return kStreamEnd; }

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
