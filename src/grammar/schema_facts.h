// What the schemas that a value must satisfy together say about it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "grammar/budget.h"
#include "grammar/number_range.h"
#include "grammar/schema_document.h"

namespace qwen25::grammar {

// Schemas that hold together: a set, so sorted and without repeats. Recursive schemas make finitely many.
using SchemaSet = std::vector<const Json*>;

enum Types : uint8_t {
  kNullType = 1,
  kBooleanType = 2,
  kIntegerType = 4,
  kFractionType = 8,  // numbers that are no integers; "number" is both
  kNumberTypes = kIntegerType | kFractionType,
  kStringType = 16,
  kArrayType = 32,
  kObjectType = 64,
  kAllTypes = 127,
};

// The type of a value; an integer may be written 1.0.
Types TypeOf(const Json& value);

// Equality of JSON values: 1 is 1.0, and the order of keys does not matter.
bool SameValue(const Json& a, const Json& b);

// Of one way to satisfy a set of schemas. Pointers are to parts of the document.
struct Facts {
  struct Group {  // one of the branches holds, too; only one if `is_exclusive`
    const Json* schema;
    const char* keyword;
    std::vector<const Json*> branches;
    bool is_exclusive;
    size_t num_objects;  // in `objects` when this was added: the branch's properties come behind these
  };
  struct Pattern {
    const Json* schema;
    std::string pattern;
    const char* keyword;  // "pattern" or "format"
    bool is_excluded = false;
  };

  uint8_t types = kAllTypes;
  std::optional<std::vector<const Json*>> values;  // of enum and const: one of these
  std::vector<const Json*> excluded_values;
  NumberRange numbers;
  uint32_t min_length = 0, max_length = UINT32_MAX;  // code points
  std::vector<Pattern> patterns;
  uint32_t min_items = 0, max_items = UINT32_MAX;
  std::vector<const Json*> arrays;  // schemas with keywords for items
  uint32_t min_properties = 0, max_properties = UINT32_MAX;
  std::vector<std::string> required;
  std::vector<const Json*> objects;  // schemas with keywords for properties
  SchemaSet names;                   // what keys satisfy
  std::vector<Group> groups;

  void AddGroup(const Json* schema, const char* keyword, std::vector<const Json*> branches,
                bool is_exclusive);
  bool SaysNothing() const;
};

class FactsReader {
 public:
  FactsReader(SchemaDocument& document, const GrammarLimits& limits, bool ignores_unknown_formats)
      : document_(document), limits_(limits), ignores_unknown_formats_(ignores_unknown_formats) {}

  // Adds what a schema says. kInvalidArgument for keywords with values that no schema may have, kUnsupported
  // for keywords that are not handled; the message names keyword and place.
  Status Add(const Json* schema, Facts& facts) { return Add(schema, facts, 0); }
  // Adds that the schema does not hold.
  Status AddNegation(const Json* schema, Facts& facts) { return AddNegation(schema, facts, 0); }

 private:
  Status Add(const Json* schema, Facts& facts, size_t depth);
  Status AddKeyword(const Json* schema, const std::string& keyword, Facts& facts, size_t depth);
  Status AddApplicator(const Json* schema, const std::string& keyword, Facts& facts, size_t depth,
                       bool& is_known);
  Status AddBound(const Json* schema, const std::string& keyword, Facts& facts, bool& is_known);
  Status AddCount(const Json* schema, const std::string& keyword, Facts& facts, bool& is_known);
  Status AddText(const Json* schema, const std::string& keyword, Facts& facts, bool& is_known);
  Status AddObjectKeyword(const Json* schema, const std::string& keyword, Facts& facts, bool& is_known);
  Status AddValues(const Json* schema, const std::string& keyword, Facts& facts);
  Status AddDependencies(const Json* schema, const std::string& keyword, Facts& facts);
  Status AddCondition(const Json* schema, Facts& facts);
  Status CheckUnevaluated(const Json* schema, const std::string& keyword) const;
  Status CheckNotHandled(const Json* schema, const std::string& keyword) const;
  Status AddNegation(const Json* schema, Facts& facts, size_t depth);
  Status AddNegatedParts(const Json* schema, const std::string& keyword, Facts& facts, bool& is_known);
  Status AddKeywordNegation(const Json* schema, const std::string& keyword, Facts& facts, size_t depth);
  Status CheckDepth(const Json* schema, size_t depth) const;

  SchemaDocument& document_;
  const GrammarLimits& limits_;
  bool ignores_unknown_formats_;
};

// The bits of a type's name, or of a list of names.
Result<uint8_t> ReadTypes(const Json& value, const std::string& place);

}  // namespace qwen25::grammar
