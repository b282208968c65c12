// The tests that follow "is".
#include <algorithm>
#include <array>

#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/text_tools.h"

namespace qwen25::jinja {
namespace {

using Kind = Value::Kind;

bool IsCallable(const Value& value) {
  if (value.is_undefined()) return true;
  const Object* object = value.object();
  if (object == nullptr) return false;
  switch (object->type) {
    case Object::Type::kMacro:
    case Object::Type::kFunction:
    case Object::Type::kMethod:
    case Object::Type::kLoop:
    case Object::Type::kJoiner:
      return true;
    default:
      return false;
  }
}

bool IsSequence(const Value& value) {
  return value.is_undefined() || value.is_string() || value.is_sequence() || value.is_dict() ||
         value.object(Object::Type::kRange) != nullptr;
}

// Tests that look at nothing but the kind of a value.
std::optional<bool> ByKind(std::string_view name, const Value& value) {
  if (name == "defined") return !value.is_undefined();
  if (name == "undefined") return value.is_undefined();
  if (name == "none") return value.is_none();
  if (name == "boolean") return value.is_bool();
  if (name == "true") return value.is_bool() && value.boolean();
  if (name == "false") return value.is_bool() && !value.boolean();
  if (name == "integer") return value.is(Kind::kInt) || value.is(Kind::kBigInt);
  if (name == "float") return value.is_float();
  if (name == "number") return value.is_number();
  if (name == "string") return value.is_string();
  if (name == "mapping") return value.is_dict();
  if (name == "sequence") return IsSequence(value);
  if (name == "iterable") return Iterator::IsIterable(value);
  if (name == "callable") return IsCallable(value);
  if (name == "escaped") return value.is_string() && value.is_safe();
  if (name == "filter") return value.is_string() && IsFilter(value.text());
  if (name == "test") return value.is_string() && IsTest(value.text());
  return std::nullopt;
}

constexpr std::array<std::string_view, 17> kByKind = {
    "defined", "undefined", "none",     "boolean",  "true",     "false",   "integer", "float", "number",
    "string",  "mapping",   "sequence", "iterable", "callable", "escaped", "filter",  "test"};

// Other names of the comparisons.
struct Comparison {
  std::string_view name, op;
};
constexpr std::array kComparisons = {
    Comparison{"==", "=="},      Comparison{"eq", "=="},         Comparison{"equalto", "=="},
    Comparison{"!=", "!="},      Comparison{"ne", "!="},         Comparison{">", ">"},
    Comparison{"gt", ">"},       Comparison{"greaterthan", ">"}, Comparison{"ge", ">="},
    Comparison{">=", ">="},      Comparison{"<", "<"},           Comparison{"lt", "<"},
    Comparison{"lessthan", "<"}, Comparison{"<=", "<="},         Comparison{"le", "<="},
    Comparison{"in", "in"},
};
constexpr std::array<std::string_view, 6> kOthers = {"odd",    "even",  "divisibleby",
                                                     "sameas", "lower", "upper"};

Result<bool> Divisible(const Value& value, int64_t divisor, int64_t rest, Interpreter& interpreter) {
  QWEN25_TRY(const Value modulo, Arithmetic("%", value, Value::Int(divisor), interpreter));
  return modulo == Value::Int(rest);
}

}  // namespace

bool IsTest(std::string_view name) {
  return std::ranges::find(kByKind, name) != kByKind.end() ||
         std::ranges::find(kOthers, name) != kOthers.end() ||
         std::ranges::find(kComparisons, name, &Comparison::name) != kComparisons.end();
}

Result<bool> Interpreter::Test(std::string_view name, const Value& input, Arguments arguments) {
  QWEN25_RETURN_IF_ERROR(Spend(1));
  if (!IsTest(name)) return InvalidArgument("there is no test \"{}\"", name);
  const auto comparison = std::ranges::find(kComparisons, name, &Comparison::name);
  const bool takes_one = comparison != kComparisons.end() || name == "divisibleby" || name == "sameas";
  QWEN25_TRY(const BoundArguments bound, BoundArguments::Bind(name,
                                                              name == "divisibleby" ? "num"
                                                              : takes_one           ? "other"
                                                                                    : "",
                                                              std::move(arguments)));
  if (comparison != kComparisons.end()) return CompareValues(comparison->op, input, bound.Get(0), *this);
  if (const std::optional<bool> holds = ByKind(name, input)) return *holds;
  if (name == "sameas") return input.IsSame(bound.Get(0));
  if (name == "odd" || name == "even") return Divisible(input, 2, name == "odd" ? 1 : 0, *this);
  if (name == "divisibleby") {
    QWEN25_TRY(const Value modulo, Arithmetic("%", input, bound.Get(0), *this));
    return modulo == Value::Int(0);
  }
  QWEN25_TRY(const MarkedText text, Str(input, *this));
  QWEN25_RETURN_IF_ERROR(Spend(text.size() / 8));
  return IsAll(text.text(), name == "lower" ? "islower" : "isupper").value_or(false);
}

}  // namespace qwen25::jinja
