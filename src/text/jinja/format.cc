#include "text/jinja/format.h"

#include <algorithm>
#include <cmath>

#include "text/jinja/format_spec.h"
#include "text/jinja/print.h"
#include "text/jinja/text_tools.h"
#include "text/utf8.h"

namespace qwen25::jinja {
namespace {

// The values of one use of the operator %.
class PercentValues {
 public:
  explicit PercentValues(const Value& values) : values_(values) {}

  Result<Value> Next() {
    if (values_.is_tuple()) {
      if (next_ >= values_.items().size())
        return InvalidArgument("the format needs more values than there are");
      return values_.items()[next_++];
    }
    if (next_++ > 0) return InvalidArgument("the format needs more values than there are");
    return values_;
  }
  Result<Value> Named(std::string_view key) {
    if (!values_.is_dict())
      return InvalidArgument("the format names \"{}\", but the value is no dictionary", key);
    const Value* found = values_.dict().Find(key);
    if (found == nullptr)
      return InvalidArgument("the format names \"{}\", which is not in the dictionary", key);
    return *found;
  }
  // Lists, dictionaries and undefined values may be left over, as in Python.
  Status CheckAllUsed() const {
    const bool may_rest =
        values_.is_dict() || values_.is_list() || values_.is_undefined() || values_.object() != nullptr;
    const bool is_used = values_.is_tuple() ? next_ == values_.items().size() : next_ > 0 || may_rest;
    return is_used ? Status() : InvalidArgument("the format does not use all of its values");
  }

 private:
  const Value& values_;
  size_t next_ = 0;
};

Result<MarkedText> PercentNumber(const Value& value, FormatSpec spec, Interpreter& interpreter) {
  if (!value.is_number()) {
    if (value.is_undefined()) return InvalidArgument("{}", value.undefined_message());
    return InvalidArgument("the format %{} needs a number, not {}", spec.type, value.TypeName());
  }
  Value number = value;
  const bool is_integer_type = std::string_view("dxXo").find(spec.type) != std::string_view::npos;
  if (is_integer_type && value.is_float()) {
    if (spec.type != 'd') return InvalidArgument("the format %{} needs an integer", spec.type);
    const double whole = std::trunc(value.floating());
    if (!(std::abs(whole) < 9.2e18)) return InvalidArgument("{} is no integer of 64 bits", FloatText(whole));
    number = Value::Int(static_cast<int64_t>(whole));
  } else if (is_integer_type && value.is_bool()) {
    number = Value::Int(*value.AsInt());
  }
  FormatSpec digits = spec;
  if (is_integer_type) digits.precision.reset();
  QWEN25_TRY(std::string text, NumberText(number, digits));
  if (is_integer_type && spec.precision) {  // at least so many digits
    const size_t head = text.find_first_of("0123456789abcdefABCDEF");
    const auto count = static_cast<int64_t>(text.size() - head);
    QWEN25_RETURN_IF_ERROR(interpreter.SpendText(static_cast<size_t>(std::max<int64_t>(*spec.precision, 0))));
    if (count < *spec.precision)
      text.insert(head, std::string(static_cast<size_t>(*spec.precision - count), '0'));
  }
  return Padded(MarkedText(std::move(text)), spec, spec.align == '\0' ? '>' : spec.align, interpreter);
}

Result<MarkedText> PercentText(const Value& value, const FormatSpec& spec, Interpreter& interpreter) {
  MarkedText text;
  if (spec.type == 'c') {
    const bool is_character = value.is_string() && CountCodePoints(value.text()) == 1;
    if (!is_character && !value.AsInt())
      return InvalidArgument("the format %c needs one character or its number");
    std::string character;
    if (!is_character)
      AppendUtf8(static_cast<char32_t>(std::clamp<int64_t>(*value.AsInt(), 0, 0x110000)), character);
    text = is_character ? value.marked() : MarkedText(character);
  } else {
    QWEN25_TRY(text, spec.type == 's' ? Str(value, interpreter) : Repr(value, interpreter));
    if (spec.precision) {
      const CodePoints points(text.text());
      text = text.Part(0, points.Offset(std::min(points.size(), static_cast<size_t>(*spec.precision))));
    }
  }
  return Padded(text, spec, spec.align == '\0' ? '>' : spec.align, interpreter);
}

// Reads the options of one conversion from `at` on, which then stands behind its type.
Result<FormatSpec> ReadPercentSpec(std::string_view text, size_t& at, PercentValues& values) {
  FormatSpec spec;
  bool is_left = false;
  for (; at < text.size() && std::string_view("#0- +").find(text[at]) != std::string_view::npos; ++at) {
    is_left = is_left || text[at] == '-';
    spec.is_alternate = spec.is_alternate || text[at] == '#';
    spec.has_zeros = spec.has_zeros || text[at] == '0';
    if (text[at] == '+' || (text[at] == ' ' && spec.sign != '+')) spec.sign = text[at];
  }
  const auto number = [&](std::optional<int64_t>& out) -> Status {
    if (at < text.size() && text[at] == '*') {
      ++at;
      QWEN25_TRY(const Value value, values.Next());
      if (!value.AsInt()) return InvalidArgument("a width in a format must be an integer");
      out = *value.AsInt();
      return {};
    }
    int64_t count = 0;
    const size_t begin = at;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
      count = std::min<int64_t>(count * 10 + (text[at] - '0'), INT32_MAX);
    }
    if (at > begin) out = count;
    return {};
  };
  QWEN25_RETURN_IF_ERROR(number(spec.width));
  if (spec.width.value_or(0) < 0) {
    is_left = true;
    spec.width = -*spec.width;
  }
  if (at < text.size() && text[at] == '.') {
    ++at;
    spec.precision = 0;
    QWEN25_RETURN_IF_ERROR(number(spec.precision));
  }
  while (at < text.size() && (text[at] == 'h' || text[at] == 'l' || text[at] == 'L')) ++at;
  if (at == text.size()) return InvalidArgument("the format ends in the middle of a conversion");
  spec.type = text[at++];
  if (spec.type == 'i' || spec.type == 'u') spec.type = 'd';
  const bool is_number = std::string_view("dxXoeEfFgG").find(spec.type) != std::string_view::npos;
  spec.align = is_left ? '<' : '\0';
  if (spec.has_zeros && !is_left && is_number) {
    spec.fill = "0";
    spec.align = '=';
  }
  return spec;
}

Result<MarkedText> PercentValue(const Value& value, const FormatSpec& spec, Interpreter& interpreter) {
  if (std::string_view("dxXoeEfFgG").find(spec.type) != std::string_view::npos) {
    return PercentNumber(value, spec, interpreter);
  }
  if (std::string_view("sra").find(spec.type) != std::string_view::npos || spec.type == 'c') {
    return PercentText(value, spec, interpreter);
  }
  return InvalidArgument("\"%{}\" is no conversion of a format", spec.type);
}

// Fills the fields of str.format.
class BraceFormatter {
 public:
  BraceFormatter(const Arguments& arguments, Interpreter& interpreter)
      : arguments_(arguments), interpreter_(interpreter) {}

  Result<MarkedText> Fill(const MarkedText& format, size_t depth) {
    if (depth > 2) return InvalidArgument("a format inside of a format holds another one");
    const std::string_view text = format.text();
    MarkedText out;
    for (size_t at = 0; at < text.size();) {
      const size_t brace = std::min(text.find_first_of("{}", at), text.size());
      out.AppendPart(format, at, brace);
      at = brace;
      if (at == text.size()) break;
      if (text.substr(at + 1).starts_with(text[at])) {
        out.AppendPart(format, at, at + 1);
        at += 2;
        continue;
      }
      if (text[at] == '}') return InvalidArgument("the format has a \"}}\" that closes nothing");
      QWEN25_TRY(const size_t end, FieldEnd(text, at + 1));
      QWEN25_TRY(const MarkedText field, Field(format.Part(at + 1, end), depth));
      QWEN25_RETURN_IF_ERROR(interpreter_.SpendText(out.size() + field.size()));
      out.Append(field);
      at = end + 1;
    }
    return out;
  }

 private:
  static Result<size_t> FieldEnd(std::string_view text, size_t at) {
    size_t open = 1;
    for (; at < text.size(); ++at) {
      if (text[at] == '{') ++open;
      if (text[at] == '}' && --open == 0) return at;
    }
    return InvalidArgument("the format has a \"{{\" that is not closed");
  }

  Result<MarkedText> Field(const MarkedText& field, size_t depth) {
    const std::string_view text = field.text();
    const size_t name_end = std::min(text.find_first_of("!:"), text.size());
    QWEN25_TRY(Value value, Lookup(text.substr(0, name_end)));
    size_t at = name_end;
    if (at < text.size() && text[at] == '!') {
      const char conversion = at + 1 < text.size() ? text[at + 1] : '\0';
      if (conversion != 'r' && conversion != 's' && conversion != 'a') {
        return InvalidArgument("a conversion in a format must be !r, !s or !a");
      }
      QWEN25_TRY(MarkedText converted,
                 conversion == 's' ? Str(value, interpreter_) : Repr(value, interpreter_));
      value = interpreter_.Text(std::move(converted));
      at += 2;
    }
    MarkedText spec_text;
    if (at < text.size()) {
      if (text[at] != ':') return InvalidArgument("a \":\" is missing in a field of the format");
      QWEN25_TRY(spec_text, Fill(field.Part(at + 1, text.size()), depth + 1));
    }
    QWEN25_TRY(const FormatSpec spec, ParseFormatSpec(spec_text.text()));
    return FormatValue(value, spec, interpreter_);
  }

  // "0", "name", "name.member[key]", or "": the next one.
  Result<Value> Lookup(std::string_view name) {
    const size_t first_end = std::min(name.find_first_of(".["), name.size());
    const std::string_view first = name.substr(0, first_end);
    QWEN25_TRY(Value value, First(first));
    for (size_t at = first_end; at < name.size();) {
      if (name[at] == '.') {
        const size_t end = std::min(name.find_first_of(".[", at + 1), name.size());
        QWEN25_TRY(value, interpreter_.GetAttribute(value, name.substr(at + 1, end - at - 1)));
        at = end;
        continue;
      }
      const size_t end = name.find(']', at);
      if (name[at] != '[' || end == std::string_view::npos)
        return InvalidArgument("\"{}\" is no field of a format", name);
      const std::string_view key = name.substr(at + 1, end - at - 1);
      const std::optional<Value> index = ParseInteger(key);
      QWEN25_TRY(value, interpreter_.GetItem(value, index ? *index : Value::String(key)));
      at = end + 1;
    }
    return value;
  }
  Result<Value> First(std::string_view name) {
    std::optional<Value> index = ParseInteger(name);
    if (name.empty()) index = Value::Int(static_cast<int64_t>(next_++));
    if (index) {
      const std::optional<int64_t> at = index->AsInt();
      if (!at || *at < 0 || *at >= static_cast<int64_t>(arguments_.positional.size())) {
        return InvalidArgument("the format needs more values than there are");
      }
      return arguments_.positional[static_cast<size_t>(*at)];
    }
    const auto found = std::ranges::find(arguments_.named, name, &std::pair<std::string, Value>::first);
    if (found == arguments_.named.end())
      return InvalidArgument("the format names \"{}\", which is not given", name);
    return found->second;
  }

  const Arguments& arguments_;
  Interpreter& interpreter_;
  size_t next_ = 0;
};

}  // namespace

Result<Value> FormatPercent(const Value& format, const Value& values, Interpreter& interpreter) {
  const std::string_view text = format.text();
  PercentValues rest(values);
  MarkedText out;
  for (size_t at = 0; at < text.size();) {
    const size_t percent = std::min(text.find('%', at), text.size());
    out.AppendPart(format.marked(), at, percent);
    at = percent + 1;
    if (percent == text.size()) break;
    if (text.substr(at).starts_with('%')) {
      out.AppendPart(format.marked(), percent, percent + 1);
      ++at;
      continue;
    }
    std::optional<Value> named;
    if (text.substr(at).starts_with('(')) {
      const size_t end = text.find(')', at);
      if (end == std::string_view::npos) return InvalidArgument("a name in the format does not end");
      QWEN25_TRY(named, rest.Named(text.substr(at + 1, end - at - 1)));
      at = end + 1;
    }
    QWEN25_TRY(const FormatSpec spec, ReadPercentSpec(text, at, rest));
    if (spec.type == '%') {
      out.Append("%", Mark::kTemplate);
      continue;
    }
    if (!named)
      QWEN25_RETURN_IF_ERROR([&]() -> Status {
        QWEN25_TRY(named, rest.Next());
        return {};
      }());
    QWEN25_TRY(const MarkedText field, PercentValue(*named, spec, interpreter));
    QWEN25_RETURN_IF_ERROR(interpreter.SpendText(out.size() + field.size()));
    out.Append(field);
  }
  QWEN25_RETURN_IF_ERROR(rest.CheckAllUsed());
  return interpreter.Text(std::move(out), format.is_safe());
}

Result<Value> FormatBraces(const Value& format, const Arguments& arguments, Interpreter& interpreter) {
  BraceFormatter formatter(arguments, interpreter);
  QWEN25_TRY(MarkedText text, formatter.Fill(format.marked(), 0));
  return interpreter.Text(std::move(text), format.is_safe());
}

}  // namespace qwen25::jinja
