#include "infer/answer.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace qwen25 {

std::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStopToken:
    case FinishReason::kStopText:
      return "stop";
    case FinishReason::kLength:
    case FinishReason::kContextFull:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kError:
      return "error";
  }
  return "";
}

Status AnswerOptions::Validate() const {
  for (const std::string& text : stop) {
    if (text.empty()) return InvalidArgument("a stop text is empty; leave it out");
  }
  return {};
}

bool StopMatcher::Feed(std::string_view piece, std::string& out) {
  held_ += piece;
  // The stop text that ends first wins, as if the text came letter by letter. Of two that end together, the
  // longer one wins.
  size_t stop_at = std::string::npos, stop_end = std::string::npos;
  for (const std::string& stop : stops_) {
    const size_t at = held_.find(stop);
    if (at == std::string::npos) continue;
    if (at + stop.size() < stop_end || (at + stop.size() == stop_end && at < stop_at)) {
      stop_at = at;
      stop_end = at + stop.size();
    }
  }
  if (stop_at != std::string::npos) {
    out.append(held_, 0, stop_at);
    found_ = held_.substr(stop_at, stop_end - stop_at);
    held_.clear();
    return true;
  }
  // Hold back the longest suffix of the text that is a prefix of a stop text.
  size_t keep = 0;
  for (const std::string& stop : stops_) {
    for (size_t length = std::min(stop.size() - 1, held_.size()); length > keep; --length) {
      if (std::string_view(held_).substr(held_.size() - length) == std::string_view(stop).substr(0, length)) {
        keep = length;
      }
    }
  }
  out.append(held_, 0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return false;
}

std::string StopMatcher::Finish() {
  return std::exchange(held_, {});
}

Answer::Answer(const Tokenizer& tokenizer, const AnswerOptions& options, TextCallback on_text)
    : options_(options),
      on_text_(std::move(on_text)),
      decoder_(tokenizer, /*skip_special=*/true),
      matcher_(options.stop) {
  if (options.max_new_tokens == 0) End(FinishReason::kLength);
}

size_t Answer::Add(std::span<const int32_t> tokens) {
  size_t num_added = 0;
  while (!ended_ && num_added < tokens.size()) AddToken(tokens[num_added++]);
  return num_added;
}

void Answer::AddToken(int32_t token) {
  tokens_.push_back(token);
  if (std::ranges::find(options_.stop_tokens, token) != options_.stop_tokens.end()) {
    return End(FinishReason::kStopToken);
  }
  std::string safe;
  const bool stopped = matcher_.Feed(decoder_.Next(token), safe);
  const bool wanted = Emit(safe);
  if (stopped) return End(FinishReason::kStopText);
  if (!wanted) return End(FinishReason::kCancelled);
  if (tokens_.size() >= options_.max_new_tokens) End(FinishReason::kLength);
}

void Answer::End(FinishReason reason, Status error) {
  QWEN25_CHECK(!ended_ && error.ok() == (reason != FinishReason::kError));
  ended_ = true;
  finish_reason_ = reason;
  error_ = std::move(error);
  if (reason == FinishReason::kStopText) return;
  std::string rest;
  if (!matcher_.Feed(decoder_.Finish(), rest)) rest += matcher_.Finish();
  if (!rest.empty()) Emit(rest);
}

bool Answer::Emit(std::string_view piece) {
  text_ += piece;
  return !on_text_ || on_text_(piece);
}

}  // namespace qwen25
