// What the fuzz targets of grammars share: a grammar that compiles must keep the matcher's promises.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/rng.h"
#include "grammar/grammar.h"
#include "grammar/matcher.h"
#include "grammar/token_trie.h"

namespace qwen25 {

inline constexpr GrammarLimits kSmallGrammarLimits = {.states = 20000, .steps = 200000, .depth = 60};

// Takes allowed tokens, at each step one that `rng` chooses. Some token is allowed at each step, and what is
// allowed is accepted. Returns the text, and whether it ended.
inline std::pair<std::string, bool> WalkGrammar(const std::shared_ptr<const Grammar>& grammar, Rng rng) {
  static const auto& vocabulary = *new std::pair([] {
    std::vector<std::string> texts;
    for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
    for (const char* text :
         {"{\"", "\":", "\",\"", "\"a\":1,\"", "\xC3\xA9", "\xE2\x82", "\\u00", "12", "]}", "true", "\n  "}) {
      texts.emplace_back(text);
    }
    texts.emplace_back();
    const auto end = static_cast<int32_t>(texts.size() - 1);
    return std::pair(std::make_shared<const TokenTrie>(texts), end);
  }());
  const auto& [trie, end] = vocabulary;
  Result<GrammarMatcher> matcher = GrammarMatcher::Create(grammar, trie, {end});
  QWEN25_CHECK(matcher.ok());
  std::vector<uint64_t> bits((trie->vocab_size() + 63) / 64);
  std::string text;
  for (int step = 0; step < 40; ++step) {
    matcher->FillMask(bits);
    std::vector<int32_t> allowed;
    for (size_t token = 0; token < trie->vocab_size(); ++token) {
      if (bits[token / 64] >> (token % 64) & 1) allowed.push_back(static_cast<int32_t>(token));
    }
    QWEN25_CHECK(!allowed.empty());
    const int32_t token = matcher->MayEnd() && rng.Below(4) == 0 ? end : allowed[rng.Below(allowed.size())];
    QWEN25_CHECK(matcher->Accept(token));
    if (token == end) return {text, true};
    text += trie->text(token);
  }
  return {text, false};
}

}  // namespace qwen25
