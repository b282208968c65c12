#include "serve/api/reply_parts.h"

#include <utility>

#include "base/check.h"
#include "text/utf8.h"

namespace qwen25 {

Json UsageJson(const TokenUsage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"completion_tokens_details",
           {{"accepted_prediction_tokens", usage.accepted_prediction_tokens},
            {"rejected_prediction_tokens", usage.rejected_prediction_tokens}}}};
}

std::string_view FinishReasonWord(const AnswerEnd& end) {
  switch (end.reason) {
    case FinishReason::kStopToken:
    case FinishReason::kStopText:
      return end.has_calls ? "tool_calls" : "stop";
    case FinishReason::kLength:
    case FinishReason::kContextFull:
    case FinishReason::kCancelled:
      return "length";
    case FinishReason::kError:
      break;
  }
  QWEN25_CHECK(false);
  return "";
}

std::string Utf8Pieces::Next(std::string_view piece) {
  held_ += piece;
  const size_t num_complete = held_.size() - IncompleteUtf8Suffix(held_);
  std::string text = RepairUtf8(std::string_view(held_).substr(0, num_complete));
  held_.erase(0, num_complete);
  return text;
}

std::string Utf8Pieces::Finish() {
  return RepairUtf8(std::exchange(held_, {}));
}

}  // namespace qwen25
