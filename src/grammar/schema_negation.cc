// Negations of schemas (schema_facts.h): "not", the other branch of "if", the other branches of "oneOf".
#include <algorithm>
#include <optional>

#include "grammar/schema_facts.h"

namespace qwen25::grammar {
namespace {

// All others are annotations, or say something only beside these.
bool IsConstraint(std::string_view keyword) {
  constexpr std::string_view kNames[] = {"type",
                                         "enum",
                                         "const",
                                         "$ref",
                                         "allOf",
                                         "anyOf",
                                         "oneOf",
                                         "not",
                                         "if",
                                         "minimum",
                                         "maximum",
                                         "exclusiveMinimum",
                                         "exclusiveMaximum",
                                         "multipleOf",
                                         "minLength",
                                         "maxLength",
                                         "pattern",
                                         "format",
                                         "minItems",
                                         "maxItems",
                                         "items",
                                         "prefixItems",
                                         "additionalItems",
                                         "contains",
                                         "uniqueItems",
                                         "minProperties",
                                         "maxProperties",
                                         "required",
                                         "properties",
                                         "patternProperties",
                                         "additionalProperties",
                                         "propertyNames",
                                         "dependentRequired",
                                         "dependentSchemas",
                                         "dependencies",
                                         "unevaluatedProperties",
                                         "unevaluatedItems",
                                         "$dynamicRef",
                                         "$recursiveRef"};
  return std::ranges::find(kNames, keyword) != std::end(kNames);
}

// What a value of `types` satisfies if it fails a keyword.
struct Opposite {
  uint8_t types;
  std::string keyword;
  Json value;
};

// Of bounds and counts; nothing for other keywords and malformed values.
std::optional<Opposite> OppositeOf(const Json* schema, const std::string& keyword) {
  const Json& value = schema->at(keyword);
  if (!value.is_number()) return std::nullopt;
  if (keyword == "minimum") return Opposite{kNumberTypes, "exclusiveMaximum", value};
  if (keyword == "maximum") return Opposite{kNumberTypes, "exclusiveMinimum", value};
  if (keyword == "exclusiveMinimum") return Opposite{kNumberTypes, "maximum", value};
  if (keyword == "exclusiveMaximum") return Opposite{kNumberTypes, "minimum", value};
  constexpr std::pair<const char*, uint8_t> kCounts[] = {
      {"Length", kStringType}, {"Items", kArrayType}, {"Properties", kObjectType}};
  const bool is_count = TypeOf(value) == kIntegerType && value >= 0 && value < 4294967295.0;
  for (const auto& [counted, type] : kCounts) {
    if (!is_count) continue;
    const auto count = static_cast<int64_t>(value.get<double>());
    if (keyword == std::string("max") + counted)
      return Opposite{type, std::string("min") + counted, count + 1};
    if (keyword != std::string("min") + counted) continue;
    if (count == 0) return Opposite{0, std::string("max") + counted, 0};
    return Opposite{type, std::string("max") + counted, count - 1};
  }
  return std::nullopt;
}

}  // namespace

Status FactsReader::AddNegation(const Json* schema, Facts& facts, size_t depth) {
  QWEN25_RETURN_IF_ERROR(CheckDepth(schema, depth));
  if (schema->is_boolean()) {
    if (schema->get<bool>()) facts.types = 0;
    return {};
  }
  if (!schema->is_object()) {
    return InvalidArgument("{}: expected a schema (an object, true or false)", document_.Where(schema));
  }
  // Several keywords hold together, so one of them must fail.
  std::vector<std::string> keywords;
  for (const auto& [keyword, value] : schema->items()) {
    if (IsConstraint(keyword)) keywords.push_back(keyword);
  }
  if (keywords.empty()) facts.types = 0;
  if (keywords.size() == 1) return AddKeywordNegation(schema, keywords[0], facts, depth);
  if (keywords.empty()) return {};
  std::vector<const Json*> branches;
  for (const std::string& keyword : keywords) {
    // `additionalProperties` and its like say what the keywords beside them leave.
    if (keyword.starts_with("additional") || keyword.starts_with("unevaluated") || keyword == "if") {
      return Unsupported("{} in what must not hold is not handled", document_.Place(schema, keyword));
    }
    branches.push_back(document_.Made({{"not", {{keyword, schema->at(keyword)}}}}, schema));
  }
  facts.AddGroup(schema, "not", std::move(branches), false);
  return {};
}

// Of keywords with several parts, one of which must fail.
Status FactsReader::AddNegatedParts(const Json* schema, const std::string& keyword, Facts& facts,
                                    bool& is_known) {
  const Json& value = schema->at(keyword);
  std::vector<const Json*> branches;
  is_known = true;
  if (keyword == "allOf" && value.is_array()) {
    for (const Json& part : value) branches.push_back(document_.Made({{"not", part}}, schema));
  } else if (keyword == "required" && value.is_array()) {
    facts.types &= kObjectType;
    for (const Json& name : value) {
      if (!name.is_string())
        return InvalidArgument("{}: expected a list of names", document_.Place(schema, keyword));
      branches.push_back(document_.Made({{"properties", {{name.get<std::string>(), false}}}}, schema));
    }
  } else if (keyword == "properties" && value.is_object()) {
    facts.types &= kObjectType;
    for (const auto& [name, property] : value.items()) {
      Json fails = {{"properties", {{name, {{"not", property}}}}}, {"required", Json::array({name})}};
      branches.push_back(document_.Made(std::move(fails), schema));
    }
  } else {
    is_known = false;
    return {};
  }
  if (branches.empty()) facts.types = 0;  // nothing can fail
  if (!branches.empty()) facts.AddGroup(schema, "not", std::move(branches), false);
  return {};
}

// Keywords for one type hold for all other types, so that only a value of this type can fail them.
Status FactsReader::AddKeywordNegation(const Json* schema, const std::string& keyword, Facts& facts,
                                       size_t depth) {
  const Json* value = document_.Child(schema, keyword);
  const std::string place = document_.Place(schema, keyword);
  if (keyword == "not") return Add(value, facts, depth + 1);
  if (keyword == "$ref" && value->is_string()) {
    QWEN25_TRY(const Json* target, document_.Resolve(schema, value->get_ref<const std::string&>()));
    return AddNegation(target, facts, depth + 1);
  }
  if (keyword == "type") {
    QWEN25_TRY(uint8_t types, ReadTypes(*value, place));
    facts.types &= static_cast<uint8_t>(~types);
    return {};
  }
  if (keyword == "enum" && value->is_array()) {
    for (size_t i = 0; i < value->size(); ++i) facts.excluded_values.push_back(document_.Child(value, i));
    return {};
  }
  if (keyword == "const") {
    facts.excluded_values.push_back(value);
    return {};
  }
  if (keyword == "anyOf" && value->is_array()) {
    for (size_t i = 0; i < value->size(); ++i) {
      QWEN25_RETURN_IF_ERROR(AddNegation(document_.Child(value, i), facts, depth + 1));
    }
    return {};
  }
  bool is_known = false;
  QWEN25_RETURN_IF_ERROR(AddNegatedParts(schema, keyword, facts, is_known));
  if (is_known) return {};
  if (const auto opposite = OppositeOf(schema, keyword)) {
    facts.types &= opposite->types;
    return Add(document_.Made({{opposite->keyword, opposite->value}}, schema), facts, depth + 1);
  }
  if (keyword == "pattern" && value->is_string()) {
    facts.types &= kStringType;
    facts.patterns.push_back({schema, value->get<std::string>(), "pattern", true});
    return {};
  }
  return Unsupported("{} in what must not hold is not handled", place);
}

}  // namespace qwen25::grammar
