#include "text/jinja/operators.h"

#include <algorithm>
#include <cmath>

#include "text/jinja/format.h"
#include "text/jinja/print.h"
#include "text/jinja/text_tools.h"

namespace qwen25::jinja {
namespace {

Status DoesNotFit(std::string_view name, const Value& left, const Value& right) {
  for (const Value* value : {&left, &right}) {
    if (value->is_undefined()) return InvalidArgument("{}", value->undefined_message());
  }
  return InvalidArgument("the operator {} does not take {} and {}", name, left.TypeName(), right.TypeName());
}

Status TooLarge() {
  return InvalidArgument("the result is an integer beyond 64 bits, which is not available here");
}

int64_t FloorDivide(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

double FloorModulo(double a, double b) {
  double rest = std::fmod(a, b);
  if (rest != 0.0 && (rest < 0.0) != (b < 0.0)) rest += b;
  return rest == 0.0 ? std::copysign(0.0, b) : rest;
}

Result<Value> IntegerPower(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) return InvalidArgument("zero has no negative power");
    return Value::Float(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return TooLarge();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) return TooLarge();
  }
  return Value::Int(result);
}

Result<Value> OfIntegers(std::string_view name, int64_t a, int64_t b) {
  if ((name == "/" || name == "//" || name == "%") && b == 0) return InvalidArgument("division by zero");
  int64_t result = 0;
  if (name == "/") return Value::Float(static_cast<double>(a) / static_cast<double>(b));
  if (name == "**") return IntegerPower(a, b);
  if (name == "%") return Value::Int(b == -1 ? 0 : a - b * FloorDivide(a, b));
  if (name == "//") {
    if (a == INT64_MIN && b == -1) return TooLarge();
    return Value::Int(FloorDivide(a, b));
  }
  const bool overflows = name == "+"   ? __builtin_add_overflow(a, b, &result)
                         : name == "-" ? __builtin_sub_overflow(a, b, &result)
                                       : __builtin_mul_overflow(a, b, &result);
  if (overflows) return TooLarge();
  return Value::Int(result);
}

Result<Value> OfFloats(std::string_view name, double a, double b) {
  if ((name == "/" || name == "//" || name == "%") && b == 0.0) return InvalidArgument("division by zero");
  if (name == "+") return Value::Float(a + b);
  if (name == "-") return Value::Float(a - b);
  if (name == "*") return Value::Float(a * b);
  if (name == "/") return Value::Float(a / b);
  if (name == "%") return Value::Float(FloorModulo(a, b));
  if (name == "//") return Value::Float(std::floor((a - FloorModulo(a, b)) / b));
  if (a == 0.0 && b < 0.0) return InvalidArgument("zero has no negative power");
  const double power = std::pow(a, b);
  if (std::isnan(power) && !std::isnan(a) && !std::isnan(b)) {
    return Unsupported("the power is a complex number, which is not available here");
  }
  if (std::isinf(power) && !std::isinf(a) && !std::isinf(b)) return InvalidArgument("the power is too large");
  return Value::Float(power);
}

Result<Value> Repeat(const Value& value, int64_t times, Interpreter& interpreter) {
  const size_t count = times > 0 ? static_cast<size_t>(times) : 0;
  const size_t bytes = value.is_string() ? value.text().size() : value.items().size() * sizeof(Value);
  size_t total = 0;
  if (__builtin_mul_overflow(bytes, count, &total)) total = SIZE_MAX;
  QWEN25_RETURN_IF_ERROR(interpreter.SpendText(total));
  if (value.is_string()) {
    MarkedText text;
    for (size_t i = 0; i < count && bytes > 0; ++i) text.Append(value.marked());
    return interpreter.Text(std::move(text), value.is_safe());
  }
  std::vector<Value> items;
  for (size_t i = 0; i < count && bytes > 0; ++i) {
    items.insert(items.end(), value.items().begin(), value.items().end());
  }
  return value.is_list() ? interpreter.List(std::move(items)) : interpreter.Tuple(std::move(items));
}

Result<Value> Join(const Value& left, const Value& right, Interpreter& interpreter) {
  if (left.is_string()) {
    const bool is_safe = left.is_safe() || right.is_safe();
    const MarkedText& first = is_safe && !left.is_safe() ? EscapeHtml(left.marked()) : left.marked();
    const MarkedText& second = is_safe && !right.is_safe() ? EscapeHtml(right.marked()) : right.marked();
    QWEN25_RETURN_IF_ERROR(interpreter.SpendText(first.size() + second.size()));
    MarkedText text = first;
    text.Append(second);
    return interpreter.Text(std::move(text), is_safe);
  }
  QWEN25_RETURN_IF_ERROR(interpreter.SpendText((left.items().size() + right.items().size()) * sizeof(Value)));
  std::vector<Value> items = left.items();
  items.insert(items.end(), right.items().begin(), right.items().end());
  return left.is_list() ? interpreter.List(std::move(items)) : interpreter.Tuple(std::move(items));
}

Result<int> OrderOfItems(const std::vector<Value>& left, const std::vector<Value>& right,
                         Interpreter& interpreter) {
  const size_t common = std::min(left.size(), right.size());
  QWEN25_RETURN_IF_ERROR(interpreter.Spend(common));
  for (size_t i = 0; i < common; ++i) {
    if (!(left[i] == right[i])) return Order(left[i], right[i], interpreter);
  }
  return left.size() < right.size() ? -1 : left.size() > right.size() ? 1 : 0;
}

// Of two integers, at least one of them beyond 64 bits.
int OrderOfDigits(const Value& left, const Value& right) {
  const auto key = [](const Value& value) {
    const std::string digits =
        value.is(Value::Kind::kBigInt) ? value.digits() : fmt::to_string(*value.AsInt());
    const bool is_negative = digits.starts_with('-');
    const std::string magnitude = digits.substr(is_negative ? 1 : 0);
    return std::make_pair(is_negative, std::make_pair(magnitude.size(), magnitude));
  };
  const auto a = key(left), b = key(right);
  if (a.first != b.first) return a.first ? -1 : 1;
  const int order = a.second < b.second ? -1 : a.second > b.second ? 1 : 0;
  return a.first ? -order : order;
}

// A bound of a slice in a sequence of that length, moved into [lowest, highest].
Result<int64_t> Bound(const Value& value, int64_t length, int64_t lowest, int64_t highest) {
  const std::optional<int64_t> index = value.AsInt();
  if (!index) return InvalidArgument("a bound of a slice is {}, expected an integer", value.TypeName());
  return std::clamp(*index < 0 ? *index + length : *index, lowest, highest);
}

// The indices that a slice takes, in order.
struct SliceRange {
  int64_t start, step;
  size_t count;
};
Result<SliceRange> RangeOf(const Value& start, const Value& stop, const Value& step, int64_t length) {
  int64_t width = 1;
  if (!step.is_none()) {
    if (!step.AsInt() || *step.AsInt() == 0)
      return InvalidArgument("the step of a slice must be an integer and not 0");
    width = std::clamp<int64_t>(*step.AsInt(), -INT32_MAX, INT32_MAX);
  }
  const int64_t lowest = width > 0 ? 0 : -1, highest = width > 0 ? length : length - 1;
  int64_t first = width > 0 ? lowest : highest, last = width > 0 ? highest : lowest;
  if (!start.is_none())
    QWEN25_RETURN_IF_ERROR([&]() -> Status {
      QWEN25_TRY(first, Bound(start, length, lowest, highest));
      return {};
    }());
  if (!stop.is_none())
    QWEN25_RETURN_IF_ERROR([&]() -> Status {
      QWEN25_TRY(last, Bound(stop, length, lowest, highest));
      return {};
    }());
  const int64_t distance = width > 0 ? last - first : first - last;
  const int64_t magnitude = width > 0 ? width : -width;
  return SliceRange{first, width, distance <= 0 ? 0 : static_cast<size_t>((distance - 1) / magnitude + 1)};
}

}  // namespace

Result<Value> Arithmetic(std::string_view name, const Value& left, const Value& right,
                         Interpreter& interpreter) {
  if (name == "%" && left.is_string()) return FormatPercent(left, right, interpreter);
  if (left.is_number() && right.is_number()) {
    if (left.is_float() || right.is_float()) return OfFloats(name, *left.AsFloat(), *right.AsFloat());
    if (!left.AsInt() || !right.AsInt()) return TooLarge();
    return OfIntegers(name, *left.AsInt(), *right.AsInt());
  }
  const auto is_text_or_items = [](const Value& value) { return value.is_string() || value.is_sequence(); };
  if (name == "+" && left.kind() == right.kind() && is_text_or_items(left))
    return Join(left, right, interpreter);
  if (name == "*" && is_text_or_items(left) && right.AsInt())
    return Repeat(left, *right.AsInt(), interpreter);
  if (name == "*" && is_text_or_items(right) && left.AsInt())
    return Repeat(right, *left.AsInt(), interpreter);
  return DoesNotFit(name, left, right);
}

Result<Value> Negative(const Value& value) {
  if (value.is_float()) return Value::Float(-value.floating());
  if (value.is(Value::Kind::kBigInt)) {
    const std::string& digits = value.digits();
    return *ParseInteger(digits.starts_with('-') ? digits.substr(1) : "-" + digits);
  }
  if (!value.AsInt()) return DoesNotFit("-", value, value);
  if (*value.AsInt() == INT64_MIN) return Value::BigInt("9223372036854775808");
  return Value::Int(-*value.AsInt());
}

Result<Value> Positive(const Value& value) {
  if (value.is_float() || value.is(Value::Kind::kBigInt)) return value;
  if (!value.AsInt()) return DoesNotFit("+", value, value);
  return Value::Int(*value.AsInt());
}

Result<int> Order(const Value& left, const Value& right, Interpreter& interpreter) {
  const auto order = [](const auto& a, const auto& b) { return a < b ? -1 : a > b ? 1 : 0; };
  if (left.is_number() && right.is_number()) {
    if (left.AsInt() && right.AsInt()) return order(*left.AsInt(), *right.AsInt());
    if (!left.is_float() && !right.is_float()) return OrderOfDigits(left, right);
    const double a = *left.AsFloat(), b = *right.AsFloat();
    return std::isnan(a) || std::isnan(b) ? 2 : order(a, b);
  }
  if (left.is_string() && right.is_string()) return order(left.text(), right.text());
  if (left.is_sequence() && left.kind() == right.kind())
    return OrderOfItems(left.items(), right.items(), interpreter);
  for (const Value* value : {&left, &right}) {
    if (value->is_undefined()) return InvalidArgument("{}", value->undefined_message());
  }
  return InvalidArgument("{} and {} have no order", left.TypeName(), right.TypeName());
}

Result<bool> CompareValues(std::string_view name, const Value& left, const Value& right,
                           Interpreter& interpreter) {
  if (name == "==" || name == "!=") {
    if (left.is_sequence()) QWEN25_RETURN_IF_ERROR(interpreter.Spend(left.items().size()));
    if (left.is_dict()) {
      const size_t size = left.dict().entries.size();
      QWEN25_RETURN_IF_ERROR(interpreter.Spend(size * size / 16));
    }
    return (left == right) == (name == "==");
  }
  if (name == "in") return Contains(right, left, interpreter);
  if (name == "not in") {
    QWEN25_TRY(const bool contains, Contains(right, left, interpreter));
    return !contains;
  }
  QWEN25_TRY(const int order, Order(left, right, interpreter));
  if (order == 2) return false;
  if (name == "<") return order < 0;
  if (name == "<=") return order <= 0;
  return name == ">" ? order > 0 : order >= 0;
}

Result<bool> Contains(const Value& container, const Value& item, Interpreter& interpreter) {
  if (container.is_string()) {
    if (!item.is_string()) {
      return InvalidArgument("{} cannot be in a string: only strings can", item.TypeName());
    }
    QWEN25_RETURN_IF_ERROR(interpreter.Spend(container.text().size() / 16));
    return container.text().find(item.text()) != std::string::npos;
  }
  if (container.is_dict()) {
    if (item.is_list() || item.is_dict()) return InvalidArgument("a {} cannot be a key", item.TypeName());
    QWEN25_RETURN_IF_ERROR(interpreter.Spend(container.dict().entries.size() / 4));
    return container.dict().Find(item) != nullptr;
  }
  if (Object* space = container.object(Object::Type::kNamespace)) {
    static_cast<void>(space);
    return InvalidArgument("a namespace cannot be searched with \"in\"");
  }
  if (!Iterator::IsIterable(container)) {
    return InvalidArgument("a value of type {} holds no others: \"in\" does not take it",
                           container.TypeName());
  }
  Iterator iterator(container);
  while (true) {
    QWEN25_TRY(const std::optional<Value> next, iterator.Next(interpreter));
    if (!next) return false;
    if (*next == item || next->IsSame(item)) return true;
  }
}

Result<Value> Slice(const Value& value, const Value& start, const Value& stop, const Value& step,
                    Interpreter& interpreter) {
  if (value.is_string()) {
    const CodePoints points(value.text());
    QWEN25_TRY(const SliceRange range, RangeOf(start, stop, step, static_cast<int64_t>(points.size())));
    QWEN25_RETURN_IF_ERROR(interpreter.Spend(1 + value.text().size() / 8));
    MarkedText text;
    if (range.step == 1) {
      const auto first = static_cast<size_t>(range.start);
      text = value.marked().Part(points.Offset(first), points.Offset(first + range.count));
    } else {
      for (size_t i = 0; i < range.count; ++i) {
        const auto at = static_cast<size_t>(range.start + static_cast<int64_t>(i) * range.step);
        text.AppendPart(value.marked(), points.Offset(at), points.Offset(at + 1));
      }
    }
    return interpreter.Text(std::move(text), value.is_safe());
  }
  if (value.is_sequence()) {
    QWEN25_TRY(const SliceRange range,
               RangeOf(start, stop, step, static_cast<int64_t>(value.items().size())));
    QWEN25_RETURN_IF_ERROR(interpreter.Spend(range.count));
    std::vector<Value> items;
    for (size_t i = 0; i < range.count; ++i) {
      items.push_back(value.items()[static_cast<size_t>(range.start + static_cast<int64_t>(i) * range.step)]);
    }
    return value.is_list() ? interpreter.List(std::move(items)) : interpreter.Tuple(std::move(items));
  }
  if (const Object* object = value.object(Object::Type::kRange)) {
    const auto& all = *static_cast<const RangeObject*>(object);
    QWEN25_TRY(const SliceRange range, RangeOf(start, stop, step, static_cast<int64_t>(all.length)));
    const int64_t first = all.start + range.start * all.step, width = all.step * range.step;
    return Value::Of(
        interpreter.New<RangeObject>(first, first + static_cast<int64_t>(range.count) * width, width));
  }
  if (value.is_undefined()) return InvalidArgument("{}", value.undefined_message());
  return InvalidArgument("a value of type {} cannot be sliced", value.TypeName());
}

}  // namespace qwen25::jinja
