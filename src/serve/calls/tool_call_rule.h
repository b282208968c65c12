// Calls of functions that a model makes of its own accord, held to the functions' schemas.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "grammar/matcher.h"
#include "infer/logits_rule.h"
#include "text/tokenizer.h"

namespace qwen25 {

// The answer is free until the token <tool_call>. What follows is an object of the grammar, between line
// feeds or not, then </tool_call> or the end; then it is free again.
class ToolCallRule : public LogitsRule {
 public:
  // Null if the vocabulary has no token <tool_call>: what such a model writes as a call is not held to
  // anything. Errors of GrammarMatcher::Create.
  static Result<std::shared_ptr<ToolCallRule>> Create(const Tokenizer& tokenizer,
                                                      std::shared_ptr<const Grammar> grammar,
                                                      std::shared_ptr<const TokenTrie> trie,
                                                      const std::vector<int32_t>& stop_tokens);

  void Apply(std::span<float> logits) override;
  void Accept(int32_t token) override;
  void Rollback(size_t count) override;

 private:
  enum class State : uint8_t {
    kFree,
    kBegun,   // after <tool_call>
    kObject,  // in the object, or before it
    kDone,    // after the line feed that follows the object
  };
  struct Moment {
    State state = State::kFree;
    size_t call = 0;          // of calls_, in kBegun and kObject
    bool in_matcher = false;  // the token was accepted by that matcher
  };

  explicit ToolCallRule(GrammarMatcher matcher) : first_(std::move(matcher)) {}
  State StateAfter(State state, int32_t token, bool& in_matcher);
  void AllowOnly(std::span<const int32_t> tokens, std::span<float> logits);

  GrammarMatcher first_;  // before any token
  std::vector<GrammarMatcher> calls_;
  int32_t call_begin_ = -1, line_feed_ = -1;
  std::vector<int32_t> after_line_feed_;  // the end of the call, and those of the answer
  std::vector<int32_t> after_object_;     // the same, and a line feed
  std::vector<uint64_t> mask_;
  std::vector<Moment> history_ = {Moment()};
};

}  // namespace qwen25
