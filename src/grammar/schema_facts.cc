#include "grammar/schema_facts.h"

#include <algorithm>
#include <cmath>

#include "grammar/formats.h"

namespace qwen25::grammar {
namespace {

constexpr std::pair<const char*, uint8_t> kTypeNames[] = {
    {"null", kNullType},     {"boolean", kBooleanType}, {"integer", kIntegerType}, {"number", kNumberTypes},
    {"string", kStringType}, {"array", kArrayType},     {"object", kObjectType}};

bool IsOneOf(std::string_view keyword, std::initializer_list<std::string_view> list) {
  return std::ranges::find(list, keyword) != list.end();
}

Status CheckSchemas(const Json& list, const std::string& place) {
  if (list.is_array() && !list.empty()) return {};
  return InvalidArgument("{}: expected a list of schemas with at least one", place);
}

}  // namespace

Types TypeOf(const Json& value) {
  if (value.is_null()) return kNullType;
  if (value.is_boolean()) return kBooleanType;
  if (value.is_string()) return kStringType;
  if (value.is_array()) return kArrayType;
  if (value.is_object()) return kObjectType;
  return ToDecimal(value).fraction.empty() ? kIntegerType : kFractionType;
}

bool SameValue(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) return ToDecimal(a).Compare(ToDecimal(b)) == 0;
  if (a.is_array() && b.is_array()) return std::ranges::equal(a, b, SameValue);
  if (!a.is_object() || !b.is_object()) return a == b;
  return a.size() == b.size() && std::ranges::all_of(a.items(), [&](const auto& member) {
           const auto other = b.find(member.key());
           return other != b.end() && SameValue(member.value(), *other);
         });
}

Result<uint8_t> ReadTypes(const Json& value, const std::string& place) {
  uint8_t types = 0;
  const auto add = [&](const Json& name) {
    const auto* entry = std::ranges::find_if(kTypeNames, [&](const auto& e) { return name == e.first; });
    if (entry != std::end(kTypeNames)) types |= entry->second;
    return entry != std::end(kTypeNames);
  };
  const bool is_list = value.is_array() && !value.empty();
  if (is_list ? std::ranges::all_of(value, add) : add(value)) return types;
  return InvalidArgument(
      "{}: expected null, boolean, integer, number, string, array, object or a list of them, "
      "found {}",
      place, DumpJson(value).substr(0, 100));
}

void Facts::AddGroup(const Json* schema, const char* keyword, std::vector<const Json*> branches,
                     bool is_exclusive) {
  groups.push_back({schema, keyword, std::move(branches), is_exclusive, objects.size()});
}

bool Facts::SaysNothing() const {
  return types == kAllTypes && !values && excluded_values.empty() && numbers.IsAny() && min_length == 0 &&
         max_length == UINT32_MAX && patterns.empty() && min_items == 0 && max_items == UINT32_MAX &&
         arrays.empty() && min_properties == 0 && max_properties == UINT32_MAX && required.empty() &&
         objects.empty() && names.empty() && groups.empty();
}

Status FactsReader::CheckDepth(const Json* schema, size_t depth) const {
  if (depth <= limits_.depth) return {};
  return ResourceExhausted(
      "{}: more than {} schemas that lead to each other, or a $ref that leads back to itself",
      document_.Where(schema), limits_.depth);
}

Status FactsReader::Add(const Json* schema, Facts& facts, size_t depth) {
  QWEN25_RETURN_IF_ERROR(CheckDepth(schema, depth));
  if (schema->is_boolean()) {
    if (!schema->get<bool>()) facts.types = 0;
    return {};
  }
  if (!schema->is_object()) {
    return InvalidArgument("{}: expected a schema (an object, true or false), found {}",
                           document_.Where(schema), DumpJson(*schema).substr(0, 100));
  }
  for (const auto& [keyword, value] : schema->items()) {
    QWEN25_RETURN_IF_ERROR(AddKeyword(schema, keyword, facts, depth));
  }
  if (schema->contains("if")) QWEN25_RETURN_IF_ERROR(AddCondition(schema, facts));
  return {};
}

Status FactsReader::AddKeyword(const Json* schema, const std::string& keyword, Facts& facts, size_t depth) {
  const Json& value = *document_.Child(schema, keyword);
  const std::string place = document_.Place(schema, keyword);
  if (keyword == "type") {
    QWEN25_TRY(const uint8_t types, ReadTypes(value, place));
    facts.types &= types;
    return {};
  }
  if (keyword == "enum" || keyword == "const") return AddValues(schema, keyword, facts);
  bool is_known = false;
  QWEN25_RETURN_IF_ERROR(AddApplicator(schema, keyword, facts, depth, is_known));
  if (!is_known) QWEN25_RETURN_IF_ERROR(AddBound(schema, keyword, facts, is_known));
  if (!is_known) QWEN25_RETURN_IF_ERROR(AddCount(schema, keyword, facts, is_known));
  if (!is_known) QWEN25_RETURN_IF_ERROR(AddText(schema, keyword, facts, is_known));
  if (!is_known) QWEN25_RETURN_IF_ERROR(AddObjectKeyword(schema, keyword, facts, is_known));
  if (!is_known) QWEN25_RETURN_IF_ERROR(CheckNotHandled(schema, keyword));
  return {};
}

Status FactsReader::AddApplicator(const Json* schema, const std::string& keyword, Facts& facts, size_t depth,
                                  bool& is_known) {
  const Json* value = document_.Child(schema, keyword);
  const std::string place = document_.Place(schema, keyword);
  is_known = true;
  if (keyword == "$ref") {
    if (!value->is_string()) return InvalidArgument("{}: expected a string", place);
    QWEN25_TRY(const Json* target, document_.Resolve(schema, value->get_ref<const std::string&>()));
    return Add(target, facts, depth + 1);
  }
  if (keyword == "allOf") {
    QWEN25_RETURN_IF_ERROR(CheckSchemas(*value, place));
    for (size_t i = 0; i < value->size(); ++i) {
      QWEN25_RETURN_IF_ERROR(Add(document_.Child(value, i), facts, depth + 1));
    }
    return {};
  }
  if (keyword == "anyOf" || keyword == "oneOf") {
    QWEN25_RETURN_IF_ERROR(CheckSchemas(*value, place));
    std::vector<const Json*> branches;
    for (size_t i = 0; i < value->size(); ++i) branches.push_back(document_.Child(value, i));
    facts.AddGroup(schema, keyword == "anyOf" ? "anyOf" : "oneOf", std::move(branches), keyword == "oneOf");
    return {};
  }
  if (keyword == "not") return AddNegation(value, facts, depth + 1);
  is_known = false;
  return {};
}

Status FactsReader::AddBound(const Json* schema, const std::string& keyword, Facts& facts, bool& is_known) {
  is_known = IsOneOf(keyword, {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"});
  if (!is_known) return {};
  const Json& value = *document_.Child(schema, keyword);
  const bool is_exclusive = keyword.starts_with("exclusive");
  // In draft 4, exclusiveMinimum says whether `minimum` itself is excluded.
  if (is_exclusive && value.is_boolean()) return {};
  const auto excluded = schema->find(keyword == "minimum" ? "exclusiveMinimum" : "exclusiveMaximum");
  const bool excludes = is_exclusive || (excluded != schema->end() && *excluded == Json(true));
  const std::string place = document_.Place(schema, keyword);
  if (!value.is_number() || (value.is_number_float() && !std::isfinite(value.get<double>()))) {
    return InvalidArgument("{}: expected a number", place);
  }
  const Decimal bound = ToDecimal(value);
  if (keyword == "multipleOf") {
    if (bound.is_negative || bound.IsZero()) return InvalidArgument("{}: expected a number above 0", place);
    facts.numbers.divisors.push_back(bound);
  } else if (keyword == "minimum" || keyword == "exclusiveMinimum") {
    facts.numbers.AddLeast(bound, excludes);
  } else {
    facts.numbers.AddMost(bound, excludes);
  }
  return {};
}

Status FactsReader::AddCount(const Json* schema, const std::string& keyword, Facts& facts, bool& is_known) {
  const std::tuple<std::string_view, uint32_t*, bool> counts[] = {
      {"minLength", &facts.min_length, true},         {"maxLength", &facts.max_length, false},
      {"minItems", &facts.min_items, true},           {"maxItems", &facts.max_items, false},
      {"minProperties", &facts.min_properties, true}, {"maxProperties", &facts.max_properties, false}};
  for (const auto& [name, count, is_least] : counts) {
    if (keyword != name) continue;
    is_known = true;
    const Json& value = *document_.Child(schema, keyword);
    const bool is_count = value.is_number() && TypeOf(value) == kIntegerType && value.get<double>() >= 0;
    if (!is_count) {
      return InvalidArgument("{}: expected a number of 0 or more without a fraction",
                             document_.Place(schema, keyword));
    }
    const auto number = static_cast<uint32_t>(std::min(value.get<double>(), 4294967295.0));
    *count = is_least ? std::max(*count, number) : std::min(*count, number);
    return {};
  }
  return {};
}

Status FactsReader::AddText(const Json* schema, const std::string& keyword, Facts& facts, bool& is_known) {
  is_known = keyword == "pattern" || keyword == "format";
  if (!is_known) return {};
  const Json& value = *document_.Child(schema, keyword);
  const std::string place = document_.Place(schema, keyword);
  if (!value.is_string()) return InvalidArgument("{}: expected a string", place);
  const std::string text = value.get<std::string>();
  if (keyword == "pattern") {
    facts.patterns.push_back({schema, text, "pattern"});
    return {};
  }
  if (text == "int32" || text == "int64" || text == "uint32" || text == "uint64") {
    const bool is_signed = text[0] == 'i', is_long = text.ends_with("64");
    const int64_t least = !is_signed ? 0 : is_long ? INT64_MIN : INT32_MIN;
    const uint64_t most = is_signed ? (is_long ? INT64_MAX : INT32_MAX) : (is_long ? UINT64_MAX : UINT32_MAX);
    facts.numbers.AddLeast(ToDecimal(Json(least)), false);
    facts.numbers.AddMost(ToDecimal(Json(most)), false);
    return {};
  }
  if (IsFormatWithoutPattern(text)) return {};
  std::optional<std::string> pattern = FormatPattern(text);
  if (!pattern && ignores_unknown_formats_) return {};
  if (!pattern) return Unsupported("{}: the format \"{}\" is not handled", place, text);
  facts.patterns.push_back({schema, std::move(*pattern), "format"});
  // Labels like "xn--..." encode other scripts, by rules that no pattern has.
  const bool has_hostname = text == "hostname" || text == "email";
  if (has_hostname) facts.patterns.push_back({schema, "(^|[.@])[^.@]{2}--", "format", true});
  return {};
}

Status FactsReader::AddObjectKeyword(const Json* schema, const std::string& keyword, Facts& facts,
                                     bool& is_known) {
  const Json* value = document_.Child(schema, keyword);
  const std::string place = document_.Place(schema, keyword);
  is_known = true;
  const auto add_once = [&](std::vector<const Json*>& list) {
    if (std::ranges::find(list, schema) == list.end()) list.push_back(schema);
  };
  if (keyword == "required") {
    // Draft 3 had a boolean inside of the property.
    if (!value->is_array() ||
        !std::ranges::all_of(*value, [](const Json& name) { return name.is_string(); })) {
      return InvalidArgument("{}: expected a list of names", place);
    }
    for (const Json& name : *value) {
      if (std::ranges::find(facts.required, name.get_ref<const std::string&>()) == facts.required.end()) {
        facts.required.push_back(name.get<std::string>());
      }
    }
    return {};
  }
  if (keyword == "properties" || keyword == "patternProperties") {
    if (!value->is_object()) return InvalidArgument("{}: expected an object with schemas", place);
    add_once(facts.objects);
  } else if (keyword == "additionalProperties") {
    add_once(facts.objects);
  } else if (keyword == "items" || keyword == "prefixItems" || keyword == "additionalItems") {
    if (keyword == "prefixItems") QWEN25_RETURN_IF_ERROR(CheckSchemas(*value, place));
    add_once(facts.arrays);
  } else if (keyword == "propertyNames") {
    facts.names.push_back(value);
  } else if (IsOneOf(keyword, {"dependentRequired", "dependentSchemas", "dependencies"})) {
    return AddDependencies(schema, keyword, facts);
  } else if (keyword.starts_with("unevaluated")) {
    QWEN25_RETURN_IF_ERROR(CheckUnevaluated(schema, keyword));
    add_once(keyword == "unevaluatedItems" ? facts.arrays : facts.objects);
  } else {
    is_known = false;
  }
  return {};
}

Status FactsReader::AddValues(const Json* schema, const std::string& keyword, Facts& facts) {
  const Json* value = document_.Child(schema, keyword);
  std::vector<const Json*> values = {value};
  if (keyword == "enum") {
    if (!value->is_array()) return InvalidArgument("{}: expected a list", document_.Place(schema, keyword));
    values.clear();
    for (size_t i = 0; i < value->size(); ++i) values.push_back(document_.Child(value, i));
  }
  if (facts.values) {
    std::erase_if(*facts.values, [&](const Json* old) {
      return std::ranges::none_of(values, [&](const Json* other) { return SameValue(*old, *other); });
    });
  } else {
    facts.values = std::move(values);
  }
  return {};
}

// "If there is a, then ..." is: there is no a, or there is one and ...
Status FactsReader::AddDependencies(const Json* schema, const std::string& keyword, Facts& facts) {
  const Json* value = document_.Child(schema, keyword);
  if (!value->is_object()) return InvalidArgument("{}: expected an object", document_.Place(schema, keyword));
  for (const auto& [name, needed] : value->items()) {
    const Json* without = document_.Made({{"properties", {{name, false}}}}, schema);
    Json with = {{"required", {name}}};
    if (needed.is_array()) {
      for (const Json& other : needed) with["required"].push_back(other);
    } else {
      with["allOf"] = Json::array({needed});
    }
    facts.AddGroup(schema, "dependencies", {without, document_.Made(std::move(with), schema)}, false);
  }
  return {};
}

Status FactsReader::AddCondition(const Json* schema, Facts& facts) {
  const Json& condition = *document_.Child(schema, "if");
  Json met = Json::array({condition}), unmet = Json::array({{{"not", condition}}});
  if (schema->contains("then")) met.push_back(schema->at("then"));
  if (schema->contains("else")) unmet.push_back(schema->at("else"));
  if (met.size() + unmet.size() == 2) return {};
  facts.AddGroup(schema, "if",
                 {document_.Made({{"allOf", std::move(met)}}, schema),
                  document_.Made({{"allOf", std::move(unmet)}}, schema)},
                 false);
  return {};
}

// Where no other keyword applies schemas to the same value, they mean additionalProperties and items.
Status FactsReader::CheckUnevaluated(const Json* schema, const std::string& keyword) const {
  for (const auto& [other, value] : schema->items()) {
    if (IsOneOf(other, {"$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "not", "dependentSchemas",
                        "dependencies", "contains"})) {
      return Unsupported("{} beside \"{}\" is not handled", document_.Place(schema, keyword), other);
    }
  }
  return {};
}

// Keywords that constrain are refused; all others are annotations, as the standard has it.
Status FactsReader::CheckNotHandled(const Json* schema, const std::string& keyword) const {
  const Json& value = schema->at(keyword);
  if (keyword == "uniqueItems" && value == Json(false)) return {};
  if (keyword == "uniqueItems") {
    const auto most = schema->find("maxItems");
    if (most != schema->end() && most->is_number() && most->get<double>() <= 1) return {};
  }
  if (IsOneOf(keyword, {"contains", "uniqueItems", "$dynamicRef", "$recursiveRef", "extends", "disallow",
                        "divisibleBy"})) {
    return Unsupported("{} is not handled", document_.Place(schema, keyword));
  }
  return {};
}

}  // namespace qwen25::grammar
