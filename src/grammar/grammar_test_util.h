// Helpers for the tests of this folder. Included by *_test.cc only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/test_util.h"
#include "grammar/grammar.h"
#include "grammar/matcher.h"
#include "grammar/token_trie.h"

namespace qwen25 {

// A vocabulary of all bytes, then `more`, then a token that ends the text.
class TestVocabulary {
 public:
  explicit TestVocabulary(const std::vector<std::string>& more = {}) {
    for (int byte = 0; byte < 256; ++byte) texts_.emplace_back(1, static_cast<char>(byte));
    texts_.insert(texts_.end(), more.begin(), more.end());
    texts_.emplace_back();
    trie_ = std::make_shared<const TokenTrie>(texts_);
  }

  const std::shared_ptr<const TokenTrie>& trie() const { return trie_; }
  int32_t end() const { return static_cast<int32_t>(texts_.size() - 1); }
  size_t size() const { return texts_.size(); }

  GrammarMatcher Match(const Grammar::Pointer& grammar) const {
    Result<GrammarMatcher> matcher = GrammarMatcher::Create(grammar, trie_, {end()});
    EXPECT_OK(matcher);
    return std::move(*matcher);
  }

 private:
  std::vector<std::string> texts_;
  std::shared_ptr<const TokenTrie> trie_;
};

inline bool AcceptBytes(GrammarMatcher& matcher, std::string_view text) {
  for (const char byte : text) {
    if (!matcher.Accept(static_cast<uint8_t>(byte))) return false;
  }
  return true;
}

// Whether the whole text matches.
inline bool Matches(const Grammar::Pointer& grammar, std::string_view text) {
  static const TestVocabulary& vocabulary = *new TestVocabulary();
  GrammarMatcher matcher = vocabulary.Match(grammar);
  return AcceptBytes(matcher, text) && matcher.MayEnd();
}

inline std::vector<int32_t> AllowedTokens(GrammarMatcher& matcher, size_t vocab_size) {
  std::vector<uint64_t> bits((vocab_size + 63) / 64);
  matcher.FillMask(bits);
  std::vector<int32_t> tokens;
  for (size_t token = 0; token < vocab_size; ++token) {
    if (bits[token / 64] >> (token % 64) & 1) tokens.push_back(static_cast<int32_t>(token));
  }
  return tokens;
}

}  // namespace qwen25
