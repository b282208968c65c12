#include "serve/api/infill_reply.h"

#include <utility>

#include "base/check.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

std::string_view StopType(FinishReason reason) {
  if (reason == FinishReason::kStopToken) return "eos";
  return reason == FinishReason::kStopText ? "word" : "limit";
}

Json ChunkJson(std::string content) {
  return {{"index", 0}, {"content", std::move(content)}, {"stop", false}};
}

}  // namespace

Json InfillReplyWriter::LastJson(std::string content, const AnswerEnd& end, const TokenUsage& usage) const {
  return {{"index", 0},
          {"content", std::move(content)},
          {"stop", true},
          {"model", RepairUtf8(model_)},
          {"tokens_predicted", usage.completion_tokens},
          {"tokens_evaluated", usage.prompt_tokens},
          {"tokens_cached", usage.cached_tokens},
          {"stop_type", StopType(end.reason)},
          {"stopping_word", RepairUtf8(end.stop_text)}};
}

Json InfillReplyWriter::Whole(std::span<const ReplyChoice> choices, const TokenUsage& usage) {
  QWEN25_CHECK(choices.size() == 1);
  return LastJson(RepairUtf8(choices[0].message.content), choices[0].end, usage);
}

std::vector<Json> InfillReplyWriter::Next(size_t, std::span<const AnswerPiece> pieces,
                                          std::span<const TokenLogprob>) {
  std::string text;
  for (const AnswerPiece& piece : pieces) text += text_.Next(piece.content);
  if (text.empty()) return {};
  return {ChunkJson(std::move(text))};
}

std::vector<Json> InfillReplyWriter::Finish(size_t, const AnswerEnd& end) {
  end_ = end;
  return {};
}

std::vector<Json> InfillReplyWriter::End(const TokenUsage& usage) {
  return {LastJson(text_.Finish(), end_, usage)};
}

}  // namespace qwen25
