#include "base/hash.h"
#include "base/json.h"
#include "grammar_walk.h"
#include "targets.h"
#include "text/utf8.h"

namespace qwen25 {

// JSON Schemas of requests. A schema comes back with an error, or with a grammar whose texts are JSON.
void FuzzSchema(std::span<const uint8_t> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const Result<Json> schema = ParseJson(text, "schema");
  if (!schema.ok()) return;
  const bool allow_whitespace = text.size() % 2 == 0;
  const auto grammar = Grammar::FromJsonSchema(
      *schema,
      {.allow_whitespace = allow_whitespace, .ignore_unknown_formats = true, .limits = kSmallGrammarLimits});
  QWEN25_CHECK(grammar.ok() || !grammar.status().message().empty());
  if (!grammar.ok()) return;
  const auto [document, has_ended] = WalkGrammar(*grammar, Rng(Hash64(std::as_bytes(bytes))));
  if (has_ended) QWEN25_CHECK(IsValidUtf8(document) && ParseJson(document, "document").ok());
}

}  // namespace qwen25
