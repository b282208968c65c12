#include "grammar/schema_sets.h"

#include <algorithm>

#include "grammar/expression.h"
#include "grammar/pattern.h"
#include "text/utf8.h"

namespace qwen25::grammar {
namespace {

// Ways to satisfy one set of schemas; combinations of anyOf can make very many.
constexpr size_t kMaxAlternatives = 1024;
// How far into objects and arrays contradictions are looked for.
constexpr size_t kMaxEmptyDepth = 4;

uint32_t CountCharacters(std::string_view text) {
  return static_cast<uint32_t>(std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

// Moves the objects that `branch` has and `before` does not to where the choice of the branch stands.
void MoveObjects(const Facts& before, size_t position, Facts& branch) {
  const auto begin = branch.objects.begin();
  std::rotate(begin + static_cast<ptrdiff_t>(position), begin + static_cast<ptrdiff_t>(before.objects.size()),
              branch.objects.end());
  for (size_t i = before.groups.size(); i < branch.groups.size(); ++i) {
    branch.groups[i].num_objects -= before.objects.size() - position;
  }
}

bool ContainsFalse(const SchemaSet& schemas) {
  return std::ranges::any_of(schemas, [](const Json* schema) { return *schema == Json(false); });
}

}  // namespace

SchemaSet AsSet(std::vector<const Json*> schemas) {
  std::ranges::sort(schemas);
  schemas.erase(std::unique(schemas.begin(), schemas.end()), schemas.end());
  return schemas;
}

Result<std::vector<Facts>> SchemaSets::Alternatives(const SchemaSet& schemas) {
  Facts facts;
  for (const Json* schema : schemas) QWEN25_RETURN_IF_ERROR(reader_.Add(schema, facts));
  std::vector<Facts> alternatives;
  QWEN25_RETURN_IF_ERROR(Expand(std::move(facts), alternatives, 0));
  return alternatives;
}

Status SchemaSets::Expand(Facts facts, std::vector<Facts>& alternatives, size_t depth) {
  QWEN25_RETURN_IF_ERROR(budget_.SpendSteps(100));
  if (facts.types == 0) return {};
  if (facts.groups.empty()) {
    if (alternatives.size() >= kMaxAlternatives) {
      return ResourceExhausted(
          "more than {} combinations of the branches of anyOf, oneOf and the like in one value",
          kMaxAlternatives);
    }
    alternatives.push_back(std::move(facts));
    return {};
  }
  const Facts::Group group = facts.groups.back();
  facts.groups.pop_back();
  if (depth > budget_.limits().depth) {
    return ResourceExhausted(
        "{}: more than {} choices inside each other, or a $ref that leads back to itself",
        document_.Place(group.schema, group.keyword), budget_.limits().depth);
  }
  for (size_t i = 0; i < group.branches.size(); ++i) {
    Facts branch = facts;
    if (group.is_exclusive) {
      QWEN25_RETURN_IF_ERROR(AddExclusiveBranch(group, i, branch));
    } else {
      QWEN25_RETURN_IF_ERROR(reader_.Add(group.branches[i], branch));
    }
    MoveObjects(facts, group.num_objects, branch);
    QWEN25_RETURN_IF_ERROR(Expand(std::move(branch), alternatives, depth + 1));
  }
  return {};
}

Status SchemaSets::AddExclusiveBranch(const Facts::Group& group, size_t index, Facts& facts) {
  QWEN25_RETURN_IF_ERROR(reader_.Add(group.branches[index], facts));
  const Facts alone = facts;
  for (size_t other = 0; other < group.branches.size(); ++other) {
    if (other == index) continue;
    Facts both = alone;
    QWEN25_RETURN_IF_ERROR(reader_.Add(group.branches[other], both));
    QWEN25_TRY(const bool is_empty, IsEmpty(both));
    if (is_empty) continue;
    const Status status = reader_.AddNegation(group.branches[other], facts);
    if (status.ok()) continue;
    return Unsupported(
        "{}: the branches {} and {} may hold together, and what tells them apart cannot be said ({})",
        document_.Place(group.schema, group.keyword), index, other, status.message());
  }
  return {};
}

Result<SchemaSet> SchemaSets::PropertySchemas(const Facts& facts, const std::string& name) {
  std::vector<const Json*> schemas;
  for (const Json* object : facts.objects) {
    const auto properties = object->find("properties");
    const bool is_named = properties != object->end() && properties->contains(name);
    if (is_named) schemas.push_back(document_.Child(document_.Child(object, "properties"), name));
    // Patterns apply to named properties, too; additionalProperties only to what nothing else matches.
    bool is_matched = is_named;
    if (object->contains("patternProperties")) {
      const Json* patterns = document_.Child(object, "patternProperties");
      for (const auto& [pattern, schema] : patterns->items()) {
        QWEN25_TRY(const auto compiled, CompiledPattern(object, pattern, "patternProperties"));
        if (!Accepts(*compiled, name)) continue;
        schemas.push_back(document_.Child(patterns, pattern));
        is_matched = true;
      }
    }
    for (const char* keyword : {"additionalProperties", "unevaluatedProperties"}) {
      if (is_matched || !object->contains(keyword)) continue;
      schemas.push_back(document_.Child(object, keyword));
      is_matched = true;
    }
  }
  if (!facts.names.empty()) {
    QWEN25_TRY(const bool is_allowed, Satisfies(Json(name), facts.names));
    if (!is_allowed) schemas.push_back(document_.Made(Json(false), facts.names[0]));
  }
  return AsSet(std::move(schemas));
}

size_t SchemaSets::NumPrefixItems(const Facts& facts) {
  size_t most = 0;
  for (const Json* array : facts.arrays) {
    for (const char* keyword :
         {"prefixItems", "items"}) {  // a list under `items` is what earlier drafts wrote
      const auto prefix = array->find(keyword);
      if (prefix != array->end() && prefix->is_array()) most = std::max(most, prefix->size());
    }
  }
  return most;
}

SchemaSet SchemaSets::ItemSchemas(const Facts& facts, size_t index) {
  std::vector<const Json*> schemas;
  for (const Json* array : facts.arrays) {
    const bool is_early = array->contains("items") && array->at("items").is_array();
    const char* prefix = is_early ? "items" : "prefixItems";
    const char* rest = is_early ? "additionalItems" : array->contains("items") ? "items" : "unevaluatedItems";
    if (array->contains(prefix) && index < array->at(prefix).size()) {
      schemas.push_back(document_.Child(document_.Child(array, prefix), index));
    } else if (array->contains(rest)) {
      schemas.push_back(document_.Child(array, rest));
    }
  }
  return AsSet(std::move(schemas));
}

Result<std::shared_ptr<const Automaton>> SchemaSets::CompiledPattern(const Json* schema,
                                                                     const std::string& pattern,
                                                                     std::string_view keyword) {
  std::shared_ptr<const Automaton>& known = patterns_[pattern];
  if (known) return known;
  const Result<Expression> parsed = ParsePattern(pattern, budget_.limits());
  Status status = parsed.status();
  if (parsed.ok()) {
    Result<Automaton> automaton = CompileSearch(*parsed, budget_);
    if (automaton.ok()) return known = std::make_shared<const Automaton>(std::move(*automaton));
    status = automaton.status();
  }
  return Status(status.code(), fmt::format("{}: \"{}\": {}", document_.Place(schema, keyword),
                                           pattern.substr(0, 200), status.message()));
}

Result<Automaton> SchemaSets::TextOfLength(uint32_t least, uint32_t most) {
  return Compile(Repeat(AnyCharacter(), least, most), budget_);
}

Result<std::optional<Automaton>> SchemaSets::StringContents(const Facts& facts) {
  std::optional<Automaton> contents;
  if (facts.patterns.empty() && facts.excluded_values.empty()) return contents;
  for (const Facts::Pattern& pattern : facts.patterns) {
    QWEN25_TRY(const auto compiled, CompiledPattern(pattern.schema, pattern.pattern, pattern.keyword));
    if (!contents && !pattern.is_excluded) {
      contents = *compiled;
      continue;
    }
    if (!contents) {
      QWEN25_TRY(contents, TextOfLength(0, kUnlimited));
    }
    QWEN25_TRY(contents, pattern.is_excluded ? Subtract(*contents, *compiled, budget_)
                                             : Intersect(*contents, *compiled, budget_));
  }
  for (const Json* value : facts.excluded_values) {
    if (!value->is_string()) continue;
    if (!contents) {
      QWEN25_TRY(contents, TextOfLength(0, kUnlimited));
    }
    QWEN25_TRY(const Automaton text, Compile(Text(value->get_ref<const std::string&>()), budget_));
    QWEN25_TRY(contents, Subtract(*contents, text, budget_));
  }
  if (!contents) return contents;
  const bool has_length = facts.min_length > 0 || facts.max_length < LongestText(*contents);
  if (has_length) {
    QWEN25_TRY(const Automaton length, TextOfLength(facts.min_length, facts.max_length));
    QWEN25_TRY(contents, Intersect(*contents, length, budget_));
  }
  return contents;
}

Result<Automaton> SchemaSets::Strings(const SchemaSet& schemas) {
  QWEN25_TRY(const std::vector<Facts> alternatives, Alternatives(schemas));
  std::vector<Expression> branches;
  for (const Facts& facts : alternatives) {
    if ((facts.types & kStringType) == 0) continue;
    if (facts.values) {
      for (const Json* value : *facts.values) {
        QWEN25_TRY(const bool fits, Satisfies(*value, facts));
        if (fits && value->is_string()) branches.push_back(Text(value->get_ref<const std::string&>()));
      }
      continue;
    }
    QWEN25_TRY(std::optional<Automaton> contents, StringContents(facts));
    if (!contents) {
      QWEN25_TRY(contents, TextOfLength(facts.min_length, facts.max_length));
    }
    branches.push_back(Embedded(std::move(*contents)));
  }
  return Compile(Choice(std::move(branches)), budget_);
}

Result<bool> SchemaSets::Satisfies(const Json& value, const SchemaSet& schemas, size_t depth) {
  QWEN25_TRY(const std::vector<Facts> alternatives, Alternatives(schemas));
  for (const Facts& facts : alternatives) {
    QWEN25_TRY(const bool fits, Satisfies(value, facts, depth + 1));
    if (fits) return true;
  }
  return false;
}

Result<bool> SchemaSets::Satisfies(const Json& value, const Facts& facts, size_t depth) {
  QWEN25_RETURN_IF_ERROR(budget_.SpendSteps(10));
  if (depth > budget_.limits().depth) return ResourceExhausted("a constant is nested too deeply");
  if ((facts.types & TypeOf(value)) == 0) return false;
  const auto is_value = [&](const Json* other) { return SameValue(value, *other); };
  if (facts.values && std::ranges::none_of(*facts.values, is_value)) return false;
  if (std::ranges::any_of(facts.excluded_values, is_value)) return false;
  if (value.is_number()) return facts.numbers.Contains(ToDecimal(value));
  if (value.is_string()) return SatisfiesAsString(value.get_ref<const std::string&>(), facts);
  if (value.is_array()) return SatisfiesAsArray(value, facts, depth);
  if (value.is_object()) return SatisfiesAsObject(value, facts, depth);
  return true;
}

Result<bool> SchemaSets::SatisfiesAsString(const std::string& value, const Facts& facts) {
  const uint32_t length = CountCharacters(value);
  if (length < facts.min_length || length > facts.max_length) return false;
  for (const Facts::Pattern& pattern : facts.patterns) {
    QWEN25_TRY(const auto compiled, CompiledPattern(pattern.schema, pattern.pattern, pattern.keyword));
    if (Accepts(*compiled, value) == pattern.is_excluded) return false;
  }
  return true;
}

Result<bool> SchemaSets::SatisfiesAsArray(const Json& value, const Facts& facts, size_t depth) {
  if (value.size() < facts.min_items || value.size() > facts.max_items) return false;
  for (size_t i = 0; i < value.size(); ++i) {
    QWEN25_TRY(const bool fits, Satisfies(value[i], ItemSchemas(facts, i), depth + 1));
    if (!fits) return false;
  }
  return true;
}

Result<bool> SchemaSets::SatisfiesAsObject(const Json& value, const Facts& facts, size_t depth) {
  if (value.size() < facts.min_properties || value.size() > facts.max_properties) return false;
  for (const std::string& name : facts.required) {
    if (!value.contains(name)) return false;
  }
  for (const auto& [name, member] : value.items()) {
    QWEN25_TRY(const SchemaSet schemas, PropertySchemas(facts, name));
    QWEN25_TRY(const bool fits, Satisfies(member, schemas, depth + 1));
    if (!fits) return false;
  }
  return true;
}

Result<bool> SchemaSets::IsEmpty(const Facts& facts, size_t depth) {
  if (facts.types == 0) return true;
  if (depth > kMaxEmptyDepth) return false;
  QWEN25_RETURN_IF_ERROR(budget_.SpendSteps(100));
  if (!facts.groups.empty()) {
    // Empty if it is with each branch of one group; of oneOf, too, which only leaves out more.
    Facts without = facts;
    const Facts::Group group = without.groups.back();
    without.groups.pop_back();
    for (const Json* branch : group.branches) {
      Facts with = without;
      QWEN25_RETURN_IF_ERROR(reader_.Add(branch, with));
      QWEN25_TRY(const bool is_empty, IsEmpty(with, depth + 1));
      if (!is_empty) return false;
    }
    return true;
  }
  if (facts.values) {
    for (const Json* value : *facts.values) {
      QWEN25_TRY(const bool fits, Satisfies(*value, facts, 0));
      if (fits) return false;
    }
    return true;
  }
  for (uint8_t type = 1; type <= kObjectType; type = static_cast<uint8_t>(type << 1)) {
    if ((facts.types & type) == 0) continue;
    QWEN25_TRY(const bool is_empty, IsEmptyForType(facts, type, depth));
    if (!is_empty) return false;
  }
  return true;
}

Result<bool> SchemaSets::IsEmptyForType(const Facts& facts, uint8_t type, size_t depth) {
  const auto no_value = [&](const SchemaSet& schemas) -> Result<bool> {
    if (ContainsFalse(schemas)) return true;
    Facts inner;
    for (const Json* schema : schemas) QWEN25_RETURN_IF_ERROR(reader_.Add(schema, inner));
    return IsEmpty(inner, depth + 1);
  };
  if ((type & kNumberTypes) != 0 && facts.numbers.least && facts.numbers.most) {
    const int order = facts.numbers.least->Compare(*facts.numbers.most);
    return order > 0 || (order == 0 && (facts.numbers.excludes_least || facts.numbers.excludes_most));
  }
  if (type == kStringType) {
    if (facts.min_length > facts.max_length) return true;
    if (facts.patterns.size() < 2) return false;
    QWEN25_TRY(const std::optional<Automaton> contents, StringContents(facts));
    return contents && contents->states.empty();
  }
  if (type == kArrayType) {
    if (facts.min_items > facts.max_items) return true;
    for (size_t i = 0; i < std::min<size_t>(facts.min_items, NumPrefixItems(facts) + 1); ++i) {
      QWEN25_TRY(const bool is_empty, no_value(ItemSchemas(facts, i)));
      if (is_empty) return true;
    }
  }
  if (type == kObjectType) {
    if (facts.min_properties > facts.max_properties || facts.required.size() > facts.max_properties)
      return true;
    for (const std::string& name : facts.required) {
      QWEN25_TRY(const SchemaSet schemas, PropertySchemas(facts, name));
      QWEN25_TRY(const bool is_empty, no_value(schemas));
      if (is_empty) return true;
    }
  }
  return false;
}

}  // namespace qwen25::grammar
