#include "text/jinja/text_tools.h"

#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>

#include "text/jinja/lexer.h"
#include "text/utf8.h"

namespace qwen25::jinja {
namespace {

bool IsContinuation(char c) {
  return (c & 0xC0) == 0x80;
}

// The character that begins at `at`.
DecodedCodePoint At(std::string_view text, size_t at) {
  return DecodeCodePoint(text.data() + at, text.data() + text.size());
}

// Where the character that ends before `end` begins.
size_t Before(std::string_view text, size_t end) {
  size_t begin = end - 1;
  while (begin > 0 && IsContinuation(text[begin])) --begin;
  return begin;
}

bool IsSpaceAt(std::string_view text, size_t at) {
  return IsPythonSpace(At(text, at).code_point);
}

// The length of the line end at `at`; 0 if there is none. As str.splitlines.
size_t LineEnd(std::string_view text, size_t at) {
  const DecodedCodePoint c = At(text, at);
  if (c.code_point == '\r' && text.substr(at + 1).starts_with('\n')) return 2;
  const bool ends = c.code_point == '\n' || (c.code_point >= '\v' && c.code_point <= '\r') ||
                    (c.code_point >= 0x1c && c.code_point <= 0x1e) || c.code_point == 0x85 ||
                    c.code_point == 0x2028 || c.code_point == 0x2029;
  return ends ? c.bytes : 0;
}

void AppendCased(const icu::UnicodeString& cased, Mark mark, MarkedText& out) {
  std::string utf8;
  cased.toUTF8String(utf8);
  out.Append(utf8, mark);
}

bool IsCased(char32_t c) {
  return u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_CASED) != 0;
}

// Whether a capital sigma at `at` ends a word: a cased letter is before it and none behind it (Unicode 16,
// table 3-17).
bool IsFinalSigma(std::string_view text, size_t at, size_t end) {
  const auto is_ignorable = [](char32_t c) {
    return u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_CASE_IGNORABLE) != 0;
  };
  size_t before = at;
  bool follows = false;
  while (before > 0) {
    before = Before(text, before);
    const char32_t c = At(text, before).code_point;
    if (is_ignorable(c)) continue;
    follows = IsCased(c);
    break;
  }
  if (!follows) return false;
  for (size_t next = end; next < text.size(); next += At(text, next).bytes) {
    const char32_t c = At(text, next).code_point;
    if (!is_ignorable(c)) return !IsCased(c);
  }
  return true;
}

}  // namespace

size_t CountCodePoints(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](char c) { return !IsContinuation(c); }));
}

CodePoints::CodePoints(std::string_view text)
    : bytes_(text.size()), is_ascii_(std::ranges::all_of(text, [](char c) { return (c & 0x80) == 0; })) {
  if (is_ascii_) return;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!IsContinuation(text[i])) offsets_.push_back(i);
  }
  offsets_.push_back(text.size());
}

size_t CodePoints::Index(size_t offset) const {
  if (is_ascii_) return offset;
  return static_cast<size_t>(std::ranges::lower_bound(offsets_, offset) - offsets_.begin());
}

MarkedText Strip(const MarkedText& text, Side side, const std::optional<std::string>& characters) {
  const std::string_view all = text.text();
  const auto is_stripped = [&](size_t at) {
    const DecodedCodePoint c = At(all, at);
    if (!characters) return IsPythonSpace(c.code_point);
    return characters->find(all.substr(at, c.bytes)) != std::string::npos;
  };
  size_t begin = 0, end = all.size();
  if (side != Side::kRight) {
    while (begin < end && is_stripped(begin)) begin += At(all, begin).bytes;
  }
  if (side != Side::kLeft) {
    while (end > begin && is_stripped(Before(all, end))) end = Before(all, end);
  }
  return text.Part(begin, end);
}

std::vector<MarkedText> Split(const MarkedText& text, const std::optional<std::string>& separator,
                              int64_t limit) {
  const std::string_view all = text.text();
  std::vector<MarkedText> parts;
  const auto is_full = [&] { return limit >= 0 && parts.size() >= static_cast<size_t>(limit); };
  size_t at = 0;
  if (separator) {
    while (!is_full()) {
      const size_t found = all.find(*separator, at);
      if (found == std::string_view::npos) break;
      parts.push_back(text.Part(at, found));
      at = found + separator->size();
    }
    parts.push_back(text.Part(at, all.size()));
    return parts;
  }
  while (true) {
    while (at < all.size() && IsSpaceAt(all, at)) at += At(all, at).bytes;
    if (at == all.size()) return parts;
    if (is_full()) {
      parts.push_back(Strip(text.Part(at, all.size()), Side::kRight, std::nullopt));
      return parts;
    }
    const size_t begin = at;
    while (at < all.size() && !IsSpaceAt(all, at)) at += At(all, at).bytes;
    parts.push_back(text.Part(begin, at));
  }
}

std::vector<MarkedText> SplitFromRight(const MarkedText& text, const std::optional<std::string>& separator,
                                       int64_t limit) {
  const std::string_view all = text.text();
  std::vector<MarkedText> parts;
  const auto is_full = [&] { return limit >= 0 && parts.size() >= static_cast<size_t>(limit); };
  size_t end = all.size();
  if (separator) {
    while (!is_full() && end >= separator->size()) {
      const size_t found = all.rfind(*separator, end - separator->size());
      if (found == std::string_view::npos) break;
      parts.push_back(text.Part(found + separator->size(), end));
      end = found;
    }
    parts.push_back(text.Part(0, end));
  } else {
    while (true) {
      while (end > 0 && IsSpaceAt(all, Before(all, end))) end = Before(all, end);
      if (end == 0) break;
      if (is_full()) {
        parts.push_back(Strip(text.Part(0, end), Side::kLeft, std::nullopt));
        break;
      }
      const size_t last = end;
      while (end > 0 && !IsSpaceAt(all, Before(all, end))) end = Before(all, end);
      parts.push_back(text.Part(end, last));
    }
  }
  std::ranges::reverse(parts);
  return parts;
}

std::vector<MarkedText> SplitLines(const MarkedText& text, bool keep_ends) {
  const std::string_view all = text.text();
  std::vector<MarkedText> lines;
  size_t begin = 0;
  for (size_t at = 0; at < all.size();) {
    const size_t length = LineEnd(all, at);
    if (length == 0) {
      at += At(all, at).bytes;
      continue;
    }
    lines.push_back(text.Part(begin, keep_ends ? at + length : at));
    at += length;
    begin = at;
  }
  if (begin < all.size()) lines.push_back(text.Part(begin, all.size()));
  return lines;
}

size_t CountOf(std::string_view text, std::string_view part) {
  if (part.empty()) return CountCodePoints(text) + 1;
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + part.size()))
    ++count;
  return count;
}

MarkedText Replace(const MarkedText& text, const MarkedText& from, const MarkedText& to, int64_t limit) {
  const std::string_view all = text.text();
  MarkedText out;
  size_t at = 0;
  int64_t count = 0;
  const auto may_go_on = [&] { return limit < 0 || count < limit; };
  if (from.empty()) {  // between all characters, and around them
    for (; at < all.size() && may_go_on(); ++count) {
      out.Append(to);
      const size_t end = at + At(all, at).bytes;
      out.AppendPart(text, at, end);
      at = end;
    }
    if (at == all.size() && may_go_on()) out.Append(to);
  } else {
    for (; may_go_on(); ++count) {
      const size_t found = all.find(from.text(), at);
      if (found == std::string_view::npos) break;
      out.AppendPart(text, at, found);
      out.Append(to);
      at = found + from.size();
    }
  }
  out.AppendPart(text, at, all.size());
  return out;
}

MarkedText EscapeHtml(const MarkedText& text) {
  MarkedText out;
  text.ForEachRun([&](std::string_view run, Mark mark) {
    for (size_t i = 0; i < run.size(); ++i) {
      const char c = run[i];
      const std::string_view entity = c == '&'    ? "&amp;"
                                      : c == '<'  ? "&lt;"
                                      : c == '>'  ? "&gt;"
                                      : c == '\'' ? "&#39;"
                                      : c == '"'  ? "&#34;"
                                                  : run.substr(i, 1);
      out.Append(entity, mark);
    }
  });
  return out;
}

MarkedText ToCase(const MarkedText& text, Case kind) {
  const std::string_view all = text.text();
  MarkedText out;
  bool follows_cased = false;
  for (size_t at = 0; at < all.size();) {
    const DecodedCodePoint c = At(all, at);
    Case wanted = kind;
    if (kind == Case::kCapitalize) wanted = at == 0 ? Case::kTitle : Case::kLower;
    if (kind == Case::kTitle) wanted = follows_cased ? Case::kLower : Case::kTitle;
    if (kind == Case::kSwap) {
      wanted = u_isUUppercase(static_cast<UChar32>(c.code_point)) != 0   ? Case::kLower
               : u_isULowercase(static_cast<UChar32>(c.code_point)) != 0 ? Case::kUpper
                                                                         : Case::kSwap;
    }
    follows_cased = IsCased(c.code_point);
    icu::UnicodeString one(static_cast<UChar32>(c.code_point));
    const icu::Locale& root = icu::Locale::getRoot();
    if (wanted == Case::kUpper) one.toUpper(root);
    if (wanted == Case::kLower && c.code_point == 0x3A3) {
      one.setTo(static_cast<UChar32>(IsFinalSigma(all, at, at + c.bytes) ? 0x3C2 : 0x3C3));
    } else if (wanted == Case::kLower) {
      one.toLower(root);
    }
    if (wanted == Case::kTitle) one.toTitle(nullptr, root, U_TITLECASE_NO_BREAK_ADJUSTMENT);
    if (wanted == Case::kFold) one.foldCase();
    AppendCased(one, text.MarkAt(at), out);
    at += c.bytes;
  }
  return out;
}

bool IsPrintable(char32_t c) {
  if (c == ' ') return true;
  switch (u_charType(static_cast<UChar32>(c))) {
    case U_CONTROL_CHAR:
    case U_FORMAT_CHAR:
    case U_SURROGATE:
    case U_PRIVATE_USE_CHAR:
    case U_UNASSIGNED:
    case U_LINE_SEPARATOR:
    case U_PARAGRAPH_SEPARATOR:
    case U_SPACE_SEPARATOR:
      return false;
    default:
      return true;
  }
}

std::optional<bool> IsAll(std::string_view text, std::string_view name) {
  const auto all = [&](auto holds, bool if_empty = false) {
    if (text.empty()) return if_empty;
    for (size_t at = 0; at < text.size(); at += At(text, at).bytes) {
      if (!holds(static_cast<UChar32>(At(text, at).code_point))) return false;
    }
    return true;
  };
  const auto numeric = [](UChar32 c) { return u_getIntPropertyValue(c, UCHAR_NUMERIC_TYPE); };
  const auto alpha = [](UChar32 c) {
    const int32_t type = u_charType(c);
    return type >= U_UPPERCASE_LETTER && type <= U_OTHER_LETTER;
  };
  if (name == "isdecimal") return all([&](UChar32 c) { return numeric(c) == U_NT_DECIMAL; });
  if (name == "isdigit")
    return all([&](UChar32 c) { return numeric(c) == U_NT_DECIMAL || numeric(c) == U_NT_DIGIT; });
  if (name == "isnumeric") return all([&](UChar32 c) { return numeric(c) != U_NT_NONE; });
  if (name == "isalpha") return all(alpha);
  if (name == "isalnum") return all([&](UChar32 c) { return alpha(c) || numeric(c) != U_NT_NONE; });
  if (name == "isspace") return all([](UChar32 c) { return IsPythonSpace(static_cast<char32_t>(c)); });
  if (name == "isascii") return all([](UChar32 c) { return c < 0x80; }, true);
  if (name == "isprintable")
    return all([](UChar32 c) { return IsPrintable(static_cast<char32_t>(c)); }, true);
  if (name == "isidentifier") {
    bool is_first = true;
    return all([&](UChar32 c) {
      const bool starts = c == '_' || u_hasBinaryProperty(c, UCHAR_XID_START) != 0;
      return std::exchange(is_first, false) ? starts
                                            : starts || u_hasBinaryProperty(c, UCHAR_XID_CONTINUE) != 0;
    });
  }
  if (name != "isupper" && name != "islower" && name != "istitle") return std::nullopt;
  bool has_cased = false, fits = true, follows_cased = false;
  all([&](UChar32 c) {
    const bool is_upper = u_isUUppercase(c) != 0 || u_charType(c) == U_TITLECASE_LETTER;
    const bool is_lower = u_isULowercase(c) != 0;
    has_cased = has_cased || is_upper || is_lower;
    if (name == "isupper") fits = fits && !is_lower && u_charType(c) != U_TITLECASE_LETTER;
    if (name == "islower") fits = fits && !is_upper;
    if (name == "istitle") fits = fits && (is_upper ? !follows_cased : !is_lower || follows_cased);
    follows_cased = is_upper || is_lower;
    return true;
  });
  return has_cased && fits;
}

}  // namespace qwen25::jinja
