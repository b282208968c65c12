#include "base/hash.h"
#include "grammar_walk.h"
#include "targets.h"
#include "text/utf8.h"

namespace qwen25 {

// GBNF grammars of requests. A grammar comes back with an error, or its texts are UTF-8.
void FuzzGbnf(std::span<const uint8_t> bytes) {
  const std::string_view source(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto grammar = Grammar::FromGbnf(source, kSmallGrammarLimits);
  QWEN25_CHECK(grammar.ok() || !grammar.status().message().empty());
  if (!grammar.ok()) return;
  const auto [text, has_ended] = WalkGrammar(*grammar, Rng(Hash64(std::as_bytes(bytes))));
  if (has_ended) QWEN25_CHECK(IsValidUtf8(text));
}

}  // namespace qwen25
