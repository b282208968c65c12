// One answer as it grows: takes tokens, gives text and the reason why it ended.
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
// "stop" (stop token or stop text), "length" (also for a full context), "cancelled" or "error". The first two
// are the OpenAI API's words.
std::string_view FinishReasonName(FinishReason reason);

// When an answer ends.
struct AnswerOptions {
  size_t max_new_tokens = 512;       // 0: the answer is empty
  std::vector<std::string> stop;     // texts that end the answer and are not part of it
  std::vector<int32_t> stop_tokens;  // ids that end the answer: the model's end-of-text tokens

  // kInvalidArgument if a stop text is empty.
  Status Validate() const;
};

// Receives pieces of text as they become final; returning false stops the generation.
using TextCallback = std::function<bool(std::string_view piece)>;

// Finds stop texts in a text that arrives in pieces. Holds back text that may begin a stop text.
class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // Appends to `out` the text that is safe to show. Returns true when a stop text is complete; that text and
  // everything after it are dropped.
  bool Feed(std::string_view piece, std::string& out);
  // The text still held back, at the end of the input.
  std::string Finish();
  // The stop text that was completed; "" if none was.
  const std::string& found() const { return found_; }

 private:
  std::vector<std::string> stops_;
  std::string held_, found_;
};

// Collects the tokens of one answer until a token or the caller ends it.
class Answer {
 public:
  // `options` must be valid. `on_text` may be null. `tokenizer` and `options` must outlive this object.
  Answer(const Tokenizer& tokenizer, const AnswerOptions& options, TextCallback on_text = nullptr);

  // Takes tokens until one of them ends the answer. Returns how many were taken; the others are ignored.
  size_t Add(std::span<const int32_t> tokens);
  // Ends an answer that has not ended yet. `error` must be an error exactly if `reason` is kError.
  void End(FinishReason reason, Status error = {});

  bool ended() const { return ended_; }
  // The most tokens that it will still take; 0 after its end.
  size_t num_wanted() const { return ended_ ? 0 : options_.max_new_tokens - tokens_.size(); }
  const std::string& text() const { return text_; }
  // All tokens taken, a final stop token included.
  const std::vector<int32_t>& tokens() const { return tokens_; }
  // Valid after the end.
  FinishReason finish_reason() const { return finish_reason_; }
  const Status& error() const { return error_; }
  // The text of AnswerOptions::stop that ended it; "" if none did.
  const std::string& stop_text() const { return matcher_.found(); }

 private:
  void AddToken(int32_t token);
  // Returns false if the callback wants no more text.
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
