#include "text/jinja/string_methods.h"

#include <algorithm>
#include <array>

#include "text/jinja/arguments.h"
#include "text/jinja/format.h"
#include "text/jinja/format_spec.h"
#include "text/jinja/text_tools.h"
#include "text/utf8.h"

namespace qwen25::jinja {
namespace {

// What a method works on.
struct Context {
  const Value& self;
  std::string_view name;
  const BoundArguments& arguments;
  Interpreter& interpreter;

  const MarkedText& text() const { return self.marked(); }
  Result<Value> Text(MarkedText result) const { return interpreter.Text(std::move(result), self.is_safe()); }
  Result<Value> Texts(std::vector<MarkedText> parts) const {
    QWEN25_RETURN_IF_ERROR(interpreter.CheckSize(parts.size() * sizeof(Value)));
    std::vector<Value> items;
    for (MarkedText& part : parts) items.push_back(interpreter.Text(std::move(part), self.is_safe()));
    return interpreter.List(std::move(items));
  }
};
using Call = Result<Value> (*)(const Context& context);
struct Method {
  std::string_view name;
  std::string_view signature;
  Call call;
};

Result<Value> StripMethod(const Context& c) {
  QWEN25_TRY(const auto characters, c.arguments.OptionalText(0));
  const Side side = c.name == "strip" ? Side::kBoth : c.name == "lstrip" ? Side::kLeft : Side::kRight;
  return c.Text(Strip(c.text(), side, characters));
}

Result<Value> SplitMethod(const Context& c) {
  QWEN25_TRY(const auto separator, c.arguments.OptionalText(0));
  QWEN25_TRY(const int64_t limit, c.arguments.Int(1, -1));
  if (separator && separator->empty())
    return InvalidArgument("\"{}\" needs a separator that is not empty", c.name);
  return c.Texts(c.name == "split" ? Split(c.text(), separator, limit)
                                   : SplitFromRight(c.text(), separator, limit));
}

Result<Value> SplitLinesMethod(const Context& c) {
  return c.Texts(SplitLines(c.text(), c.arguments.Bool(0, false)));
}

Result<Value> Partition(const Context& c) {
  QWEN25_TRY(const MarkedText separator, c.arguments.Text(0));
  if (separator.empty()) return InvalidArgument("\"{}\" needs a separator that is not empty", c.name);
  const std::string& all = c.text().text();
  const bool from_left = c.name == "partition";
  const size_t at = from_left ? all.find(separator.text()) : all.rfind(separator.text());
  const bool is_there = at != std::string::npos;
  const size_t begin = is_there ? at : from_left ? all.size() : 0;
  const size_t end = is_there ? at + separator.size() : begin;
  std::vector<Value> parts;
  for (const auto& [first, last] : {std::pair<size_t, size_t>{0, begin}, {begin, end}, {end, all.size()}}) {
    parts.push_back(c.interpreter.Text(c.text().Part(first, last)));
  }
  return c.interpreter.Tuple(std::move(parts));
}

// The bytes of the part that a start and an end in characters name; nothing if the start is beyond the end.
struct ByteRange {
  size_t begin, end;
  bool is_inside;
};
Result<ByteRange> RangeOf(const Context& c, const CodePoints& points, size_t first_argument) {
  const auto length = static_cast<int64_t>(points.size());
  const auto bound = [&](size_t i, int64_t otherwise) -> Result<int64_t> {
    if (!c.arguments.Has(i) || c.arguments.Get(i).is_none()) return otherwise;
    QWEN25_TRY(const int64_t at, c.arguments.Int(i, otherwise));
    return at < 0 ? std::max<int64_t>(at + length, 0) : at;
  };
  QWEN25_TRY(const int64_t start, bound(first_argument, 0));
  QWEN25_TRY(int64_t stop, bound(first_argument + 1, length));
  stop = std::min(stop, length);
  if (start > stop) return ByteRange{0, 0, false};
  return ByteRange{points.Offset(static_cast<size_t>(start)), points.Offset(static_cast<size_t>(stop)), true};
}

Result<Value> StartsOrEndsWith(const Context& c) {
  const CodePoints points(c.text().text());
  QWEN25_TRY(const ByteRange range, RangeOf(c, points, 1));
  const std::string_view part =
      std::string_view(c.text().text()).substr(range.begin, range.end - range.begin);
  const Value wanted = c.arguments.Get(0);
  const std::vector<Value> options = wanted.is_tuple() ? wanted.items() : std::vector<Value>{wanted};
  bool fits = false;
  for (const Value& option : options) {
    if (!option.is_string()) {
      return InvalidArgument("\"{}\" takes a string or a tuple of strings, not {}", c.name,
                             option.TypeName());
    }
    fits = fits || (range.is_inside && (c.name == "startswith" ? part.starts_with(option.text())
                                                               : part.ends_with(option.text())));
  }
  return Value::Bool(fits);
}

Result<Value> Find(const Context& c) {
  QWEN25_TRY(const MarkedText wanted, c.arguments.Text(0));
  const CodePoints points(c.text().text());
  QWEN25_TRY(const ByteRange range, RangeOf(c, points, 1));
  const std::string_view part =
      std::string_view(c.text().text()).substr(range.begin, range.end - range.begin);
  if (c.name == "count") {
    return Value::Int(range.is_inside ? static_cast<int64_t>(CountOf(part, wanted.text())) : 0);
  }
  const bool from_left = c.name == "find" || c.name == "index";
  const size_t found = !range.is_inside ? std::string_view::npos
                       : from_left      ? part.find(wanted.text())
                                        : part.rfind(wanted.text());
  if (found != std::string_view::npos)
    return Value::Int(static_cast<int64_t>(points.Index(range.begin + found)));
  if (c.name == "find" || c.name == "rfind") return Value::Int(-1);
  return InvalidArgument("\"{}\": the text does not occur", c.name);
}

Result<Value> ReplaceMethod(const Context& c) {
  QWEN25_TRY(const MarkedText from, c.arguments.Text(0));
  QWEN25_TRY(MarkedText to, c.arguments.Text(1));
  QWEN25_TRY(const int64_t limit, c.arguments.Int(2, -1));
  if (c.self.is_safe() && !c.arguments.Get(1).is_safe()) to = EscapeHtml(to);
  QWEN25_TRY(MarkedText text, CheckedReplace(c.text(), from, to, limit, c.interpreter));
  return c.Text(std::move(text));
}

Result<Value> CaseMethod(const Context& c) {
  QWEN25_RETURN_IF_ERROR(c.interpreter.SpendText(2 * c.text().size()));
  const Case kind = c.name == "upper"        ? Case::kUpper
                    : c.name == "lower"      ? Case::kLower
                    : c.name == "capitalize" ? Case::kCapitalize
                    : c.name == "title"      ? Case::kTitle
                    : c.name == "swapcase"   ? Case::kSwap
                                             : Case::kFold;
  return c.Text(ToCase(c.text(), kind));
}

Result<Value> JoinMethod(const Context& c) {
  QWEN25_TRY(const std::vector<Value> items, c.interpreter.ToVector(c.arguments.Get(0)));
  std::vector<MarkedText> texts;
  for (const Value& item : items) {
    if (!item.is_string())
      return InvalidArgument("\"join\": an item is {}, expected a string", item.TypeName());
    texts.push_back(c.self.is_safe() && !item.is_safe() ? EscapeHtml(item.marked()) : item.marked());
  }
  QWEN25_TRY(MarkedText text, JoinTexts(c.text(), texts, c.interpreter));
  return c.Text(std::move(text));
}

Result<Value> Affix(const Context& c) {
  QWEN25_TRY(const MarkedText affix, c.arguments.Text(0));
  const std::string& all = c.text().text();
  if (c.name == "removeprefix" && all.starts_with(affix.text())) {
    return c.Text(c.text().Part(affix.size(), all.size()));
  }
  if (c.name == "removesuffix" && !affix.empty() && all.ends_with(affix.text())) {
    return c.Text(c.text().Part(0, all.size() - affix.size()));
  }
  return c.self;
}

Result<Value> Justify(const Context& c) {
  QWEN25_TRY(const int64_t width, c.arguments.Int(0, 0));
  FormatSpec spec{.width = width};
  if (c.arguments.Has(1)) {
    QWEN25_TRY(const MarkedText fill, c.arguments.Text(1));
    if (CountCodePoints(fill.text()) != 1) return InvalidArgument("\"{}\" fills with one character", c.name);
    spec.fill = fill.text();
  }
  if (c.name == "zfill") {
    const bool has_sign = c.text().text().starts_with('-') || c.text().text().starts_with('+');
    spec.fill = "0";
    spec.width = width - (has_sign ? 1 : 0);
    QWEN25_TRY(const MarkedText digits,
               Padded(c.text().Part(has_sign ? 1 : 0, c.text().size()), spec, '>', c.interpreter));
    MarkedText text = c.text().Part(0, has_sign ? 1 : 0);
    text.Append(digits);
    return c.Text(std::move(text));
  }
  // Python centers an odd number of spaces to the left if the width is odd, else to the right.
  if (c.name == "center") {
    const auto length = static_cast<int64_t>(CountCodePoints(c.text().text()));
    const int64_t missing = width - length;
    const int64_t left = missing <= 0 ? 0 : missing / 2 + (missing & width & 1);
    FormatSpec first = spec;
    first.width = length + left;
    QWEN25_TRY(const MarkedText text, Padded(c.text(), first, '>', c.interpreter));
    QWEN25_TRY(MarkedText centered, Padded(text, spec, '<', c.interpreter));
    return c.Text(std::move(centered));
  }
  QWEN25_TRY(MarkedText text, Padded(c.text(), spec, c.name == "ljust" ? '<' : '>', c.interpreter));
  return c.Text(std::move(text));
}

Result<Value> ExpandTabs(const Context& c) {
  QWEN25_TRY(const int64_t width, c.arguments.Int(0, 8));
  const auto tabs = static_cast<size_t>(std::ranges::count(c.text().text(), '\t'));
  QWEN25_RETURN_IF_ERROR(
      c.interpreter.CheckSize(static_cast<size_t>(std::clamp<int64_t>(width, 0, INT32_MAX))));
  QWEN25_RETURN_IF_ERROR(
      c.interpreter.SpendText(c.text().size() + tabs * static_cast<size_t>(std::max<int64_t>(width, 0))));
  MarkedText out;
  int64_t column = 0;
  const std::string& all = c.text().text();
  for (size_t at = 0; at < all.size(); ++at) {
    if (all[at] == '\t') {
      const int64_t count = width > 0 ? width - column % width : 0;
      out.Append(std::string(static_cast<size_t>(count), ' '), c.text().MarkAt(at));
      column += count;
      continue;
    }
    out.AppendPart(c.text(), at, at + 1);
    if ((all[at] & 0xC0) != 0x80) ++column;
    if (all[at] == '\n' || all[at] == '\r') column = 0;
  }
  return c.Text(std::move(out));
}

Result<Value> IsMethod(const Context& c) {
  QWEN25_RETURN_IF_ERROR(c.interpreter.Spend(c.text().size() / 8));
  return Value::Bool(IsAll(c.text().text(), c.name).value_or(false));
}

Result<Value> Unavailable(const Context& c) {
  return Unsupported("the method \"{}\" of strings is not available here", c.name);
}

constexpr std::array kMethods = {
    Method{"strip", "chars? /", StripMethod},
    Method{"lstrip", "chars? /", StripMethod},
    Method{"rstrip", "chars? /", StripMethod},
    Method{"split", "sep? maxsplit?", SplitMethod},
    Method{"rsplit", "sep? maxsplit?", SplitMethod},
    Method{"splitlines", "keepends?", SplitLinesMethod},
    Method{"partition", "sep /", Partition},
    Method{"rpartition", "sep /", Partition},
    Method{"startswith", "prefix start? end? /", StartsOrEndsWith},
    Method{"endswith", "suffix start? end? /", StartsOrEndsWith},
    Method{"find", "sub start? end? /", Find},
    Method{"rfind", "sub start? end? /", Find},
    Method{"index", "sub start? end? /", Find},
    Method{"rindex", "sub start? end? /", Find},
    Method{"count", "sub start? end? /", Find},
    Method{"replace", "old new / count?", ReplaceMethod},
    Method{"upper", "", CaseMethod},
    Method{"lower", "", CaseMethod},
    Method{"capitalize", "", CaseMethod},
    Method{"title", "", CaseMethod},
    Method{"swapcase", "", CaseMethod},
    Method{"casefold", "", CaseMethod},
    Method{"join", "iterable /", JoinMethod},
    Method{"removeprefix", "prefix /", Affix},
    Method{"removesuffix", "suffix /", Affix},
    Method{"ljust", "width fillchar? /", Justify},
    Method{"rjust", "width fillchar? /", Justify},
    Method{"center", "width fillchar? /", Justify},
    Method{"zfill", "width /", Justify},
    Method{"expandtabs", "tabsize?", ExpandTabs},
    Method{"isalnum", "", IsMethod},
    Method{"isalpha", "", IsMethod},
    Method{"isascii", "", IsMethod},
    Method{"isdecimal", "", IsMethod},
    Method{"isdigit", "", IsMethod},
    Method{"isidentifier", "", IsMethod},
    Method{"islower", "", IsMethod},
    Method{"isnumeric", "", IsMethod},
    Method{"isprintable", "", IsMethod},
    Method{"isspace", "", IsMethod},
    Method{"istitle", "", IsMethod},
    Method{"isupper", "", IsMethod},
    Method{"encode", "encoding? errors?", Unavailable},
    Method{"translate", "table /", Unavailable},
    Method{"maketrans", "x y? z? /", Unavailable},
};

}  // namespace

bool IsStringMethod(std::string_view name) {
  return name == "format" || name == "format_map" ||
         std::ranges::find(kMethods, name, &Method::name) != kMethods.end();
}

Result<Value> CallStringMethod(const Value& self, std::string_view name, Arguments& arguments,
                               Interpreter& interpreter) {
  if (name == "format") return FormatBraces(self, arguments, interpreter);
  if (name == "format_map") {
    if (arguments.positional.size() != 1 || !arguments.positional[0].is_dict() || !arguments.named.empty()) {
      return InvalidArgument("\"format_map\" takes one dictionary");
    }
    Arguments named;
    for (const auto& [key, value] : arguments.positional[0].dict().entries) {
      if (key.is_string()) named.named.emplace_back(key.text(), value);
    }
    return FormatBraces(self, named, interpreter);
  }
  const auto method = std::ranges::find(kMethods, name, &Method::name);
  QWEN25_RETURN_IF_ERROR(interpreter.Spend(1 + self.text().size() / 32));
  QWEN25_TRY(const BoundArguments bound, BoundArguments::Bind(name, method->signature, std::move(arguments)));
  return method->call({.self = self, .name = name, .arguments = bound, .interpreter = interpreter});
}

Result<MarkedText> JoinTexts(const MarkedText& separator, const std::vector<MarkedText>& texts,
                             Interpreter& interpreter) {
  MarkedText out;
  for (size_t i = 0; i < texts.size(); ++i) {
    QWEN25_RETURN_IF_ERROR(interpreter.CheckSize(out.size() + separator.size() + texts[i].size()));
    QWEN25_RETURN_IF_ERROR(interpreter.Spend(1 + (separator.size() + texts[i].size()) / 8));
    if (i > 0) out.Append(separator);
    out.Append(texts[i]);
  }
  return out;
}

Result<MarkedText> CheckedReplace(const MarkedText& text, const MarkedText& from, const MarkedText& to,
                                  int64_t limit, Interpreter& interpreter) {
  size_t count = CountOf(text.text(), from.text());
  if (limit >= 0) count = std::min(count, static_cast<size_t>(limit));
  size_t added = 0;
  if (__builtin_mul_overflow(count, to.size(), &added)) added = SIZE_MAX / 2;
  QWEN25_RETURN_IF_ERROR(interpreter.SpendText(std::min(added, SIZE_MAX / 2) + text.size()));
  return Replace(text, from, to, limit);
}

}  // namespace qwen25::jinja
