#include "infer/generate.h"

#include <algorithm>

#include "base/clock.h"

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
  }
  return "";
}

bool StopMatcher::Feed(std::string_view piece, std::string& out) {
  held_ += piece;
  // The stop text that is complete first wins, as if the text came letter by letter; of two that end
  // together, the longer.
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
    held_.clear();
    return true;
  }
  // The longest end of the text that begins a stop text has to wait.
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

Result<GenerateResult> Generate(Session& session, const Tokenizer& tokenizer, std::span<const int32_t> prompt,
                                const GenerateOptions& options, const TextCallback& on_text) {
  QWEN25_RETURN_IF_ERROR(options.sampling.Validate());
  for (const std::string& stop : options.stop) {
    if (stop.empty()) return InvalidArgument("a stop text is empty; leave it out instead");
  }
  GenerateResult result;
  result.num_prompt_tokens = prompt.size();
  const double start = NowSeconds();
  const auto keep_going = [&](size_t) { return !on_text || on_text(""); };
  QWEN25_TRY(result.reuse, session.HoldExactly(prompt, keep_going));
  if (options.drafter) QWEN25_RETURN_IF_ERROR(options.drafter->Start(prompt, keep_going));
  const double prompt_done = NowSeconds();
  result.prompt_seconds = prompt_done - start;

  TokenStream stream(session, options.sampling, options.drafter, options.max_draft_tokens);
  StreamDecoder decoder(tokenizer, /*skip_special=*/true);
  StopMatcher matcher(options.stop);
  const auto emit = [&](const std::string& piece) {
    result.text += piece;
    return !on_text || on_text(piece);
  };
  while (true) {
    if (result.tokens.size() >= options.max_new_tokens) {
      result.finish_reason = FinishReason::kLength;
      break;
    }
    const Result<int32_t> next = stream.Next(options.max_new_tokens - result.tokens.size());
    if (!next.ok()) {  // only a full context can refuse a token that the model drew
      result.finish_reason = FinishReason::kContextFull;
      break;
    }
    const int32_t token = *next;
    result.tokens.push_back(token);
    if (std::find(options.stop_tokens.begin(), options.stop_tokens.end(), token) !=
        options.stop_tokens.end()) {
      result.finish_reason = FinishReason::kStopToken;
      break;
    }
    std::string safe;
    const bool stopped = matcher.Feed(decoder.Next(token), safe);
    const bool wanted = emit(safe);
    if (stopped || !wanted) {
      result.finish_reason = stopped ? FinishReason::kStopText : FinishReason::kCancelled;
      break;
    }
  }
  if (result.finish_reason != FinishReason::kStopText) {
    std::string rest;
    if (!matcher.Feed(decoder.Finish(), rest)) rest += matcher.Finish();
    if (!rest.empty()) emit(rest);
  }
  result.speculation = stream.stats();
  result.decode_seconds = NowSeconds() - prompt_done;
  return result;
}

}  // namespace qwen25
