// What may follow: the interface of structured output to decoding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace qwen25 {

// Follows the tokens of one answer and says which ones may come next. At least one token may always follow.
class LogitsRule {
 public:
  virtual ~LogitsRule() = default;

  // Sets the logits [vocabulary] of all tokens that may not come next to minus infinity.
  virtual void Apply(std::span<float> logits) = 0;
  // The token was drawn from logits that Apply was called for.
  virtual void Accept(int32_t token) = 0;
  // Takes back the last `count` accepted tokens.
  virtual void Rollback(size_t count) = 0;
};

}  // namespace qwen25
