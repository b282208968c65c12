#include "text/jinja/format_spec.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "text/jinja/print.h"
#include "text/jinja/text_tools.h"
#include "text/utf8.h"

namespace qwen25::jinja {
namespace {

constexpr int64_t kMaxPrecision = 400;  // digits of a number

bool IsAlign(char c) {
  return c == '<' || c == '>' || c == '^' || c == '=';
}

std::optional<int64_t> TakeNumber(std::string_view& text) {
  size_t end = 0;
  int64_t number = 0;
  for (; end < text.size() && text[end] >= '0' && text[end] <= '9'; ++end) {
    number = std::min<int64_t>(number * 10 + (text[end] - '0'), INT32_MAX);  // more than any text can have
  }
  if (end == 0) return std::nullopt;
  text.remove_prefix(end);
  return number;
}

// Puts `separator` between groups of digits of the integer part.
std::string Grouped(const std::string& digits, char separator, size_t group) {
  if (separator == '\0') return digits;
  const size_t integer = std::min(digits.find_first_not_of("0123456789abcdefABCDEF"), digits.size());
  std::string out;
  for (size_t i = 0; i < integer; ++i) {
    if (i > 0 && (integer - i) % group == 0) out += separator;
    out += digits[i];
  }
  return out + digits.substr(integer);
}

std::string Printf(const char* format, int precision, double value) {
  std::vector<char> text(800);
  const int length = std::snprintf(text.data(), text.size(), format, precision, value);
  return std::string(text.data(), std::min(static_cast<size_t>(std::max(length, 0)), text.size() - 1));
}

// The digits of |value|.
Result<std::string> FloatDigits(double value, const FormatSpec& spec) {
  const char type = spec.type;
  const bool is_upper = type == 'E' || type == 'F' || type == 'G';
  if (std::isnan(value)) return std::string(is_upper ? "NAN" : "nan");
  if (std::isinf(value)) return std::string(is_upper ? "INF" : "inf");
  const double magnitude = std::abs(value) * (type == '%' ? 100.0 : 1.0);
  if (spec.precision.value_or(0) > kMaxPrecision) {
    return InvalidArgument("a number cannot be shown with {} digits", *spec.precision);
  }
  const int precision = static_cast<int>(spec.precision.value_or(6));
  switch (type) {
    case 'f':
    case 'F':
      return Printf(spec.is_alternate ? "%#.*f" : "%.*f", precision, magnitude);
    case '%':
      return Printf("%.*f", precision, magnitude) + "%";
    case 'e':
      return Printf("%.*e", precision, magnitude);
    case 'E':
      return Printf("%.*E", precision, magnitude);
    case 'g':
    case 'n':
      return Printf(spec.is_alternate ? "%#.*g" : "%.*g", precision, magnitude);
    case 'G':
      return Printf(spec.is_alternate ? "%#.*G" : "%.*G", precision, magnitude);
    case '\0': {
      if (!spec.precision) return FloatText(magnitude);
      // As 'g', but with at least one digit behind the point, and one digit fewer before an exponent.
      std::string digits = Printf("%.*g", std::max(precision, 1), magnitude);
      const bool is_plain = digits.find_first_of(".e") == std::string::npos;
      if (is_plain && digits.size() >= static_cast<size_t>(std::max(precision, 1))) {
        return Printf("%.*e", std::max(precision, 1) - 1, magnitude);
      }
      return is_plain ? digits + ".0" : digits;
    }
    default:
      return InvalidArgument("the format '{}' does not take a float", type);
  }
}

Result<std::string> IntegerDigits(const Value& value, const FormatSpec& spec) {
  std::string decimal = value.is(Value::Kind::kBigInt) ? value.digits() : fmt::to_string(*value.AsInt());
  if (decimal.starts_with('-')) decimal.erase(0, 1);
  const char type = spec.type;
  if (type == '\0' || type == 'd' || type == 'n') return decimal;
  if (type != 'b' && type != 'o' && type != 'x' && type != 'X') {
    return InvalidArgument("the format '{}' does not take an integer", type);
  }
  const std::optional<int64_t> number = value.AsInt();
  if (!number) return InvalidArgument("an integer beyond 64 bits can only be shown in decimal");
  const uint64_t magnitude =
      *number < 0 ? 0 - static_cast<uint64_t>(*number) : static_cast<uint64_t>(*number);
  const std::string prefix = spec.is_alternate ? std::string("0") + type : "";
  if (type == 'b') return prefix + fmt::format("{:b}", magnitude);
  if (type == 'o') return prefix + fmt::format("{:o}", magnitude);
  return prefix + (type == 'x' ? fmt::format("{:x}", magnitude) : fmt::format("{:X}", magnitude));
}

bool IsNegative(const Value& value) {
  if (value.is(Value::Kind::kBigInt)) return value.digits().starts_with('-');
  return value.is_float() ? std::signbit(value.floating()) && !std::isnan(value.floating())
                          : *value.AsInt() < 0;
}

bool IsFloatType(char type) {
  return type != '\0' && std::string_view("eEfFgG%").find(type) != std::string_view::npos;
}

}  // namespace

Result<FormatSpec> ParseFormatSpec(std::string_view text) {
  const std::string_view all = text;
  FormatSpec spec;
  if (!text.empty()) {
    const size_t first = DecodeCodePoint(text.data(), text.data() + text.size()).bytes;
    if (text.size() > first && IsAlign(text[first])) {
      spec.fill = text.substr(0, first);
      spec.align = text[first];
      text.remove_prefix(first + 1);
    } else if (IsAlign(text[0])) {
      spec.align = text[0];
      text.remove_prefix(1);
    }
  }
  const auto take = [&](std::string_view characters) {
    if (text.empty() || characters.find(text[0]) == std::string_view::npos) return '\0';
    const char c = text[0];
    text.remove_prefix(1);
    return c;
  };
  if (const char sign = take("+- ")) spec.sign = sign;
  spec.is_alternate = take("#") != '\0';
  if (take("0") != '\0') {
    spec.has_zeros = true;
    if (spec.align == '\0') {
      spec.fill = "0";
      spec.align = '=';
    }
  }
  spec.width = TakeNumber(text);
  spec.grouping = take(",_");
  if (take(".") != '\0') {
    spec.precision = TakeNumber(text);
    if (!spec.precision) return InvalidArgument("the format \"{}\" has no digits behind its point", all);
  }
  spec.type = take("bcdeEfFgGnosxX%");
  if (!text.empty()) return InvalidArgument("\"{}\" is no format for a value", all);
  return spec;
}

Result<std::string> NumberText(const Value& value, const FormatSpec& spec) {
  const bool as_float = value.is_float() || IsFloatType(spec.type);
  std::string digits;
  if (as_float) {
    QWEN25_TRY(digits, FloatDigits(*value.AsFloat(), spec));
  } else {
    QWEN25_TRY(digits, IntegerDigits(value, spec));
  }
  const bool is_decimal = as_float || spec.type == '\0' || spec.type == 'd' || spec.type == 'n';
  digits = Grouped(digits, spec.grouping, is_decimal ? 3 : 4);
  if (IsNegative(value)) return "-" + digits;
  return spec.sign == '-' ? digits : std::string(1, spec.sign) + digits;
}

Result<MarkedText> Padded(const MarkedText& text, const FormatSpec& spec, char align,
                          Interpreter& interpreter) {
  const auto length = static_cast<int64_t>(CountCodePoints(text.text()));
  const int64_t missing = spec.width.value_or(0) - length;
  if (missing <= 0) return text;
  QWEN25_RETURN_IF_ERROR(
      interpreter.SpendText(static_cast<size_t>(missing) * spec.fill.size() + text.size()));
  const auto fill = [&](int64_t count) {
    std::string filled;
    for (int64_t i = 0; i < count; ++i) filled += spec.fill;
    return filled;
  };
  MarkedText out;
  if (align == '=') {  // behind the sign and the prefix of the base
    size_t head = text.text().find_first_not_of("+- ");
    head = head == std::string::npos ? text.size() : head;
    if (spec.is_alternate && text.size() > head + 1 && text.text()[head] == '0') head += 2;
    out.AppendPart(text, 0, head);
    out.Append(fill(missing), Mark::kTemplate);
    out.AppendPart(text, head, text.size());
    return out;
  }
  const int64_t left = align == '<' ? 0 : align == '>' ? missing : missing / 2;
  out.Append(fill(left), Mark::kTemplate);
  out.Append(text);
  out.Append(fill(missing - left), Mark::kTemplate);
  return out;
}

Result<MarkedText> FormatValue(const Value& value, const FormatSpec& spec, Interpreter& interpreter) {
  if (value.is_bool() && spec.type == '\0') {
    QWEN25_TRY(const MarkedText text, Str(value, interpreter));
    return Padded(text, spec, spec.align == '\0' ? '<' : spec.align, interpreter);
  }
  if (value.is_number() && spec.type == 'c' && value.AsInt()) {
    std::string text;
    AppendUtf8(static_cast<char32_t>(std::clamp<int64_t>(*value.AsInt(), 0, 0x110000)), text);
    return Padded(MarkedText(text), spec, spec.align == '\0' ? '<' : spec.align, interpreter);
  }
  if (value.is_number()) {
    QWEN25_TRY(std::string text, NumberText(value, spec));
    return Padded(MarkedText(std::move(text)), spec, spec.align == '\0' ? '>' : spec.align, interpreter);
  }
  const bool is_plain = !spec.width && !spec.precision && spec.type == '\0' && spec.align == '\0';
  if (!value.is_string() && !is_plain) {
    return InvalidArgument("a value of type {} takes no format", value.TypeName());
  }
  if (spec.type != '\0' && spec.type != 's')
    return InvalidArgument("the format '{}' does not take a string", spec.type);
  QWEN25_TRY(MarkedText text, Str(value, interpreter));
  if (spec.align == '=' && !spec.has_zeros)
    return InvalidArgument("the alignment '=' does not take a string");
  if (spec.precision) {
    const CodePoints points(text.text());
    text = text.Part(0, points.Offset(std::min(points.size(), static_cast<size_t>(*spec.precision))));
  }
  return Padded(text, spec, spec.align == '\0' || spec.align == '=' ? '<' : spec.align, interpreter);
}

}  // namespace qwen25::jinja
