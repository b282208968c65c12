#include "serve/calls/tool_call_rule.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"
#include "infer/grammar_rule.h"

namespace qwen25 {

Result<std::shared_ptr<ToolCallRule>> ToolCallRule::Create(const Tokenizer& tokenizer,
                                                           std::shared_ptr<const Grammar> grammar,
                                                           std::shared_ptr<const TokenTrie> trie,
                                                           const std::vector<int32_t>& stop_tokens) {
  const std::optional<int32_t> begin = tokenizer.TokenId("<tool_call>"),
                               end = tokenizer.TokenId("</tool_call>"), line_feed = tokenizer.TokenId("\n");
  if (!begin || !end || !line_feed) return std::shared_ptr<ToolCallRule>();
  const size_t vocabulary = trie->vocab_size();
  QWEN25_TRY(GrammarMatcher matcher,
             GrammarMatcher::Create(std::move(grammar), std::move(trie), stop_tokens));
  auto rule = std::shared_ptr<ToolCallRule>(new ToolCallRule(std::move(matcher)));
  rule->call_begin_ = *begin;
  rule->line_feed_ = *line_feed;
  rule->after_line_feed_ = stop_tokens;
  rule->after_line_feed_.push_back(*end);
  rule->after_object_ = rule->after_line_feed_;
  rule->after_object_.push_back(*line_feed);
  rule->mask_.resize((vocabulary + 63) / 64);
  return rule;
}

void ToolCallRule::AllowOnly(std::span<const int32_t> tokens, std::span<float> logits) {
  std::ranges::fill(mask_, 0);
  for (const int32_t token : tokens) {
    mask_[static_cast<size_t>(token) / 64] |= uint64_t{1} << (static_cast<size_t>(token) % 64);
  }
  ApplyMask(mask_, logits);
}

void ToolCallRule::Apply(std::span<float> logits) {
  const Moment& now = history_.back();
  if (now.state == State::kFree) return;
  if (now.state == State::kDone) return AllowOnly(after_line_feed_, logits);
  // An object may end where its last brace was, and only there.
  if (calls_[now.call].MayEnd()) return AllowOnly(after_object_, logits);
  calls_[now.call].FillMask(mask_);
  if (now.state == State::kBegun) {
    mask_[static_cast<size_t>(line_feed_) / 64] |= uint64_t{1} << (static_cast<size_t>(line_feed_) % 64);
  }
  ApplyMask(mask_, logits);
}

ToolCallRule::State ToolCallRule::StateAfter(State state, int32_t token, bool& in_matcher) {
  if (state == State::kFree) {
    if (token != call_begin_) return State::kFree;
    calls_.push_back(first_);
    return State::kBegun;
  }
  if (state == State::kDone) return State::kFree;
  if (state == State::kBegun && token == line_feed_) return State::kObject;
  if (calls_.back().MayEnd()) return token == line_feed_ ? State::kDone : State::kFree;
  in_matcher = calls_.back().Accept(token);
  QWEN25_CHECK(in_matcher);
  return State::kObject;
}

void ToolCallRule::Accept(int32_t token) {
  bool in_matcher = false;
  const State state = StateAfter(history_.back().state, token, in_matcher);
  history_.push_back({state, calls_.empty() ? 0 : calls_.size() - 1, in_matcher});
}

void ToolCallRule::Rollback(size_t count) {
  QWEN25_CHECK(count < history_.size());
  for (; count > 0; --count) {
    const Moment last = history_.back();
    history_.pop_back();
    if (last.in_matcher) calls_[last.call].Rollback(1);
    if (last.state == State::kBegun) calls_.pop_back();
  }
}

}  // namespace qwen25
