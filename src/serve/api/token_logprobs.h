// Log probabilities of tokens, as replies to chats and to completions show them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace qwen25 {

// A token that could have come, with its natural logarithm of probability; minus infinity is shown as -9999.
struct TokenAlternative {
  int32_t id = 0;
  std::string bytes;  // the text that it adds, which may be a part of a character
  float logprob = 0;
};

// A token that came.
struct TokenLogprob {
  int32_t id = 0;
  std::string bytes;
  std::optional<float> logprob;       // absent for the first token of a text: nothing stands before it
  std::vector<TokenAlternative> top;  // the most likely ones, best first; may hold the token itself
};

// The bytes if they are UTF-8, else "bytes:\xE2\x82", so that parts of characters stay apart.
std::string TokenName(std::string_view bytes);

// {"content": [{"token", "logprob", "bytes", "top_logprobs": [{"token", "logprob", "bytes"}]}], "refusal":
// null}. All tokens must have a log probability.
Json ChatLogprobsJson(std::span<const TokenLogprob> tokens);

// Writes the logprobs of one text of a completion, in one go or piece by piece.
class CompletionLogprobs {
 public:
  // {"tokens", "token_logprobs", "top_logprobs", "text_offset"} of the next tokens. "top_logprobs" has an
  // object for each token, of names and log probabilities, always with the token itself; null for the first
  // token of a text, like its log probability. A name that another token of the object has already is
  // "token_id:123". "text_offset" is where a token begins in the text, in characters; that of a token within
  // a character is where the character begins.
  Json Next(std::span<const TokenLogprob> tokens);

 private:
  size_t num_characters_ = 0;
  std::string incomplete_;  // the beginning of a character
};

}  // namespace qwen25
