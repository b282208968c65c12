// Runs the steps of a decoder (tokenizer_steps.h): ids to text. The steps that work on one token are done
// once per token of the vocabulary; what is left for a sequence of tokens is a plan.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/regex.h"
#include "text/tokenizer_spec.h"

namespace qwen25 {

class TokenDecoder {
 public:
  struct Plan {
    std::string separator;               // between two tokens
    size_t leading_spaces = 0;           // at most so many spaces at the beginning of the text are removed
    bool first_token_no_spaces = false;  // the first token's spaces are removed, all of them
  };

  // kUnsupported, naming `origin`, for orders of steps that are not handled.
  static Result<TokenDecoder> Create(const TokenizerSpec& spec, std::string_view origin);

  // The bytes that a token of kCharacters with the text `text`, as tokenizer.json has it, stands for.
  std::string TokenBytes(std::string_view text) const;
  const Plan& plan() const { return plan_; }

 private:
  struct Step {
    enum class Kind { kReplace, kByteFallback } kind;
    TextPattern pattern;
    std::string content;
    std::optional<Regex> regex;
  };
  Status AddStep(const DecoderStep& step, bool& fused, std::string_view origin);

  std::vector<Step> steps_;
  Plan plan_;
};

}  // namespace qwen25
