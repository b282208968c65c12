#include "base/hash.h"
#include "grammar_walk.h"
#include "targets.h"
#include "text/utf8.h"

namespace qwen25 {

// Regular expressions of requests. A pattern comes back with an error that shows it, or with a grammar whose
// texts are UTF-8.
void FuzzPattern(std::span<const uint8_t> bytes) {
  const std::string_view pattern(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto grammar = Grammar::FromRegex(pattern, kSmallGrammarLimits);
  if (!grammar.ok()) {
    QWEN25_CHECK(grammar.status().message().starts_with("pattern \""));
    return;
  }
  const auto [text, has_ended] = WalkGrammar(*grammar, Rng(Hash64(std::as_bytes(bytes))));
  if (has_ended) QWEN25_CHECK(IsValidUtf8(text));
}

}  // namespace qwen25
