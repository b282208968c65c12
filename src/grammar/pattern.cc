#include "grammar/pattern.h"

#include <algorithm>
#include <optional>

#include "text/code_point_set.h"
#include "text/pattern_cursor.h"
#include "text/utf8.h"

namespace qwen25::grammar {
namespace {

constexpr uint32_t kMaxRepeats = 100000;

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

bool IsLetter(char32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

icu::UnicodeSet Digits() {
  return icu::UnicodeSet('0', '9');
}

icu::UnicodeSet WordCharacters() {
  icu::UnicodeSet set('0', '9');
  set.add('a', 'z').add('A', 'Z').add('_');
  return set;
}

icu::UnicodeSet Spaces() {
  icu::UnicodeSet set('\t', '\r');
  for (const UChar32 c : {0x20, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF}) set.add(c);
  set.add(0x2000, 0x200A);
  return set;
}

icu::UnicodeSet Complement(icu::UnicodeSet set) {
  set.complement();
  return set;
}

icu::UnicodeSet OneOf(char32_t c) {
  const auto code_point = static_cast<UChar32>(c);
  return icu::UnicodeSet(code_point, code_point);
}

class Parser : PatternCursor {
 public:
  Parser(std::string_view pattern, const GrammarLimits& limits) : PatternCursor(pattern), limits_(limits) {}

  Result<Expression> Parse() {
    if (!IsValidUtf8(pattern_)) return InvalidArgument("the pattern is not UTF-8");
    QWEN25_TRY(Expression expression, ParseAlternatives(0));
    if (!AtEnd()) return InvalidArgument("\")\" at byte {} closes nothing", at_);
    return expression;
  }

 private:
  Result<Expression> ParseAlternatives(size_t depth) {
    if (depth > limits_.depth)
      return ResourceExhausted("more than {} groups inside each other", limits_.depth);
    std::vector<Expression> branches;
    do {
      std::vector<Expression> parts;
      while (!AtEnd() && !Next("|") && !Next(")")) {
        QWEN25_TRY(Expression part, ParseRepeated(depth));
        parts.push_back(std::move(part));
      }
      branches.push_back(Sequence(std::move(parts)));
    } while (Take("|"));
    return Choice(std::move(branches));
  }

  Result<Expression> ParseRepeated(size_t depth) {
    const size_t begin = at_;
    QWEN25_TRY(Expression part, ParseElement(depth));
    uint32_t least = 0, most = kUnlimited;
    if (Take("+")) {
      least = 1;
    } else if (Take("?")) {
      most = 1;
    } else if (!Take("*")) {
      QWEN25_TRY(const bool is_interval, TakeInterval(least, most));
      if (!is_interval) return part;
    }
    if (part->kind == ExpressionNode::Kind::kAtBegin || part->kind == ExpressionNode::Kind::kAtEnd) {
      return InvalidArgument("an assertion at byte {} cannot be repeated", begin);
    }
    Take("?");  // lazy: the same texts match
    if (Next("*") || Next("+") || Next("?")) return InvalidArgument("nothing to repeat at byte {}", at_);
    return Repeat(std::move(part), least, most);
  }

  // {n}, {n,} or {n,m}. Other braces are literal.
  Result<bool> TakeInterval(uint32_t& least, uint32_t& most) {
    const size_t begin = at_;
    if (!Take("{")) return false;
    const std::optional<uint32_t> first = TakeNumber();
    std::optional<uint32_t> last = first;
    if (first && Take(",")) {
      last = TakeNumber();
      if (!last) last = kUnlimited;
    }
    if (!first || !Take("}")) {
      at_ = begin;
      return false;
    }
    if (*first > kMaxRepeats || (*last > kMaxRepeats && *last != kUnlimited)) {
      return ResourceExhausted("a repeat of more than {} times at byte {}", kMaxRepeats, begin);
    }
    if (*first > *last)
      return InvalidArgument("the numbers of the repeat at byte {} are out of order", begin);
    least = *first;
    most = *last;
    return true;
  }

  std::optional<uint32_t> TakeNumber() {
    if (AtEnd() || !IsDigit(pattern_[at_])) return std::nullopt;
    uint32_t number = 0;
    for (; !AtEnd() && IsDigit(pattern_[at_]); ++at_) {
      number = std::min(number * 10 + static_cast<uint32_t>(pattern_[at_] - '0'), kMaxRepeats + 1);
    }
    return number;
  }

  Result<Expression> ParseElement(size_t depth) {
    const size_t begin = at_;
    if (Next("*") || Next("+") || Next("?")) return InvalidArgument("nothing to repeat at byte {}", at_);
    if (Take("(")) return ParseGroup(depth, begin);
    if (Take("[")) {
      QWEN25_TRY(const icu::UnicodeSet set, ParseClass(begin));
      return Characters(set);
    }
    if (Take("^")) return BeginOfText();
    if (Take("$")) return EndOfText();
    if (Take(".")) {
      icu::UnicodeSet line_ends('\n', '\n');
      line_ends.add('\r').add(0x2028, 0x2029);
      return Characters(Complement(std::move(line_ends)));
    }
    if (Take("\\")) {
      if (Next("b") || Next("B"))
        return Unsupported("the word boundary \\{} at byte {}", pattern_[at_], begin);
      QWEN25_TRY(const icu::UnicodeSet set, ParseEscape(begin));
      return Characters(set);
    }
    return Characters(OneOf(TakeCharacter()));
  }

  Result<Expression> ParseGroup(size_t depth, size_t begin) {
    if (Take("?")) {
      if (Next("=") || Next("!") || Next("<=") || Next("<!")) {
        return Unsupported("the lookaround \"(?{}\" at byte {}", pattern_.substr(at_, Next("<") ? 2 : 1),
                           begin);
      }
      if (Take("<") || Take("P<")) {
        while (!AtEnd() && !Next(">")) ++at_;
        if (!Take(">")) return InvalidArgument("the name of the group at byte {} does not end", begin);
      } else if (!Take(":")) {
        return Unsupported("the group at byte {}: only (..), (?:..) and (?<name>..) are handled", begin);
      }
    }
    QWEN25_TRY(Expression inner, ParseAlternatives(depth + 1));
    if (!Take(")")) return InvalidArgument("the group at byte {} does not end", begin);
    return inner;
  }

  // What a backslash stands before.
  Result<icu::UnicodeSet> ParseEscape(size_t begin) {
    if (AtEnd()) return InvalidArgument("a backslash ends the pattern");
    const char32_t c = TakeCharacter();
    switch (c) {
      case 'd':
        return Digits();
      case 'D':
        return Complement(Digits());
      case 'w':
        return WordCharacters();
      case 'W':
        return Complement(WordCharacters());
      case 's':
        return Spaces();
      case 'S':
        return Complement(Spaces());
      case 't':
        return OneOf('\t');
      case 'n':
        return OneOf('\n');
      case 'v':
        return OneOf('\v');
      case 'f':
        return OneOf('\f');
      case 'r':
        return OneOf('\r');
      case 'p':
      case 'P':
        return ParseProperty(c == 'P', begin);
      case 'x':
        return ParseHexadecimal(2, begin);
      case 'u':
        return ParseUnicodeEscape(begin);
      case 'c':
        if (AtEnd() || !IsLetter(static_cast<unsigned char>(pattern_[at_]))) {
          return InvalidArgument("\\c at byte {} wants a letter", begin);
        }
        return OneOf(static_cast<unsigned char>(pattern_[at_++]) % 32u);
      default:
        break;
    }
    if (c == '0' && (AtEnd() || !IsDigit(pattern_[at_]))) return OneOf(0);
    if (c >= '0' && c <= '9') return Unsupported("the reference to a group at byte {}", begin);
    if (c == 'k') return Unsupported("the reference to a group at byte {}", begin);
    if (IsLetter(c)) return Unsupported("the escape \\{} at byte {}", static_cast<char>(c), begin);
    return OneOf(c);
  }

  Result<icu::UnicodeSet> ParseProperty(bool is_complement, size_t begin) {
    const size_t end = pattern_.find('}', at_);
    if (!Take("{") || end == std::string_view::npos) {
      return InvalidArgument("the property at byte {} wants a name in braces", begin);
    }
    std::string_view name = pattern_.substr(at_, end - at_);
    at_ = end + 1;
    for (const std::string_view key : {"General_Category=", "gc=", "Script=", "sc="}) {
      if (name.starts_with(key)) name.remove_prefix(key.size());
    }
    Result<icu::UnicodeSet> set = PropertySet(name);
    if (!set.ok()) return Unsupported("the property \"{}\" at byte {}", name, begin);
    return is_complement ? Complement(std::move(*set)) : std::move(*set);
  }

  std::optional<char32_t> TakeHexadecimal(size_t num_digits) {
    if (at_ + num_digits > pattern_.size()) return std::nullopt;
    char32_t value = 0;
    for (size_t i = 0; i < num_digits; ++i) {
      const char c = pattern_[at_ + i];
      const char lower = static_cast<char>(c | 0x20);
      if (IsDigit(c)) {
        value = value * 16 + static_cast<char32_t>(c - '0');
      } else if (lower >= 'a' && lower <= 'f') {
        value = value * 16 + static_cast<char32_t>(lower - 'a' + 10);
      } else {
        return std::nullopt;
      }
    }
    at_ += num_digits;
    return value;
  }

  Result<icu::UnicodeSet> ParseHexadecimal(size_t num_digits, size_t begin) {
    const std::optional<char32_t> value = TakeHexadecimal(num_digits);
    if (!value)
      return InvalidArgument("the escape at byte {} wants {} hexadecimal digits", begin, num_digits);
    return OneOf(*value);
  }

  Result<icu::UnicodeSet> ParseUnicodeEscape(size_t begin) {
    if (Take("{")) {
      const size_t end = pattern_.find('}', at_);
      if (end == std::string_view::npos || end == at_ || end - at_ > 6) {
        return InvalidArgument("the escape at byte {} wants 1 to 6 hexadecimal digits in braces", begin);
      }
      const std::optional<char32_t> value = TakeHexadecimal(end - at_);
      if (!value || *value > 0x10FFFF)
        return InvalidArgument("the escape at byte {} is no code point", begin);
      Take("}");
      return OneOf(*value);
    }
    QWEN25_TRY(icu::UnicodeSet set, ParseHexadecimal(4, begin));
    const auto high = static_cast<char32_t>(set.getRangeStart(0));
    const size_t behind = at_;
    if (high >= 0xD800 && high < 0xDC00 && Take("\\u")) {
      const std::optional<char32_t> low = TakeHexadecimal(4);
      if (low && *low >= 0xDC00 && *low < 0xE000) {
        return OneOf(0x10000 + ((high - 0xD800) << 10) + (*low - 0xDC00));
      }
      at_ = behind;
    }
    return set;
  }

  // Behind "[".
  Result<icu::UnicodeSet> ParseClass(size_t begin) {
    const bool is_complement = Take("^");
    icu::UnicodeSet set;
    while (!Take("]")) {
      QWEN25_TRY(const icu::UnicodeSet first, ParseClassAtom(begin));
      if (!Next("-") || Next("-]")) {
        set.addAll(first);
        continue;
      }
      Take("-");
      QWEN25_TRY(const icu::UnicodeSet last, ParseClassAtom(begin));
      if (first.size() != 1 || last.size() != 1) {  // [\w-.]: the hyphen is literal
        set.addAll(first).addAll(last).add('-');
        continue;
      }
      if (first.getRangeStart(0) > last.getRangeStart(0)) {
        return InvalidArgument("a range of the class at byte {} is out of order", begin);
      }
      set.add(first.getRangeStart(0), last.getRangeStart(0));
    }
    return is_complement ? Complement(std::move(set)) : set;
  }

  Result<icu::UnicodeSet> ParseClassAtom(size_t class_begin) {
    const size_t begin = at_;
    if (AtEnd()) return InvalidArgument("the class at byte {} does not end", class_begin);
    if (!Take("\\")) return OneOf(TakeCharacter());
    if (Take("b")) return OneOf('\b');
    return ParseEscape(begin);
  }

  const GrammarLimits& limits_;
};

}  // namespace

Result<Expression> ParsePattern(std::string_view pattern, const GrammarLimits& limits) {
  return Parser(pattern, limits).Parse();
}

}  // namespace qwen25::grammar
