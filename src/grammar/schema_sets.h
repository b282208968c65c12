// Questions about sets of schemas: the ways to satisfy them, whether a value does, whether any can.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/automaton.h"
#include "grammar/schema_document.h"
#include "grammar/schema_facts.h"

namespace qwen25::grammar {

// Sorts and removes repeats.
SchemaSet AsSet(std::vector<const Json*> schemas);

class SchemaSets {
 public:
  SchemaSets(SchemaDocument& document, Budget& budget, bool ignores_unknown_formats)
      : document_(document), budget_(budget), reader_(document, budget.limits(), ignores_unknown_formats) {}

  SchemaDocument& document() { return document_; }
  Budget& budget() { return budget_; }

  // Facts without groups, such that a value satisfies the schemas if one of them holds. kUnsupported if two
  // branches of oneOf may hold together and what must not hold cannot be said.
  Result<std::vector<Facts>> Alternatives(const SchemaSet& schemas);

  // What a property of this name must satisfy; a member false is among it if there may be none.
  Result<SchemaSet> PropertySchemas(const Facts& facts, const std::string& name);
  // What properties that no schema names must satisfy; `matches(pattern)` says which patterns their names
  // match.
  template <typename Matches>
  SchemaSet OtherPropertySchemas(const Facts& facts, Matches&& matches);
  SchemaSet ItemSchemas(const Facts& facts, size_t index);
  // From this index on, all items must satisfy the same.
  static size_t NumPrefixItems(const Facts& facts);

  // The contents of the strings; nothing if only their length matters.
  Result<std::optional<Automaton>> StringContents(const Facts& facts);
  // The strings that satisfy the schemas.
  Result<Automaton> Strings(const SchemaSet& schemas);
  // The automaton of texts in which the pattern is found.
  Result<std::shared_ptr<const Automaton>> CompiledPattern(const Json* schema, const std::string& pattern,
                                                           std::string_view keyword);
  // Well-formed UTF-8 of `least` to `most` code points.
  Result<Automaton> TextOfLength(uint32_t least, uint32_t most);

  Result<bool> Satisfies(const Json& value, const SchemaSet& schemas) { return Satisfies(value, schemas, 0); }
  Result<bool> Satisfies(const Json& value, const Facts& facts) { return Satisfies(value, facts, 0); }
  // True only if no value satisfies the facts; false if that is not known.
  Result<bool> IsEmpty(const Facts& facts) { return IsEmpty(facts, 0); }

 private:
  Status Expand(Facts facts, std::vector<Facts>& alternatives, size_t depth);
  // The branch, with what keeps the branches before and behind it from holding too.
  Status AddExclusiveBranch(const Facts::Group& group, size_t index, Facts& facts);
  Result<bool> Satisfies(const Json& value, const SchemaSet& schemas, size_t depth);
  Result<bool> Satisfies(const Json& value, const Facts& facts, size_t depth);
  Result<bool> SatisfiesAsString(const std::string& value, const Facts& facts);
  Result<bool> SatisfiesAsArray(const Json& value, const Facts& facts, size_t depth);
  Result<bool> SatisfiesAsObject(const Json& value, const Facts& facts, size_t depth);
  Result<bool> IsEmpty(const Facts& facts, size_t depth);
  Result<bool> IsEmptyForType(const Facts& facts, uint8_t type, size_t depth);

  SchemaDocument& document_;
  Budget& budget_;
  FactsReader reader_;
  std::map<std::string, std::shared_ptr<const Automaton>> patterns_;
};

template <typename Matches>
SchemaSet SchemaSets::OtherPropertySchemas(const Facts& facts, Matches&& matches) {
  std::vector<const Json*> schemas;
  for (const Json* object : facts.objects) {
    bool is_matched = false;
    if (object->contains("patternProperties")) {
      const Json* patterns = document_.Child(object, "patternProperties");
      for (const auto& [pattern, schema] : patterns->items()) {
        if (!matches(pattern)) continue;
        schemas.push_back(document_.Child(patterns, pattern));
        is_matched = true;
      }
    }
    for (const char* keyword : {"additionalProperties", "unevaluatedProperties"}) {
      if (!is_matched && object->contains(keyword)) schemas.push_back(document_.Child(object, keyword));
      is_matched |= object->contains(keyword);
    }
  }
  return AsSet(std::move(schemas));
}

}  // namespace qwen25::grammar
