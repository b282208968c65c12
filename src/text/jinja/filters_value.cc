#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "text/jinja/builtins.h"
#include "text/jinja/json_text.h"
#include "text/jinja/methods.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/text_tools.h"

namespace qwen25::jinja {
namespace {

Result<Value> Default(const FilterCall& call) {
  const bool is_absent = call.input.is_undefined() || (call.arguments.Bool(1, false) && !call.input.Truth());
  if (!is_absent) return call.input;
  return call.arguments.Has(0) ? call.arguments.Get(0) : Value::String("");
}

// A number as Python's int() and float() read one: white space around it, underscores between digits.
std::optional<std::string> NumberSpelling(std::string_view text) {
  const std::string stripped = Strip(MarkedText(std::string(text)), Side::kBoth, std::nullopt).text();
  std::string plain;
  const auto is_digit = [&](size_t i) {
    return i < stripped.size() && std::isalnum(static_cast<unsigned char>(stripped[i])) != 0;
  };
  for (size_t i = 0; i < stripped.size(); ++i) {
    if (stripped[i] != '_') {
      plain += stripped[i];
    } else if (i == 0 || !is_digit(i - 1) || !is_digit(i + 1)) {
      return std::nullopt;
    }
  }
  return plain.empty() ? std::nullopt : std::optional(plain);
}

std::optional<double> ParseFloat(std::string_view text) {
  const std::optional<std::string> plain = NumberSpelling(text);
  if (!plain) return std::nullopt;
  std::string_view digits = *plain;
  const bool is_negative = digits.starts_with('-');
  if (is_negative || digits.starts_with('+')) digits.remove_prefix(1);
  std::string lower;
  for (const char c : digits) lower += static_cast<char>(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
  const double sign = is_negative ? -1.0 : 1.0;
  if (lower == "inf" || lower == "infinity") return sign * HUGE_VAL;
  if (lower == "nan") return std::nan("");
  if (lower.empty() || lower.find_first_not_of("0123456789.e+-") != std::string::npos || lower[0] == '-' ||
      lower[0] == '+') {
    return std::nullopt;
  }
  char* end = nullptr;
  const double number = std::strtod(lower.c_str(), &end);
  if (end != lower.c_str() + lower.size()) return std::nullopt;
  return sign * number;
}

std::optional<Value> ParseInBase(std::string_view text, int64_t base) {
  const std::optional<std::string> plain = NumberSpelling(text);
  if (!plain) return std::nullopt;
  if (base == 10) return ParseInteger(*plain);
  std::string_view digits = *plain;
  const bool is_negative = digits.starts_with('-');
  if (is_negative || digits.starts_with('+')) digits.remove_prefix(1);
  const auto has_prefix = [&](char lower) {
    return digits.size() > 2 && digits[0] == '0' && (digits[1] | 0x20) == lower;
  };
  const int64_t named = has_prefix('x') ? 16 : has_prefix('o') ? 8 : has_prefix('b') ? 2 : 10;
  if (named != 10 && (base == named || base == 0)) {
    digits.remove_prefix(2);
    base = named;
  }
  if (base == 0) base = 10;
  int64_t number = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), number, static_cast<int>(base));
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return Value::Int(is_negative ? -number : number);
}

// The integer part of a float; nothing for NaN, infinities and what is beyond 64 bits.
std::optional<Value> WholePart(double number) {
  const double whole = std::trunc(number);
  if (!std::isfinite(whole)) return std::nullopt;
  if (std::abs(whole) < 9.2e18) return Value::Int(static_cast<int64_t>(whole));
  return ParseInteger(fmt::format("{:.0f}", whole));
}

Result<Value> Int(const FilterCall& call) {
  const Value otherwise = call.arguments.Has(0) ? call.arguments.Get(0) : Value::Int(0);
  QWEN25_TRY(const int64_t base, call.arguments.Int(1, 10));
  if (base != 0 && (base < 2 || base > 36))
    return InvalidArgument("\"int\": the base {} is not in 2..36", base);
  const Value& input = call.input;
  if (input.is_undefined()) return InvalidArgument("{}", input.undefined_message());
  if (input.AsInt()) return Value::Int(*input.AsInt());
  if (input.is(Value::Kind::kBigInt)) return input;
  std::optional<Value> number;
  if (input.is_string()) {
    number = ParseInBase(input.text(), base);
    const std::optional<double> real = ParseFloat(input.text());
    if (!number && real) number = WholePart(*real);
  } else if (input.is_float()) {
    if (std::isinf(input.floating())) return InvalidArgument("an infinite number is no integer");
    number = WholePart(input.floating());
  }
  return number.value_or(otherwise);
}

Result<Value> Float(const FilterCall& call) {
  const Value& input = call.input;
  if (input.is_undefined()) return InvalidArgument("{}", input.undefined_message());
  std::optional<double> number = input.AsFloat();
  if (input.is_string()) number = ParseFloat(input.text());
  if (number) return Value::Float(*number);
  return call.arguments.Has(0) ? call.arguments.Get(0) : Value::Float(0.0);
}

Result<Value> Abs(const FilterCall& call) {
  const Value& input = call.input;
  if (input.is_float()) return Value::Float(std::abs(input.floating()));
  if (input.is(Value::Kind::kBigInt)) {
    return input.digits().starts_with('-') ? Negative(input) : Result<Value>(input);
  }
  if (!input.AsInt()) {
    if (input.is_undefined()) return InvalidArgument("{}", input.undefined_message());
    return InvalidArgument("\"abs\" takes a number, not {}", input.TypeName());
  }
  return *input.AsInt() < 0 ? Negative(input) : Positive(input);
}

// Rounds half to even in decimal, as Python does: by the digits that are printed.
double RoundToDigits(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 320) return value;
  if (digits < -320) return std::copysign(0.0, value);
  if (digits >= 0)
    return std::strtod(fmt::format("{:.{}f}", value, static_cast<int>(digits)).c_str(), nullptr);
  const double power = std::pow(10.0, static_cast<double>(-digits));
  return std::nearbyint(value / power) * power;
}

Result<Value> RoundInteger(int64_t value, int64_t digits) {
  if (digits >= 0) return Value::Int(value);
  if (digits < -18) return Value::Int(0);
  int64_t power = 1;
  for (int64_t i = 0; i < -digits; ++i) power *= 10;
  const int64_t rest = ((value % power) + power) % power;
  int64_t down = 0;
  if (__builtin_sub_overflow(value, rest, &down)) return InvalidArgument("the result is beyond 64 bits");
  const bool is_odd = (down / power) % 2 != 0;
  const bool up = rest > power - rest || (rest == power - rest && is_odd);
  if (up && __builtin_add_overflow(down, power, &down))
    return InvalidArgument("the result is beyond 64 bits");
  return Value::Int(down);
}

Result<Value> Round(const FilterCall& call) {
  QWEN25_TRY(const int64_t precision, call.arguments.Int(0, 0));
  std::string method = "common";
  if (call.arguments.Has(1)) {
    QWEN25_TRY(const MarkedText text, call.arguments.Text(1));
    method = text.text();
  }
  if (method != "common" && method != "ceil" && method != "floor") {
    return InvalidArgument("\"round\": the method is \"{}\", expected common, ceil or floor", method);
  }
  const Value& input = call.input;
  if (input.is_undefined()) return InvalidArgument("{}", input.undefined_message());
  if (!input.AsFloat()) return InvalidArgument("\"round\" takes a number, not {}", input.TypeName());
  if (method == "common") {
    if (input.is(Value::Kind::kBigInt)) return input;
    if (input.AsInt()) return RoundInteger(*input.AsInt(), precision);
    return Value::Float(RoundToDigits(input.floating(), precision));
  }
  const double power = std::pow(10.0, static_cast<double>(precision));
  const double scaled = *input.AsFloat() * power;
  return Value::Float((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / power);
}

Result<Value> FileSizeFormat(const FilterCall& call) {
  std::optional<double> bytes = call.input.AsFloat();
  if (call.input.is_string()) bytes = ParseFloat(call.input.text());
  if (!bytes) return InvalidArgument("\"filesizeformat\" takes a number, not {}", call.input.TypeName());
  const bool binary = call.arguments.Bool(0, false);
  const double base = binary ? 1024 : 1000;
  if (*bytes == 1) return Value::String("1 Byte");
  if (*bytes < base) return Value::String(fmt::format("{} Bytes", static_cast<int64_t>(*bytes)));
  double unit = base;
  for (const char prefix : std::string_view("kMGTPEZY")) {
    if (*bytes < unit * base || prefix == 'Y') {
      const char shown = binary && prefix == 'k' ? 'K' : prefix;
      return Value::String(fmt::format("{:.1f} {}{}B", *bytes / unit, shown, binary ? "i" : ""));
    }
    unit *= base;
  }
  return Value();
}

Result<Value> ToJsonFilter(const FilterCall& call) {
  JsonStyle style{.only_ascii = call.arguments.Bool(0, false), .sort_keys = call.arguments.Bool(3, false)};
  const Value indent = call.arguments.Get(1);
  if (indent.is_string()) {
    style.indent = indent.text();
  } else if (!indent.is_none()) {
    QWEN25_TRY(const int64_t width, call.arguments.Int(1, 0));
    QWEN25_RETURN_IF_ERROR(call.interpreter.CheckSize(static_cast<size_t>(std::max<int64_t>(width, 0))));
    style.indent = std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  if (style.indent) style.between_items = ",";
  if (!call.arguments.Get(2).is_none()) {
    QWEN25_TRY(const std::vector<Value> separators, call.interpreter.ToVector(call.arguments.Get(2)));
    if (separators.size() != 2 || !separators[0].is_string() || !separators[1].is_string()) {
      return InvalidArgument(
          "\"tojson\": \"separators\" must be two strings: between items, and behind keys");
    }
    style.between_items = separators[0].text();
    style.between_key_and_value = separators[1].text();
  }
  QWEN25_TRY(MarkedText text, ToJson(call.input, style, call.interpreter));
  return call.interpreter.Text(std::move(text));
}

Result<Value> Attr(const FilterCall& call) {
  QWEN25_TRY(const MarkedText name, call.arguments.Text(0));
  // Items of dictionaries are no attributes.
  if (call.input.is_dict() && !HasMethod(call.input, name.text())) {
    return Value::Undefined(fmt::format("a dictionary has no attribute \"{}\"", name.text()));
  }
  return call.interpreter.GetAttribute(call.input, name.text());
}

constexpr std::array kFilters = {
    FilterEntry{"default", "default_value? boolean?", Default},
    FilterEntry{"d", "default_value? boolean?", Default},
    FilterEntry{"int", "default? base?", Int},
    FilterEntry{"float", "default?", Float},
    FilterEntry{"abs", "", Abs},
    FilterEntry{"round", "precision? method?", Round},
    FilterEntry{"tojson", "ensure_ascii? indent? separators? sort_keys?", ToJsonFilter},
    FilterEntry{"attr", "name", Attr},
    FilterEntry{"filesizeformat", "binary?", FileSizeFormat},
};

}  // namespace

std::span<const FilterEntry> ValueFilters() {
  return kFilters;
}

}  // namespace qwen25::jinja
