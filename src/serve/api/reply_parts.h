// What replies of several endpoints have in common.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "infer/answer.h"

namespace qwen25 {

// What identifies a reply and, in a stream, all of its chunks.
struct ReplyHead {
  std::string id;       // NewIdentifier("chatcmpl-") or ("cmpl-")
  int64_t created = 0;  // seconds since 1970
  std::string model;    // the name that GET /v1/models shows
};

// Counts of tokens.
struct TokenUsage {
  size_t prompt_tokens = 0;
  size_t completion_tokens = 0;  // of all choices, stop tokens included
  size_t cached_tokens = 0;      // of the prompt: their keys and values were there already
  size_t accepted_prediction_tokens =
      0;  // drafted tokens that are part of the answer, and those that are not
  size_t rejected_prediction_tokens = 0;
};
Json UsageJson(const TokenUsage& usage);

// Why an answer ended. Not kError: the client then gets the error instead.
struct AnswerEnd {
  FinishReason reason = FinishReason::kStopToken;
  bool has_calls = false;      // of functions
  std::string stop_text = {};  // of kStopText: the one that the answer ran into
};
// OpenAI's word for it: "stop", "length" or, if the answer stopped by itself with calls, "tool_calls". One
// that was cancelled, say by its deadline, was cut: "length".
std::string_view FinishReasonWord(const AnswerEnd& end);

// A text that comes in pieces, which may be cut within a character, as pieces of well-formed UTF-8.
class Utf8Pieces {
 public:
  // What can be given after the next piece; ill-formed parts are U+FFFD.
  std::string Next(std::string_view piece);
  // The rest, at the end: U+FFFD or nothing.
  std::string Finish();

 private:
  std::string held_;
};

}  // namespace qwen25
