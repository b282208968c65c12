#include "grammar/gbnf.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include "grammar/expression.h"
#include "grammar/rule_set.h"
#include "text/utf8.h"

namespace qwen25::grammar {
namespace {

constexpr uint32_t kMaxRepeats = 100000;

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

bool IsNameCharacter(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

class Compiler {
 public:
  Compiler(std::string_view source, const GrammarLimits& limits)
      : source_(source), rules_(limits), limits_(limits) {}

  Result<GrammarTables> Run() {
    if (!IsValidUtf8(source_)) return InvalidArgument("the grammar is not UTF-8");
    SkipSpace(true);
    while (!AtEnd()) QWEN25_RETURN_IF_ERROR(ParseRule());
    for (const auto& [name, rule] : names_) {
      if (!rule.is_defined) return InvalidArgument("line {}: there is no rule \"{}\"", rule.line, name);
    }
    const auto root = names_.find("root");
    if (root == names_.end()) return InvalidArgument("there is no rule \"root\", where the text begins");
    return rules_.Finish(root->second.rule);
  }

 private:
  struct Named {
    uint32_t rule;
    size_t line;  // of its first use
    bool is_defined = false;
  };

  bool AtEnd() const { return at_ >= source_.size(); }
  bool Next(std::string_view text) const { return source_.substr(at_).starts_with(text); }
  bool Take(std::string_view text) {
    if (!Next(text)) return false;
    at_ += text.size();
    return true;
  }
  size_t Line() const { return 1 + static_cast<size_t>(std::ranges::count(source_.substr(0, at_), '\n')); }
  template <typename... Args>
  Status Error(fmt::format_string<Args...> format, Args&&... args) const {
    return InvalidArgument("line {}: {}", Line(), fmt::format(format, std::forward<Args>(args)...));
  }

  void SkipSpace(bool over_lines) {
    while (!AtEnd()) {
      const char c = source_[at_];
      if (c == '#') {
        at_ = std::min(source_.find('\n', at_), source_.size());
      } else if (c == ' ' || c == '\t' || (over_lines && (c == '\n' || c == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  // Whether the next line goes on with "|"; goes there.
  bool ContinuesOnNextLine() {
    const size_t begin = at_;
    SkipSpace(true);
    if (Next("|")) return true;
    at_ = begin;
    return false;
  }

  Result<Named*> TakeName() {
    const size_t begin = at_;
    while (!AtEnd() && IsNameCharacter(source_[at_])) ++at_;
    const std::string name(source_.substr(begin, at_ - begin));
    if (name.empty()) return Error("expected the name of a rule");
    const auto [entry, is_new] = names_.try_emplace(name, Named{0, Line()});
    if (is_new) entry->second.rule = rules_.Add(fmt::format("rule \"{}\"", name));
    return &entry->second;
  }

  Status ParseRule() {
    const size_t begin = at_;
    QWEN25_TRY(Named* const named, TakeName());
    const std::string_view name = source_.substr(begin, at_ - begin);
    SkipSpace(false);
    if (!Take("::=")) return Error("expected \"::=\" behind \"{}\"", name);
    if (named->is_defined) return Error("the rule \"{}\" is defined twice", name);
    named->is_defined = true;
    SkipSpace(true);
    QWEN25_TRY(Expression expression, ParseAlternatives(0));
    rules_.Set(named->rule, std::move(expression));
    if (!AtEnd() && source_[at_] != '\n' && source_[at_] != '\r') {
      return Error("the rule \"{}\" does not go on with '{}'", name, source_[at_]);
    }
    SkipSpace(true);
    return {};
  }

  Result<Expression> ParseAlternatives(size_t depth) {
    if (depth > limits_.depth)
      return ResourceExhausted("line {}: more than {} groups inside each other", Line(), limits_.depth);
    std::vector<Expression> branches;
    do {
      SkipSpace(true);
      std::vector<Expression> parts;
      while (true) {
        QWEN25_TRY(std::optional<Expression> part, ParseRepeated(depth));
        if (!part) break;
        parts.push_back(std::move(*part));
      }
      branches.push_back(Sequence(std::move(parts)));
      if (depth == 0) ContinuesOnNextLine();
    } while (Take("|"));
    return Choice(std::move(branches));
  }

  // Nothing at the end of a sequence.
  Result<std::optional<Expression>> ParseRepeated(size_t depth) {
    SkipSpace(depth > 0);
    if (AtEnd() || Next("|") || Next(")") || Next("\n") || Next("\r")) return std::optional<Expression>();
    QWEN25_TRY(Expression part, ParseElement(depth));
    SkipSpace(depth > 0);
    uint32_t least = 0, most = kUnlimited;
    while (!AtEnd()) {
      if (Take("+")) {
        least = 1, most = kUnlimited;
      } else if (Take("?")) {
        least = 0, most = 1;
      } else if (Take("*")) {
        least = 0, most = kUnlimited;
      } else if (Take("{")) {
        QWEN25_RETURN_IF_ERROR(ParseInterval(least, most));
      } else {
        break;
      }
      part = Repeat(std::move(part), least, most);
      SkipSpace(depth > 0);
    }
    return std::optional<Expression>(std::move(part));
  }

  Status ParseInterval(uint32_t& least, uint32_t& most) {
    SkipSpace(false);
    const std::optional<uint32_t> first = TakeNumber();
    std::optional<uint32_t> last = first;
    SkipSpace(false);
    const bool has_comma = Take(",");
    SkipSpace(false);
    if (has_comma) last = TakeNumber();
    SkipSpace(false);
    if ((!first && !last) || !Take("}")) return Error("expected a repeat: {{n}}, {{n,}}, {{,m}} or {{n,m}}");
    least = first.value_or(0);
    most = last.value_or(kUnlimited);
    if (least > most) return Error("the numbers of the repeat {{{},{}}} are out of order", least, most);
    if (least <= kMaxRepeats && (most <= kMaxRepeats || most == kUnlimited)) return {};
    return ResourceExhausted("line {}: a repeat of more than {} times", Line(), kMaxRepeats);
  }

  std::optional<uint32_t> TakeNumber() {
    if (AtEnd() || !IsDigit(source_[at_])) return std::nullopt;
    uint32_t number = 0;
    for (; !AtEnd() && IsDigit(source_[at_]); ++at_) {
      number = std::min(number * 10 + static_cast<uint32_t>(source_[at_] - '0'), kMaxRepeats + 1);
    }
    return number;
  }

  Result<Expression> ParseElement(size_t depth) {
    if (Take("\"")) return ParseLiteral();
    if (Take("[")) return ParseClass();
    if (Take(".")) return AnyCharacter();
    if (Take("(")) {
      QWEN25_TRY(Expression inner, ParseAlternatives(depth + 1));
      SkipSpace(true);
      if (!Take(")")) return Error("a group does not end");
      return inner;
    }
    if (!IsNameCharacter(source_[at_]))
      return Error("'{}' begins nothing that a rule can have", source_[at_]);
    QWEN25_TRY(const Named* const named, TakeName());
    return CallOf(named->rule);
  }

  Result<Expression> ParseLiteral() {
    std::string text;
    while (!Take("\"")) {
      if (AtEnd() || Next("\n")) return Error("a text in quotes does not end");
      QWEN25_TRY(const char32_t c, TakeCharacter());
      AppendUtf8(c, text);
    }
    return Text(text);
  }

  Result<Expression> ParseClass() {
    const bool is_complement = Take("^");
    icu::UnicodeSet set;
    while (!Take("]")) {
      if (AtEnd() || Next("\n")) return Error("a class in brackets does not end");
      QWEN25_TRY(const char32_t first, TakeCharacter());
      char32_t last = first;
      if (Next("-") && !Next("-]")) {
        Take("-");
        if (AtEnd()) return Error("a class in brackets does not end");
        QWEN25_TRY(last, TakeCharacter());
      }
      if (first > last) return Error("a range of a class is out of order");
      set.add(static_cast<UChar32>(first), static_cast<UChar32>(last));
    }
    if (is_complement) set.complement();
    return Characters(set);
  }

  // A character of a literal or a class, which may be an escape.
  Result<char32_t> TakeCharacter() {
    if (!Take("\\")) {
      const DecodedCodePoint c = DecodeCodePoint(source_.data() + at_, source_.data() + source_.size());
      at_ += c.bytes;
      return c.code_point;
    }
    if (AtEnd()) return Error("a backslash ends the grammar");
    const char kind = source_[at_++];
    constexpr std::pair<char, char32_t> kEscapes[] = {{'n', '\n'},  {'r', '\r'}, {'t', '\t'},
                                                      {'\\', '\\'}, {'"', '"'},  {'[', '['},
                                                      {']', ']'},   {'-', '-'},  {'^', '^'}};
    for (const auto& [name, c] : kEscapes) {
      if (kind == name) return c;
    }
    const size_t num_digits = kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
    if (num_digits == 0) return Error("the escape \\{} is not handled", kind);
    const std::string digits(source_.substr(at_, num_digits));
    at_ += digits.size();
    char32_t value = 0;
    for (const char c : digits) {
      const char lower = static_cast<char>(c | 0x20);
      const bool is_letter = lower >= 'a' && lower <= 'f';
      if (!IsDigit(c) && !is_letter) return Error("\\{} wants {} hexadecimal digits", kind, num_digits);
      value = value * 16 + static_cast<char32_t>(is_letter ? lower - 'a' + 10 : c - '0');
    }
    const bool is_surrogate = value >= 0xD800 && value < 0xE000;
    if (digits.size() < num_digits || value > 0x10FFFF || is_surrogate) {
      return Error("\\{}{} is no code point", kind, digits);
    }
    return value;
  }

  std::string_view source_;
  RuleSet rules_;
  const GrammarLimits& limits_;
  size_t at_ = 0;
  std::map<std::string, Named> names_;
};

}  // namespace

Result<GrammarTables> CompileGbnf(std::string_view source, const GrammarLimits& limits) {
  return Compiler(source, limits).Run();
}

}  // namespace qwen25::grammar
