// POST /infill: the reply, as a whole or as the chunks of a stream.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "serve/api/reply_writer.h"

namespace qwen25 {

// The object that llama.cpp's server answers with. A stream consists of such objects, too, of which only the
// last one has "stop": true and the counts.
class InfillReplyWriter : public ReplyWriter {
 public:
  explicit InfillReplyWriter(std::string model) : model_(std::move(model)) {}

  Json Whole(std::span<const ReplyChoice> choices, const TokenUsage& usage) override;
  std::vector<Json> Begin(size_t) override { return {}; }
  std::vector<Json> Next(size_t choice, std::span<const AnswerPiece> pieces,
                         std::span<const TokenLogprob> logprobs) override;
  std::vector<Json> Finish(size_t choice, const AnswerEnd& end) override;
  std::vector<Json> End(const TokenUsage& usage) override;

 private:
  Json LastJson(std::string content, const AnswerEnd& end, const TokenUsage& usage) const;

  const std::string model_;
  Utf8Pieces text_;
  AnswerEnd end_;
};

}  // namespace qwen25
