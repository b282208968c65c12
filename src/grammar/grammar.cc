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
  QWEN25_TRY(Automaton automaton, Compile(parsed, rules.budget()));
  return rules.Finish(rules.Add("pattern", Embedded(std::move(automaton))));
}

}  // namespace

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
