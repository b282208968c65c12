#include "grammar/schema_compiler.h"

#include <algorithm>

namespace qwen25::grammar {
namespace {

// Each is a part of one expression, inside the one before.
constexpr size_t kMaxPrefixItems = 500;

}  // namespace

Result<GrammarTables> CompileSchema(const Json& schema, const SchemaOptions& options) {
  return SchemaCompiler(schema, options).Run();
}

Result<GrammarTables> SchemaCompiler::Run() {
  QWEN25_TRY(const uint32_t start, RuleFor({document_.root()}));
  while (!open_.empty()) {
    const auto [schemas, rule] = std::move(open_.front());
    open_.pop_front();
    QWEN25_RETURN_IF_ERROR(CompileRule(schemas, rule));
  }
  return rules_.Finish(start);
}

Result<uint32_t> SchemaCompiler::RuleFor(SchemaSet schemas) {
  std::erase_if(schemas, [](const Json* schema) {
    return *schema == Json(true) || (schema->is_object() && schema->empty());
  });
  if (schemas.empty()) return text_.AnyValue();
  const auto [entry, is_new] = known_.try_emplace(schemas, 0);
  if (!is_new) return entry->second;
  entry->second = rules_.Add(document_.Where(schemas[0]));
  open_.emplace_back(std::move(schemas), entry->second);
  return entry->second;
}

Status SchemaCompiler::CompileRule(const SchemaSet& schemas, uint32_t rule) {
  QWEN25_RETURN_IF_ERROR(rules_.budget().SpendSteps(1000));
  Result<std::vector<Facts>> alternatives = sets_.Alternatives(schemas);
  std::vector<Expression> branches;
  const auto add = [&](const Facts& facts) -> Status {
    QWEN25_TRY(Expression value, Value(facts));
    branches.push_back(std::move(value));
    return {};
  };
  Status status = alternatives.status();
  for (size_t i = 0; status.ok() && i < alternatives->size(); ++i) status = add((*alternatives)[i]);
  // Most messages name their place.
  const bool has_place = status.message().find('#') != std::string::npos;
  if (!status.ok() && !has_place)
    return {status.code(), document_.Where(schemas[0]) + ": " + status.message()};
  if (status.ok()) rules_.Set(rule, Choice(std::move(branches)));
  return status;
}

Result<Expression> SchemaCompiler::Value(const Facts& facts) {
  if (facts.SaysNothing()) {
    QWEN25_TRY(const uint32_t rule, text_.AnyValue());
    return CallOf(rule);
  }
  if (facts.values) return Constants(facts);
  QWEN25_RETURN_IF_ERROR(CheckExcludedValues(facts));
  const auto is_excluded = [&](const Json& value) {
    return std::ranges::any_of(facts.excluded_values, [&](const Json* other) { return *other == value; });
  };
  std::vector<Expression> branches;
  if ((facts.types & kNullType) != 0 && !is_excluded(nullptr)) branches.push_back(Text("null"));
  if ((facts.types & kBooleanType) != 0 && !is_excluded(true)) branches.push_back(Text("true"));
  if ((facts.types & kBooleanType) != 0 && !is_excluded(false)) branches.push_back(Text("false"));
  const auto add = [&](Result<Expression> expression) -> Status {
    QWEN25_RETURN_IF_ERROR(expression.status());
    branches.push_back(std::move(*expression));
    return {};
  };
  if ((facts.types & kNumberTypes) != 0) QWEN25_RETURN_IF_ERROR(add(Number(facts)));
  if ((facts.types & kStringType) != 0) QWEN25_RETURN_IF_ERROR(add(String(facts)));
  if ((facts.types & kArrayType) != 0) QWEN25_RETURN_IF_ERROR(add(Array(facts)));
  if ((facts.types & kObjectType) != 0) QWEN25_RETURN_IF_ERROR(add(Object(facts)));
  return Choice(std::move(branches));
}

Result<Expression> SchemaCompiler::Constants(const Facts& facts) {
  std::vector<Expression> branches;
  for (const Json* value : *facts.values) {
    QWEN25_TRY(const bool fits, sets_.Satisfies(*value, facts));
    if (fits) branches.push_back(text_.Literal(*value));
  }
  return Choice(std::move(branches));
}

// Values that are written in many ways cannot be left out.
Status SchemaCompiler::CheckExcludedValues(const Facts& facts) const {
  for (const Json* value : facts.excluded_values) {
    if ((TypeOf(*value) & facts.types) == 0 || value->is_string() || value->is_null() || value->is_boolean())
      continue;
    if (value->is_number()) {
      QWEN25_TRY(const bool is_in_range, facts.numbers.Contains(ToDecimal(*value)));
      if (!is_in_range) continue;
    }
    return Unsupported(
        "{}: the value {} in what must not hold is not handled; only strings, null, true and false are",
        document_.Where(value), DumpJson(*value).substr(0, 100));
  }
  return {};
}

Result<Expression> SchemaCompiler::Number(const Facts& facts) {
  const bool is_integer = (facts.types & kFractionType) == 0;
  const bool is_fraction = (facts.types & kIntegerType) == 0;
  if (facts.numbers.IsAny() && !is_fraction) {
    uint32_t& rule = is_integer ? integer_ : number_;
    if (rule == kUnlimited) {
      rule = rules_.Add("a number", is_integer ? JsonText::AnyInteger() : JsonText::AnyNumber());
    }
    return CallOf(rule);
  }
  const NumberKind kind = is_integer    ? NumberKind::kInteger
                          : is_fraction ? NumberKind::kFraction
                                        : NumberKind::kAny;
  QWEN25_TRY(Automaton automaton, CompileNumber(facts.numbers, kind, rules_.budget()));
  return Embedded(std::move(automaton));
}

Result<Expression> SchemaCompiler::String(const Facts& facts) {
  if (facts.min_length > facts.max_length) return Never();
  QWEN25_TRY(const std::optional<Automaton> contents, sets_.StringContents(facts));
  return contents ? text_.StringOf(*contents) : text_.StringOfLength(facts.min_length, facts.max_length);
}

Result<Expression> SchemaCompiler::Array(const Facts& facts) {
  size_t num_prefix = SchemaSets::NumPrefixItems(facts);
  uint32_t max_items = facts.max_items;
  std::vector<Expression> items;  // those of the prefix, and what all others are
  for (size_t i = 0; i <= num_prefix && i < max_items; ++i) {
    const SchemaSet schemas = sets_.ItemSchemas(facts, i);
    const bool is_none =
        std::ranges::any_of(schemas, [](const Json* schema) { return *schema == Json(false); });
    if (is_none) max_items = static_cast<uint32_t>(i);
    if (is_none) break;
    QWEN25_TRY(const uint32_t rule, RuleFor(schemas));
    items.push_back(CallOf(rule));
  }
  num_prefix = std::min<size_t>(num_prefix, max_items);
  if (num_prefix > kMaxPrefixItems)
    return ResourceExhausted("more than {} items of a prefix", kMaxPrefixItems);
  if (facts.min_items > max_items) return Never();
  const auto next = [&](const Expression& item) { return Sequence({Text(","), text_.Break(), item}); };
  const auto optional_from = [&](size_t index, Expression expression) {
    return facts.min_items > index ? std::move(expression) : Optional(std::move(expression));
  };
  // From the last item to the first: what may follow `num_behind` items.
  const auto first_of_rest = static_cast<uint32_t>(std::max<size_t>(num_prefix, 1));
  Expression rest = Nothing();
  if (max_items > first_of_rest) {
    const uint32_t least = facts.min_items > first_of_rest ? facts.min_items - first_of_rest : 0;
    rest =
        Repeat(next(items.back()), least, max_items == kUnlimited ? kUnlimited : max_items - first_of_rest);
  }
  for (size_t i = first_of_rest; i-- > 1;) rest = optional_from(i, Sequence({next(items[i]), rest}));
  std::vector<Expression> parts = {Text("["), text_.Break()};
  if (max_items > 0) parts.push_back(optional_from(0, Sequence({items[0], rest, text_.Break()})));
  parts.push_back(Text("]"));
  return Sequence(std::move(parts));
}

}  // namespace qwen25::grammar
