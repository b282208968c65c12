#include "grammar/grammar.h"

#include "grammar/gbnf.h"
#include "grammar/json_text.h"
#include "grammar/pattern.h"
#include "grammar/schema_compiler.h"

namespace qwen25 {
namespace {

Result<Grammar::Pointer> Made(Result<grammar::GrammarTables> tables, bool is_json) {
  if (!tables.ok()) return tables.status();
  tables->is_json = is_json;
  return std::make_shared<const Grammar>(std::move(*tables));
}

Result<grammar::GrammarTables> CompilePattern(std::string_view pattern, const GrammarLimits& limits) {
  using namespace grammar;
  RuleSet rules(limits);
  QWEN25_TRY(const Expression parsed, ParsePattern(pattern, limits));
  // Repeats become rules that are counted, unless there are assertions: those want to see the whole text.
  if (!HasAssertions(parsed)) return rules.Finish(rules.Add("the pattern", parsed));
  QWEN25_TRY(Automaton automaton, Compile(parsed, rules.budget()));
  return rules.Finish(rules.Add("the pattern", Embedded(std::move(automaton))));
}

}  // namespace

Grammar::Grammar(grammar::GrammarTables tables)
    : tables_(std::make_shared<const grammar::GrammarTables>(std::move(tables))) {
  for (const grammar::ByteEdge& edge : tables_->bytes) {
    for (int byte = edge.first; byte <= edge.last; ++byte) needed_bytes_.set(byte);
  }
}

Result<std::shared_ptr<const grammar::GrammarTables>> Grammar::TablesFor(
    const std::bitset<256>& bytes) const {
  const std::bitset<256> usable = bytes & needed_bytes_;
  if (usable == needed_bytes_) return tables_;
  const std::lock_guard lock(mutex_);
  for (const auto& [known, tables] : restricted_) {
    if (known == bytes) return tables;
  }
  QWEN25_TRY(grammar::GrammarTables tables, WithoutDeadEnds(*tables_, bytes));
  return restricted_.emplace_back(bytes, std::make_shared<const grammar::GrammarTables>(std::move(tables)))
      .second;
}

Result<Grammar::Pointer> Grammar::FromJsonSchema(const Json& schema, const SchemaOptions& options) {
  return Made(grammar::CompileSchema(schema, options), true);
}

Result<Grammar::Pointer> Grammar::AnyJson(const SchemaOptions& options) {
  grammar::RuleSet rules(options.limits);
  grammar::JsonText text(rules, options.allow_whitespace);
  QWEN25_TRY(const uint32_t object, text.AnyObject());
  return Made(rules.Finish(object), true);
}

Result<Grammar::Pointer> Grammar::FromRegex(std::string_view pattern, const GrammarLimits& limits) {
  Result<grammar::GrammarTables> tables = CompilePattern(pattern, limits);
  if (tables.ok()) return Made(std::move(tables), false);
  return Status(tables.status().code(),
                fmt::format("pattern \"{}\": {}", pattern, tables.status().message()));
}

Result<Grammar::Pointer> Grammar::FromGbnf(std::string_view source, const GrammarLimits& limits) {
  return Made(grammar::CompileGbnf(source, limits), false);
}

}  // namespace qwen25
