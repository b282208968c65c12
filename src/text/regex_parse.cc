// The parser of regular expressions (regex.h): pattern to tree.
#include <algorithm>
#include <string>

#include "text/pattern_cursor.h"
#include "text/regex_program.h"

namespace qwen25 {
namespace {

using Kind = RegexNode::Kind;
using Mode = RegexNode::Mode;

constexpr int kMaxDepth = 64;             // of groups and brackets
constexpr uint32_t kMaxRepeats = 100000;  // Oniguruma's limit

RegexNode SetNode(icu::UnicodeSet set) {
  RegexNode node;
  node.kind = Kind::kSet;
  node.set = std::move(set);
  return node;
}

RegexNode Parent(Kind kind, RegexNode child) {
  RegexNode node;
  node.kind = kind;
  node.children.push_back(std::move(child));
  return node;
}

RegexNode AssertNode(RegexAssertion assertion) {
  RegexNode node;
  node.kind = Kind::kAssert;
  node.assertion = assertion;
  return node;
}

icu::UnicodeSet Complement(icu::UnicodeSet set) {
  set.complement();
  return set;
}

// Whether some character's full case folding is a string that contains two folded neighbours `a` and `b`, as
// U+00DF has "ss".
bool FoldsTogether(char32_t a, char32_t b) {
  static const std::vector<icu::UnicodeString>& foldings = *[] {
    auto* strings = new std::vector<icu::UnicodeString>();
    for (UChar32 c = 0xDF; c <= 0x1FFFF; ++c) {
      icu::UnicodeString folded(c);
      folded.foldCase();
      if (folded.countChar32() > 1) strings->push_back(std::move(folded));
    }
    return strings;
  }();
  icu::UnicodeString pair;
  pair.append(static_cast<UChar32>(a)).append(static_cast<UChar32>(b)).foldCase();
  return std::ranges::any_of(foldings, [&](const auto& folding) { return folding.indexOf(pair) >= 0; });
}

class Parser : PatternCursor {
 public:
  explicit Parser(std::string_view pattern) : PatternCursor(pattern) {}

  Result<RegexNode> Parse() {
    QWEN25_TRY(RegexNode node, ParseAlternatives(0));
    if (!AtEnd()) return Corrupt("\")\" at byte {} closes nothing", at_);
    return node;
  }

 private:
  struct Flags {
    bool ignore_case = false;
    bool dot_all = false;
  };

  // Alternatives up to the end or a ")". Flags that are set inside end with them.
  Result<RegexNode> ParseAlternatives(int depth) {
    if (depth > kMaxDepth) return Unsupported("more than {} groups inside each other", kMaxDepth);
    const Flags outer = flags_;
    RegexNode alternatives;
    alternatives.kind = Kind::kAlternation;
    do {
      RegexNode sequence;
      sequence.kind = Kind::kSequence;
      last_literal_ = 0;
      while (!AtEnd() && !Next("|") && !Next(")")) {
        QWEN25_TRY(RegexNode item, ParseItem(depth));
        if (item.kind != Kind::kEmpty) sequence.children.push_back(std::move(item));
      }
      alternatives.children.push_back(std::move(sequence));
    } while (Take("|"));
    last_literal_ = 0;
    flags_ = outer;
    if (alternatives.children.size() > 1) return alternatives;
    return std::move(alternatives.children[0]);
  }

  // One element and the repeats after it.
  Result<RegexNode> ParseItem(int depth) {
    const size_t begin = at_;
    if (Next("*") || Next("+") || Next("?")) return Corrupt("nothing to repeat before byte {}", begin);
    const char32_t before = last_literal_;
    last_literal_ = 0;
    QWEN25_TRY(RegexNode node, ParseElement(depth, before));
    while (!AtEnd()) {
      uint32_t least = 0, most = 0;
      bool is_interval = false;
      if (Take("*")) {
        most = RegexNode::kUnlimited;
      } else if (Take("+")) {
        least = 1;
        most = RegexNode::kUnlimited;
      } else if (Take("?")) {
        most = 1;
      } else if (TakeInterval(least, most)) {
        is_interval = true;
      } else {
        break;
      }
      if (least > kMaxRepeats || (most != RegexNode::kUnlimited && most > kMaxRepeats)) {
        return Unsupported("a repeat of more than {} times", kMaxRepeats);
      }
      last_literal_ = 0;
      node = Parent(Kind::kRepeat, std::move(node));
      node.least = least;
      node.most = most;
      if (is_interval && least > most) {  // Oniguruma: {2,1} is {1,2} that keeps what it took
        std::swap(node.least, node.most);
        node.mode = Mode::kPossessive;
      } else if (is_interval && least == most && Take("?")) {  // Oniguruma: {n}? is (?:{n})?
        node = Parent(Kind::kRepeat, std::move(node));
        node.most = 1;
      } else if (Take("?")) {
        node.mode = Mode::kLazy;
      } else if (!is_interval && Take("+")) {
        node.mode = Mode::kPossessive;
      }
    }
    return node;
  }

  // "{2}", "{2,}", "{,3}" or "{2,3}"; what only looks like it is text.
  bool TakeInterval(uint32_t& least, uint32_t& most) {
    if (!Next("{")) return false;
    const size_t begin = at_++;
    const auto number = [&](uint32_t& value) {
      const size_t first = at_;
      value = 0;
      for (; !AtEnd() && pattern_[at_] >= '0' && pattern_[at_] <= '9'; ++at_) {
        value = std::min(value * 10 + static_cast<uint32_t>(pattern_[at_] - '0'), kMaxRepeats + 1);
      }
      return at_ > first;
    };
    const bool has_least = number(least);
    bool good = has_least;
    most = least;
    if (Take(",")) {
      const bool has_most = number(most);
      if (!has_most) most = RegexNode::kUnlimited;
      good = has_least || has_most;
    }
    if (good && Take("}")) return true;
    at_ = begin;
    return false;
  }

  // `before` is the letter right before that ignores case, or 0.
  Result<RegexNode> ParseElement(int depth, char32_t before) {
    if (Take("(")) return ParseGroup(depth + 1);
    if (Take("[")) {
      QWEN25_TRY(icu::UnicodeSet set, ParseBrackets(depth + 1));
      return SetNode(std::move(set));
    }
    if (Take(".")) {
      icu::UnicodeSet all(0, 0x10FFFF);
      if (!flags_.dot_all) all.remove('\n');
      return SetNode(std::move(all));
    }
    if (Take("^")) return AssertNode(RegexAssertion::kLineBegin);
    if (Take("$")) return AssertNode(RegexAssertion::kLineEnd);
    if (Take("\\")) {
      if (AtEnd()) return Corrupt("the pattern ends with a backslash");
      if (Take("A")) return AssertNode(RegexAssertion::kTextBegin);
      if (Take("z")) return AssertNode(RegexAssertion::kTextEnd);
      if (Take("Z")) return AssertNode(RegexAssertion::kLastLineEnd);
      if (Take("b")) return AssertNode(RegexAssertion::kWordEdge);
      if (Take("B")) return AssertNode(RegexAssertion::kNoWordEdge);
      icu::UnicodeSet set;
      QWEN25_TRY(const bool is_class, TakeClass(set, false));
      if (is_class) return SetNode(std::move(set));
      QWEN25_TRY(const char32_t c, TakeEscape());
      return Literal(c, before);
    }
    return Literal(TakeCharacter(), before);
  }

  Result<RegexNode> Literal(char32_t c, char32_t before) {
    icu::UnicodeSet set(static_cast<UChar32>(c), static_cast<UChar32>(c));
    if (!flags_.ignore_case) return SetNode(std::move(set));
    CloseOverCase(set);
    if (before != 0 && FoldsTogether(before, c)) {
      return Unsupported(
          "without case, two letters before byte {} equal one other letter (as \"ss\" and U+00DF)", at_);
    }
    icu::UnicodeString folded(static_cast<UChar32>(c));
    if (folded.foldCase().countChar32() > 1) {
      return Unsupported("without case, the letter before byte {} equals several letters", at_);
    }
    last_literal_ = c;
    return SetNode(std::move(set));
  }

  Result<RegexNode> ParseGroup(int depth) {
    RegexNode look;
    look.kind = Kind::kLook;
    bool is_look = false, is_atomic = false;
    if (Take("?#")) {
      const size_t end = pattern_.find(')', at_);
      if (end == std::string_view::npos) return Corrupt("a comment has no end");
      at_ = end + 1;
      return RegexNode();
    }
    const Flags outer = flags_;
    if (Take("?")) {
      if (Take("=") || Next("!")) {
        is_look = true;
        look.negative = Take("!");
      } else if (Take("<=") || Next("<!")) {
        is_look = look.behind = true;
        look.negative = Take("<!");
      } else if (Take(">")) {
        is_atomic = true;
      } else if (Next("<") || Next("P<")) {
        const size_t end = pattern_.find('>', at_);
        if (end == std::string_view::npos) return Corrupt("the name of a group has no end");
        at_ = end + 1;
      } else if (!Take(":")) {
        QWEN25_TRY(const bool to_the_end, TakeFlags());
        if (to_the_end) {  // (?i)a|b is (?i:a|b)
          QWEN25_TRY(RegexNode rest, ParseAlternatives(depth));
          flags_ = outer;
          return rest;
        }
      }
    }
    QWEN25_TRY(RegexNode body, ParseAlternatives(depth));
    flags_ = outer;
    if (!Take(")")) return Corrupt("a \"(\" is not closed");
    if (is_atomic) return Parent(Kind::kAtomic, std::move(body));
    if (!is_look) return body;
    look.children.push_back(std::move(body));
    return look;
  }

  // "i:", "i-m:", "i)" after "(?". True for the form with ")", which holds to the end of the group.
  Result<bool> TakeFlags() {
    bool on = true;
    while (!AtEnd()) {
      if (Take(":")) return false;
      if (Take(")")) return true;
      if (Take("-")) {
        on = false;
      } else if (Take("i")) {
        flags_.ignore_case = on;
      } else if (Take("m")) {  // Oniguruma's m is what others call s
        flags_.dot_all = on;
      } else {
        break;
      }
    }
    return Unsupported("the group (?{} at byte {}", std::string(pattern_.substr(at_, 8)), at_);
  }

  // \s, \p{L} and so on, after the backslash; false if it is no class.
  Result<bool> TakeClass(icu::UnicodeSet& set, bool in_brackets) {
    const char c = pattern_[at_];
    const auto property = [&](const char* name) -> Status {
      QWEN25_TRY(set, PropertySet(name));
      return {};
    };
    if (c == 'p' || c == 'P') {
      ++at_;
      if (!Take("{")) return Unsupported("\\{} without braces at byte {}", c, at_);
      const size_t end = pattern_.find('}', at_);
      if (end == std::string_view::npos) return Corrupt("\\{}{{ has no end", c);
      std::string_view name = pattern_.substr(at_, end - at_);
      at_ = end + 1;
      bool negative = c == 'P';
      if (name.starts_with('^')) {
        negative = !negative;
        name.remove_prefix(1);
      }
      QWEN25_TRY(set, PropertySet(name));
      if (negative) set.complement();
      return true;
    }
    if (std::string_view("sSdDwWhHNO").find(c) == std::string_view::npos) return false;
    if ((c == 'N' || c == 'O') && in_brackets) return false;
    ++at_;
    if (c == 's' || c == 'S') QWEN25_RETURN_IF_ERROR(property("space"));
    if (c == 'd' || c == 'D') QWEN25_RETURN_IF_ERROR(property("digit"));
    if (c == 'h' || c == 'H') QWEN25_RETURN_IF_ERROR(property("xdigit"));
    if (c == 'w' || c == 'W') set = WordSet(in_brackets);
    if (c == 'N' || c == 'O') set = icu::UnicodeSet(0, 0x10FFFF);
    if (c == 'N') set.remove('\n');
    if (c == 'S' || c == 'D' || c == 'H' || c == 'W') set.complement();
    return true;
  }

  // The character that an escape stands for, after the backslash.
  Result<char32_t> TakeEscape() {
    const size_t begin = at_;
    const char32_t c = TakeCharacter();
    switch (c) {
      case 'n':
        return U'\n';
      case 'r':
        return U'\r';
      case 't':
        return U'\t';
      case 'f':
        return U'\f';
      case 'v':
        return U'\v';
      case 'a':
        return U'\a';
      case 'e':
        return U'\x1B';
      case 'u':
        return TakeHex(4, 4);
      case 'x':
        if (Take("{")) {
          QWEN25_TRY(const char32_t value, TakeHex(1, 8));
          if (!Take("}")) return Corrupt("\\x{{ at byte {} has no end", begin);
          return value;
        } else {
          QWEN25_TRY(const char32_t value, TakeHex(1, 2));
          if (value >= 0x80) return Unsupported("\\x at byte {} names a byte that is no character", begin);
          return value;
        }
      default:
        break;
    }
    const bool letter_or_digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter_or_digit) return Unsupported("\\{} at byte {}", static_cast<char>(c), begin);
    return c;
  }

  Result<char32_t> TakeHex(size_t least, size_t most) {
    char32_t value = 0;
    size_t digits = 0;
    for (; digits < most && !AtEnd(); ++digits, ++at_) {
      const char c = pattern_[at_];
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) break;
      value = value * 16 + static_cast<char32_t>(digit);
    }
    if (digits < least || value > 0x10FFFF) return Corrupt("a number of a character before byte {}", at_);
    return value;
  }

  // After "[": members and "]".
  Result<icu::UnicodeSet> ParseBrackets(int depth) {
    if (depth > kMaxDepth) return Unsupported("more than {} brackets inside each other", kMaxDepth);
    const bool negative = Take("^");
    icu::UnicodeSet all, part;
    bool has_all = false, first = true;
    while (!Next("]") || first) {
      if (AtEnd()) return Corrupt("a \"[\" is not closed");
      if (first && Next("]") && pattern_.find(']', at_ + 1) == std::string_view::npos) {
        return Corrupt("a bracket expression is empty");
      }
      first = false;
      if (Take("&&")) {
        if (has_all) part.retainAll(all);
        all = part;
        has_all = true;
        part.clear();
        continue;
      }
      QWEN25_RETURN_IF_ERROR(ParseMember(depth, part));
    }
    ++at_;
    if (has_all) part.retainAll(all);
    if (flags_.ignore_case) CloseOverCase(part);
    return negative ? Complement(std::move(part)) : part;
  }

  Status ParseMember(int depth, icu::UnicodeSet& set) {
    if (Next("[:")) {
      const size_t end = pattern_.find(":]", at_ + 2);
      if (end != std::string_view::npos &&
          pattern_.substr(at_ + 2, end - at_ - 2).find('[') == std::string_view::npos)
        return ParsePosix(end, set);
    }
    if (Take("[")) {
      QWEN25_TRY(const icu::UnicodeSet inner, ParseBrackets(depth + 1));
      set.addAll(inner);
      return {};
    }
    char32_t first = 0;
    if (Take("\\")) {
      if (AtEnd()) return Corrupt("the pattern ends with a backslash");
      icu::UnicodeSet inner;
      QWEN25_TRY(const bool is_class, TakeClass(inner, true));
      if (is_class) {
        set.addAll(inner);
        return {};
      }
      QWEN25_TRY(first, TakeMemberEscape());
    } else {
      first = TakeCharacter();
    }
    char32_t last = first;
    if (Next("-") && !Next("-]") && !Next("-[") && !Next("-&&")) {
      const size_t dash = at_++;
      if (AtEnd()) return Corrupt("a \"[\" is not closed");
      if (Take("\\")) {
        if (!AtEnd() && std::string_view("sSdDwWhHpP").find(pattern_[at_]) != std::string_view::npos) {
          return Corrupt("the range at byte {} ends with a class", dash);
        }
        QWEN25_TRY(last, TakeMemberEscape());
      } else {
        last = TakeCharacter();
      }
      if (last < first) return Corrupt("the range at byte {} ends before it begins", dash);
    }
    set.add(static_cast<UChar32>(first), static_cast<UChar32>(last));
    return {};
  }

  Result<char32_t> TakeMemberEscape() {
    if (AtEnd()) return Corrupt("the pattern ends with a backslash");
    if (Take("b")) return U'\b';
    return TakeEscape();
  }

  // "[:name:]" or "[:^name:]", which ends at `end`.
  Status ParsePosix(size_t end, icu::UnicodeSet& set) {
    std::string_view name = pattern_.substr(at_ + 2, end - at_ - 2);
    at_ = end + 2;
    const bool negative = name.starts_with('^');
    if (negative) name.remove_prefix(1);
    static constexpr std::string_view kNames[] = {"alpha", "digit", "alnum", "upper",  "lower", "space",
                                                  "blank", "cntrl", "punct", "xdigit", "word",  "ascii"};
    if (std::ranges::find(kNames, name) == std::end(kNames)) {
      return Unsupported("the class [:{}:]", name);
    }
    icu::UnicodeSet inner = PunctuationAndSymbolSet();
    if (name != "punct") {
      QWEN25_TRY(inner, PropertySet(name));
    }
    if (negative) inner.complement();
    set.addAll(inner);
    return {};
  }

  Flags flags_;
  char32_t last_literal_ = 0;  // the letter right before that ignores case; 0: none
};

}  // namespace

Result<RegexNode> ParseRegex(std::string_view pattern) {
  if (!IsValidUtf8(pattern)) return Corrupt("the pattern is not UTF-8");
  return Parser(pattern).Parse();
}

}  // namespace qwen25
