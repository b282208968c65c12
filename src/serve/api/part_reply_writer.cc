#include "serve/api/part_reply_writer.h"

#include <utility>

#include "base/check.h"
#include "text/utf8.h"

namespace qwen25 {

std::vector<AnswerPart> PartsOf(const ReplyChoice& choice) {
  std::vector<AnswerPart> parts;
  if (!choice.message.content.empty()) {
    parts.push_back({.text = RepairUtf8(choice.message.content)});
    if (choice.logprobs) parts.back().logprobs = *choice.logprobs;
  }
  for (const FunctionCall& call : choice.message.tool_calls) {
    parts.push_back({.index = parts.size(),
                     .call = FunctionCall{call.id, RepairUtf8(call.name), RepairUtf8(call.arguments)}});
  }
  return parts;
}

bool IsCut(const AnswerEnd& end) {
  return end.reason != FinishReason::kStopToken && end.reason != FinishReason::kStopText;
}

std::string PartReplyWriter::Frame(const Json& event) const {
  return ServerSentEvent(event["type"].get_ref<const std::string&>(), event);
}

std::vector<Json> PartReplyWriter::Begin(size_t choice) {
  QWEN25_CHECK(choice == 0);
  std::vector<Json> events;
  if (!std::exchange(has_begun_, true)) BeginReply(events);
  return events;
}

void PartReplyWriter::Open(std::optional<FunctionCall> call, std::vector<Json>& events) {
  Close(/*is_cut=*/false, events);
  parts_.push_back({.index = parts_.size(), .call = std::move(call)});
  is_open_ = true;
  BeginPart(parts_.back(), events);
}

void PartReplyWriter::Grow(std::string more, std::vector<Json>& events) {
  if (more.empty()) return;
  AnswerPart& part = parts_.back();
  const std::vector<TokenLogprob> logprobs = std::exchange(logprobs_, {});
  part.logprobs.insert(part.logprobs.end(), logprobs.begin(), logprobs.end());
  (part.call ? part.call->arguments : part.text) += more;
  ContinuePart(part, more, logprobs, events);
}

void PartReplyWriter::Close(bool is_cut, std::vector<Json>& events) {
  if (!std::exchange(is_open_, false)) return;
  Grow(text_.Finish(), events);
  // Those of tokens that added no text, such as the one that ended the answer.
  AnswerPart& part = parts_.back();
  for (TokenLogprob& logprob : std::exchange(logprobs_, {})) part.logprobs.push_back(std::move(logprob));
  EndPart(part, is_cut, events);
}

std::vector<Json> PartReplyWriter::Next(size_t choice, std::span<const AnswerPiece> pieces,
                                        std::span<const TokenLogprob> logprobs) {
  std::vector<Json> events = Begin(choice);
  logprobs_.insert(logprobs_.end(), logprobs.begin(), logprobs.end());
  for (const AnswerPiece& piece : pieces) {
    const bool is_in_text = is_open_ && !parts_.back().call;
    if (!piece.call) {
      if (piece.content.empty()) continue;
      if (!is_in_text) Open(std::nullopt, events);
      Grow(text_.Next(piece.content), events);
      continue;
    }
    if (!piece.call->id.empty()) {
      Open(FunctionCall{piece.call->id, RepairUtf8(piece.call->name), ""}, events);
    }
    QWEN25_CHECK(is_open_ && parts_.back().call);
    Grow(text_.Next(piece.call->arguments), events);
  }
  return events;
}

std::vector<Json> PartReplyWriter::Finish(size_t choice, const AnswerEnd& end) {
  std::vector<Json> events = Begin(choice);
  end_ = end;
  Close(IsCut(end), events);
  return events;
}

}  // namespace qwen25
