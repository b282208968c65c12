#include <algorithm>
#include <array>
#include <cmath>

#include "text/jinja/builtins.h"
#include "text/jinja/format_spec.h"
#include "text/jinja/print.h"
#include "text/jinja/string_methods.h"
#include "text/jinja/text_tools.h"
#include "text/utf8.h"

#include <unicode/uchar.h>

namespace qwen25::jinja {
namespace {

// The input as text: strings as they are, anything else as it prints.
Result<Value> InputText(const FilterCall& call) {
  if (call.input.is_string()) return call.input;
  QWEN25_TRY(MarkedText text, Str(call.input, call.interpreter));
  return call.interpreter.Text(std::move(text));
}

// The method of the same name, on the input as text.
Result<Value> ByMethod(const FilterCall& call, std::string_view method, std::vector<Value> positional = {}) {
  QWEN25_TRY(const Value text, InputText(call));
  Arguments arguments{.positional = std::move(positional)};
  return CallStringMethod(text, method, arguments, call.interpreter);
}

Result<Value> Upper(const FilterCall& call) {
  return ByMethod(call, "upper");
}
Result<Value> Lower(const FilterCall& call) {
  return ByMethod(call, "lower");
}
Result<Value> Capitalize(const FilterCall& call) {
  return ByMethod(call, "capitalize");
}
Result<Value> Trim(const FilterCall& call) {
  return ByMethod(call, "strip", {call.arguments.Get(0)});
}
Result<Value> Center(const FilterCall& call) {
  QWEN25_TRY(const int64_t width, call.arguments.Int(0, 80));
  return ByMethod(call, "center", {Value::Int(width)});
}
Result<Value> String(const FilterCall& call) {
  return InputText(call);
}

Result<Value> ReplaceFilter(const FilterCall& call) {
  QWEN25_TRY(const Value text, InputText(call));
  QWEN25_TRY(const MarkedText from, Str(call.arguments.Get(0), call.interpreter));
  QWEN25_TRY(const MarkedText to, Str(call.arguments.Get(1), call.interpreter));
  int64_t limit = -1;
  if (!call.arguments.Get(2).is_none()) {
    QWEN25_TRY(limit, call.arguments.Int(2, -1));
  }
  QWEN25_TRY(MarkedText replaced, CheckedReplace(text.marked(), from, to, limit, call.interpreter));
  return call.interpreter.Text(std::move(replaced));
}

// Words begin after white space and after -({[<. The first letter of each is upper case, the others lower.
Result<Value> Title(const FilterCall& call) {
  QWEN25_TRY(const Value input, InputText(call));
  QWEN25_RETURN_IF_ERROR(call.interpreter.SpendText(2 * input.text().size()));
  const MarkedText& text = input.marked();
  const std::string& all = text.text();
  MarkedText out;
  const auto is_break = [&](size_t at) {
    return std::string_view("-({[<").find(all[at]) != std::string_view::npos ||
           u_isUWhiteSpace(
               static_cast<UChar32>(DecodeCodePoint(all.data() + at, all.data() + all.size()).code_point));
  };
  for (size_t at = 0; at < all.size();) {
    size_t end = at;
    const bool breaks = is_break(at);
    while (end < all.size() && is_break(end) == breaks) {
      end += DecodeCodePoint(all.data() + end, all.data() + all.size()).bytes;
    }
    const size_t first = at + DecodeCodePoint(all.data() + at, all.data() + all.size()).bytes;
    out.Append(ToCase(text.Part(at, first), Case::kUpper));
    out.Append(ToCase(text.Part(first, end), Case::kLower));
    at = end;
  }
  return call.interpreter.Text(std::move(out), input.is_safe());
}

Result<Value> Indent(const FilterCall& call) {
  if (!call.input.is_string())
    return InvalidArgument("\"indent\" takes a string, not {}", call.input.TypeName());
  MarkedText indent;
  if (call.arguments.Get(0).is_string()) {
    indent = call.arguments.Get(0).marked();
  } else {
    QWEN25_TRY(const int64_t width, call.arguments.Int(0, 4));
    QWEN25_RETURN_IF_ERROR(call.interpreter.CheckSize(static_cast<size_t>(std::max<int64_t>(width, 0))));
    indent = MarkedText(std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' '));
  }
  const bool first = call.arguments.Bool(1, false), blank = call.arguments.Bool(2, false);
  MarkedText all = call.input.marked();
  all.Append("\n", all.empty() ? Mark::kTemplate : all.MarkAt(all.size()));
  const std::vector<MarkedText> lines = SplitLines(all, /*keep_ends=*/false);
  QWEN25_RETURN_IF_ERROR(call.interpreter.CheckSize(all.size() + lines.size() * (indent.size() + 1)));
  QWEN25_RETURN_IF_ERROR(call.interpreter.Spend((all.size() + lines.size() * (indent.size() + 1)) / 8));
  MarkedText out;
  if (first) out.Append(indent);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.Append("\n", Mark::kTemplate);
    if (i > 0 && (blank || !lines[i].empty())) out.Append(indent);
    out.Append(lines[i]);
  }
  return call.interpreter.Text(std::move(out), call.input.is_safe());
}

Result<Value> Truncate(const FilterCall& call) {
  QWEN25_TRY(const int64_t length, call.arguments.Int(0, 255));
  MarkedText end("...");
  if (call.arguments.Has(2)) {
    QWEN25_TRY(end, call.arguments.Text(2));
  }
  int64_t leeway = 5;
  if (!call.arguments.Get(3).is_none()) {
    QWEN25_TRY(leeway, call.arguments.Int(3, 5));
  }
  const auto end_length = static_cast<int64_t>(CountCodePoints(end.text()));
  if (length < end_length || leeway < 0) {
    return InvalidArgument("\"truncate\": the length {} is less than that of what is put at the end", length);
  }
  const auto size = static_cast<int64_t>(call.interpreter.LengthOfValue(call.input).value_or(SIZE_MAX / 4));
  if (size <= length || size - length <= leeway) return call.input;
  if (!call.input.is_string()) {
    return InvalidArgument("\"truncate\" takes a string, not {}", call.input.TypeName());
  }
  const CodePoints points(call.input.text());
  MarkedText text = call.input.marked().Part(0, points.Offset(static_cast<size_t>(length - end_length)));
  if (!call.arguments.Bool(1, false)) {
    const size_t space = text.text().rfind(' ');
    if (space != std::string::npos) text = text.Part(0, space);
  }
  text.Append(end);
  return call.interpreter.Text(std::move(text));
}

Result<Value> WordCount(const FilterCall& call) {
  QWEN25_TRY(const Value input, InputText(call));
  QWEN25_RETURN_IF_ERROR(call.interpreter.Spend(input.text().size() / 4));
  const std::string& all = input.text();
  int64_t count = 0;
  bool in_word = false;
  for (size_t at = 0; at < all.size();) {
    const DecodedCodePoint c = DecodeCodePoint(all.data() + at, all.data() + all.size());
    const auto number = static_cast<UChar32>(c.code_point);
    const bool is_word = c.code_point == '_' || u_isalnum(number) != 0 ||
                         u_getIntPropertyValue(number, UCHAR_NUMERIC_TYPE) != U_NT_NONE;
    if (is_word && !in_word) ++count;
    in_word = is_word;
    at += c.bytes;
  }
  return Value::Int(count);
}

Result<Value> Escape(const FilterCall& call) {
  if (call.input.is_string() && call.input.is_safe() && call.name != "forceescape") return call.input;
  QWEN25_TRY(const Value text, InputText(call));
  QWEN25_RETURN_IF_ERROR(call.interpreter.SpendText(5 * text.text().size()));
  return call.interpreter.Text(EscapeHtml(text.marked()), /*is_safe=*/true);
}

Result<Value> Safe(const FilterCall& call) {
  QWEN25_TRY(const Value text, InputText(call));
  return call.interpreter.Text(text.marked(), /*is_safe=*/true);
}

// Percent encoding (RFC 3986) of what is not safe in the path of an address.
MarkedText Quoted(const MarkedText& text, bool in_query) {
  MarkedText out;
  text.ForEachRun([&](std::string_view run, Mark mark) {
    std::string quoted;
    for (const char c : run) {
      const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                            c == '_' || c == '.' || c == '-' || c == '~' || (c == '/' && !in_query);
      if (is_plain) {
        quoted += c;
      } else if (c == ' ' && in_query) {
        quoted += '+';
      } else {
        quoted += fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
      }
    }
    out.Append(quoted, mark);
  });
  return out;
}

Result<Value> UrlEncode(const FilterCall& call) {
  const Value& input = call.input;
  if (input.is_string() || !Iterator::IsIterable(input)) {
    QWEN25_TRY(const Value text, InputText(call));
    QWEN25_RETURN_IF_ERROR(call.interpreter.SpendText(3 * text.text().size()));
    return call.interpreter.Text(Quoted(text.marked(), /*in_query=*/false));
  }
  std::vector<Value> pairs;
  if (input.is_dict()) {
    for (const auto& [key, value] : input.dict().entries)
      pairs.push_back(call.interpreter.Tuple({key, value}));
  } else {
    QWEN25_TRY(pairs, call.interpreter.ToVector(input));
  }
  MarkedText out;
  for (size_t i = 0; i < pairs.size(); ++i) {
    QWEN25_TRY(const std::vector<Value> pair, call.interpreter.ToVector(pairs[i]));
    if (pair.size() != 2) return InvalidArgument("\"urlencode\" takes pairs of a name and a value");
    if (i > 0) out.Append("&", Mark::kTemplate);
    for (size_t j = 0; j < 2; ++j) {
      QWEN25_TRY(const MarkedText text, Str(pair[j], call.interpreter));
      if (j > 0) out.Append("=", Mark::kTemplate);
      out.Append(Quoted(text, /*in_query=*/true));
    }
    QWEN25_RETURN_IF_ERROR(call.interpreter.SpendText(out.size()));
  }
  return call.interpreter.Text(std::move(out));
}

// Without tags and comments, and with one space for every run of white space.
Result<Value> StripTags(const FilterCall& call) {
  QWEN25_TRY(const Value input, InputText(call));
  MarkedText text = input.marked();
  const auto remove = [&](std::string_view begin, std::string_view end) {
    MarkedText out;
    size_t at = 0;
    while (true) {
      const size_t open = text.text().find(begin, at);
      const size_t close = open == std::string::npos ? open : text.text().find(end, open);
      if (close == std::string::npos) break;
      out.AppendPart(text, at, open);
      at = close + end.size();
    }
    out.AppendPart(text, at, text.size());
    text = std::move(out);
  };
  remove("<!--", "-->");
  remove("<", ">");
  QWEN25_TRY(MarkedText joined, JoinTexts(MarkedText(" "), Split(text, std::nullopt, -1), call.interpreter));
  MarkedText out;
  for (const auto& [entity, character] : {std::pair{"&lt;", "<"},
                                          {"&gt;", ">"},
                                          {"&#34;", "\""},
                                          {"&quot;", "\""},
                                          {"&#39;", "'"},
                                          {"&amp;", "&"}}) {
    joined = Replace(joined, MarkedText(entity), MarkedText(character), -1);
  }
  return call.interpreter.Text(std::move(joined));
}

constexpr std::array kFilters = {
    FilterEntry{"upper", "", Upper},
    FilterEntry{"lower", "", Lower},
    FilterEntry{"capitalize", "", Capitalize},
    FilterEntry{"title", "", Title},
    FilterEntry{"trim", "chars?", Trim},
    FilterEntry{"center", "width?", Center},
    FilterEntry{"string", "", String},
    FilterEntry{"replace", "old new count?", ReplaceFilter},
    FilterEntry{"indent", "width? first? blank?", Indent},
    FilterEntry{"truncate", "length? killwords? end? leeway?", Truncate},
    FilterEntry{"wordcount", "", WordCount},
    FilterEntry{"e", "", Escape},
    FilterEntry{"escape", "", Escape},
    FilterEntry{"forceescape", "", Escape},
    FilterEntry{"safe", "", Safe},
    FilterEntry{"urlencode", "", UrlEncode},
    FilterEntry{"striptags", "", StripTags},
};

}  // namespace

std::span<const FilterEntry> TextFilters() {
  return kFilters;
}

}  // namespace qwen25::jinja
