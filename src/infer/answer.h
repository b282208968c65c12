// One answer as it grows: tokens in, text and the reason of its end out.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/tokenizer.h"

namespace qwen25 {

enum class FinishReason { kStopToken, kStopText, kLength, kContextFull, kCancelled, kError };
// "stop" for a stop token or text, "length", "cancelled", "error": the words of the OpenAI API where it has
// them.
std::string_view FinishReasonName(FinishReason reason);

// When an answer ends.
struct AnswerOptions {
  size_t max_new_tokens = 512;
  std::vector<std::string> stop;     // texts that end the answer; they are not part of it
  std::vector<int32_t> stop_tokens;  // ids that end the answer: the model's end-of-text tokens

  Status Validate() const;
};

// Gets pieces of text as they become final; returning false stops the generation.
using TextCallback = std::function<bool(std::string_view piece)>;

// Finds stop texts in a text that arrives in pieces, and lets through what can no longer be part of one.
class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // Appends to `out` what has become safe to show. True once a stop text is complete; nothing of it or of
  // what follows it comes out.
  bool Feed(std::string_view piece, std::string& out);
  // What was held back and turned out to be no stop text.
  std::string Finish();

 private:
  std::vector<std::string> stops_;
  std::string held_;
};

// Collects the tokens of one answer until one of them ends it, or whoever draws them says so.
class Answer {
 public:
  // `options` must be valid. `on_text` may be null. `tokenizer` and `options` must outlive this object.
  Answer(const Tokenizer& tokenizer, const AnswerOptions& options, TextCallback on_text = nullptr);

  // Takes tokens until one of them ends the answer. Returns how many are part of it; the others are not
  // looked at.
  size_t Add(std::span<const int32_t> tokens);
  // Ends an answer that has not ended; `error` says why where the reason is kError.
  void End(FinishReason reason, Status error = {});

  bool ended() const { return ended_; }
  // Tokens that it still takes at most; 0 where it has ended.
  size_t num_wanted() const { return ended_ ? 0 : options_.max_new_tokens - tokens_.size(); }
  const std::string& text() const { return text_; }
  // A final stop token included.
  const std::vector<int32_t>& tokens() const { return tokens_; }
  // Valid once it has ended.
  FinishReason finish_reason() const { return finish_reason_; }
  const Status& error() const { return error_; }

 private:
  void AddToken(int32_t token);
  // False: whoever reads the text wants no more.
  bool Emit(std::string_view piece);

  const AnswerOptions& options_;
  TextCallback on_text_;
  StreamDecoder decoder_;
  StopMatcher matcher_;
  std::string text_;
  std::vector<int32_t> tokens_;
  bool ended_ = false;
  FinishReason finish_reason_ = FinishReason::kLength;
  Status error_;
};

}  // namespace qwen25
