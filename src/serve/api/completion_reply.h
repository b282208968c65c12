// POST /v1/completions: the reply, as a whole or as chunks of a stream.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api/reply_writer.h"

namespace qwen25 {

// The object "text_completion", or those of a stream, which have the same form. Choices of the first prompt
// come first. Answers have no calls; with `echo`, their text and log probabilities begin with the prompt's.
class CompletionReplyWriter : public ReplyWriter {
 public:
  // With `include_usage` a stream ends with a chunk that has no choices, but the usage; all others have
  // "usage": null.
  CompletionReplyWriter(ReplyHead head, bool include_usage);

  Json Whole(std::span<const ReplyChoice> choices, const TokenUsage& usage) override;
  std::vector<Json> Begin(size_t) override { return {}; }
  // A chunk, if the pieces complete a character or more.
  std::vector<Json> Next(size_t choice, std::span<const AnswerPiece> pieces,
                         std::span<const TokenLogprob> logprobs) override;
  // An empty text, or what was held back, with the reason.
  std::vector<Json> Finish(size_t choice, const AnswerEnd& end) override;
  std::vector<Json> End(const TokenUsage& usage) override;
  std::string_view Closing() const override { return kStreamEnd; }

 private:
  struct Choice {
    Utf8Pieces text;
    CompletionLogprobs writer;
    std::vector<TokenLogprob> logprobs;  // not sent yet
  };
  Json Chunk(size_t choice, std::string text, Json finish_reason);

  const ReplyHead head_;
  const bool include_usage_;
  std::map<size_t, Choice> choices_;
};

}  // namespace qwen25
