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
  std::vector<int32_t> ends = stop_tokens;
  ends.push_back(*end);
  std::vector<int32_t> after_object = ends;
  after_object.push_back(*line_feed);
  const size_t vocabulary = trie->vocab_size();
  QWEN25_TRY(GrammarMatcher matcher,
             GrammarMatcher::Create(std::move(grammar), std::move(trie), std::move(after_object)));
  auto rule = std::shared_ptr<ToolCallRule>(new ToolCallRule(std::move(matcher)));
  rule->call_begin_ = *begin;
  rule->call_end_ = *end;
  rule->line_feed_ = *line_feed;
  rule->ends_ = std::move(ends);
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
  if (now.state == State::kDone) return AllowOnly(ends_, logits);
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
  GrammarMatcher& matcher = calls_.back();
  in_matcher = matcher.Accept(token);
  QWEN25_CHECK(in_matcher);
  if (!matcher.HasEnded()) return State::kObject;
  return token == line_feed_ ? State::kDone : State::kFree;
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
