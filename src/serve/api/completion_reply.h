// POST /v1/completions: the reply, as a whole or as chunks of a stream.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api/reply_parts.h"
#include "serve/api/token_logprobs.h"

namespace qwen25 {

// With `echo`, the text and the log probabilities begin with those of the prompt.
struct CompletionChoice {
  std::string text;
  std::string finish_reason;  // FinishReasonWord
  std::optional<std::vector<TokenLogprob>> logprobs = std::nullopt;
};

// The object "text_completion". Choices are numbered in their order: those of the first prompt come first.
Json CompletionJson(const ReplyHead& head, std::span<const CompletionChoice> choices,
                    const TokenUsage& usage);

// Makes the objects of a stream, which have the same form.
class CompletionChunkWriter {
 public:
  // With `include_usage` the stream ends with Usage(), and all other chunks have "usage": null.
  CompletionChunkWriter(ReplyHead head, bool include_usage);

  // The chunk with a piece of text, if it completes a character or more. `logprobs` are those of the tokens
  // since the last call; without a chunk that they could go with, they go with the next.
  std::vector<Json> Next(size_t choice, std::string_view piece, std::span<const TokenLogprob> logprobs = {});
  // The end of a choice: an empty text, or what was held back, with the reason.
  Json Finish(size_t choice, std::string_view finish_reason);
  // The last chunk: no choices, but the usage.
  Json Usage(const TokenUsage& usage) const;

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
