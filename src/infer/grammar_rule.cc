#include "infer/grammar_rule.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"

namespace qwen25 {

void ApplyMask(std::span<const uint64_t> mask, std::span<float> logits) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  for (size_t word = 0; 64 * word < logits.size(); ++word) {
    const uint64_t bits = word < mask.size() ? mask[word] : 0;
    const std::span<float> row = logits.subspan(64 * word, std::min<size_t>(64, logits.size() - 64 * word));
    if (bits == ~uint64_t{0}) continue;
    if (bits == 0) {
      std::ranges::fill(row, kNever);
      continue;
    }
    for (size_t i = 0; i < row.size(); ++i) row[i] = ((bits >> i) & 1) != 0 ? row[i] : kNever;
  }
}

Result<std::unique_ptr<GrammarRule>> GrammarRule::Create(std::shared_ptr<const Grammar> grammar,
                                                         std::shared_ptr<const TokenTrie> trie,
                                                         std::vector<int32_t> end_tokens) {
  const size_t vocabulary = trie->vocab_size();
  QWEN25_TRY(GrammarMatcher matcher,
             GrammarMatcher::Create(std::move(grammar), std::move(trie), std::move(end_tokens)));
  return std::unique_ptr<GrammarRule>(new GrammarRule(std::move(matcher), vocabulary));
}

void GrammarRule::Apply(std::span<float> logits) {
  matcher_.FillMask(mask_);
  ApplyMask(mask_, logits);
}

void GrammarRule::Accept(int32_t token) {
  QWEN25_CHECK(matcher_.Accept(token));
}

void GrammarRule::Rollback(size_t count) {
  matcher_.Rollback(count);
}

}  // namespace qwen25
