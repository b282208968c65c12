// A grammar as a rule of decoding.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "grammar/matcher.h"
#include "infer/logits_rule.h"

namespace qwen25 {

// The answer matches a grammar from its first token on; the end tokens end it where the grammar lets it end.
class GrammarRule : public LogitsRule {
 public:
  // Errors of GrammarMatcher::Create.
  static Result<std::unique_ptr<GrammarRule>> Create(std::shared_ptr<const Grammar> grammar,
                                                     std::shared_ptr<const TokenTrie> trie,
                                                     std::vector<int32_t> end_tokens);

  void Apply(std::span<float> logits) override;
  void Accept(int32_t token) override;
  void Rollback(size_t count) override;

  const GrammarMatcher& matcher() const { return matcher_; }

 private:
  GrammarRule(GrammarMatcher matcher, size_t vocabulary)
      : matcher_(std::move(matcher)), mask_((vocabulary + 63) / 64) {}

  GrammarMatcher matcher_;
  std::vector<uint64_t> mask_;
};

// Sets logits[i] to minus infinity where bit i % 64 of mask[i / 64] is clear, and beyond the mask.
void ApplyMask(std::span<const uint64_t> mask, std::span<float> logits);

}  // namespace qwen25
