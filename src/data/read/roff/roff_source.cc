#include "data/read/roff/roff_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <limits>

namespace qwen25 {
namespace {

constexpr size_t kMaxFrames = 32;        // macros that call macros
constexpr size_t kMaxLines = 2'000'000;  // lines read, those of macros included
constexpr size_t kMaxArgumentBytes = 1 << 14;

bool IsControl(std::string_view line) {
  return !line.empty() && (line[0] == '.' || line[0] == '\'');
}

std::string_view SkipSpaces(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(" \t"), text.size()));
}

// Takes the first word off `rest`.
std::string_view TakeWord(std::string_view& rest) {
  rest = SkipSpaces(rest);
  const size_t end = std::min(rest.find_first_of(" \t"), rest.size());
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(end);
  return word;
}

// Takes the name of the request off a control line without its leading dot.
std::string_view TakeRequestName(std::string_view& rest) {
  rest = SkipSpaces(rest);
  const size_t end = std::min(rest.find_first_of(" \t\\"), rest.size());
  const std::string_view name = rest.substr(0, end);
  rest.remove_prefix(end);
  return name;
}

int Occurrences(std::string_view text, std::string_view what) {
  int count = 0;
  for (size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + what.size()))
    ++count;
  return count;
}

// Whether `line` ends a definition or an ignored part: `..`, or `.word` if a word is given; spaces may follow
// the first dot.
bool IsEndMacro(std::string_view line, std::string_view word) {
  if (!line.starts_with('.')) return false;
  line = WithoutRoffComment(line.substr(1));
  return TakeWord(line) == (word.empty() ? "." : word);
}

// A body line as copy mode stores it: `\\` becomes `\`.
std::string CopyMode(std::string_view line) {
  std::string out;
  for (size_t i = 0; i < line.size(); ++i) {
    out += line[i];
    if (line[i] == '\\' && i + 1 < line.size() && line[i + 1] == '\\') ++i;
  }
  return out;
}

// Puts a macro's arguments in the place of `\$1` ... `\$9`, `\$*`, `\$@` in its body.
std::string WithArguments(std::string_view line, const std::vector<std::string>& arguments) {
  std::string out;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line.substr(i, 2) != "\\$" || i + 2 >= line.size()) {
      out += line[i];
      continue;
    }
    const char which = line[i + 2];
    i += 2;
    if (which == '*' || which == '@') {
      for (size_t k = 0; k < arguments.size(); ++k) (out += k ? " " : "") += arguments[k];
    } else if (which >= '1' && which <= '9' && static_cast<size_t>(which - '1') < arguments.size()) {
      out += arguments[static_cast<size_t>(which - '1')];
    }
    if (out.size() > kMaxArgumentBytes) break;
  }
  return out;
}

// Left to right over + - * / % and the comparisons, with parentheses.
class Expression {
 public:
  explicit Expression(std::string_view text) : text_(text) {}

  int64_t Value(int depth) {
    int64_t value = Operand(depth);
    while (position_ < text_.size() && text_[position_] != ')') {
      const char op = text_[position_++];
      const bool or_equal = (op == '<' || op == '>' || op == '=') && Peek() == '=';
      if (or_equal) ++position_;
      value = Apply(op, or_equal, value, Operand(depth));
    }
    return value;
  }

 private:
  char Peek() const { return position_ < text_.size() ? text_[position_] : '\0'; }

  int64_t Operand(int depth) {
    bool negative = false;
    while (Peek() == '-' || Peek() == '+') negative ^= text_[position_++] == '-';
    int64_t value = 0;
    if (Peek() == '(' && depth < 16) {
      ++position_;
      value = Value(depth + 1);
      if (Peek() == ')') ++position_;
    } else {
      while (std::isdigit(static_cast<unsigned char>(Peek())))
        value = Bounded(value * 10 + (text_[position_++] - '0'));
      if (Peek() == '.') {  // fractions are cut off
        ++position_;
        while (std::isdigit(static_cast<unsigned char>(Peek()))) ++position_;
      }
      if (std::isalpha(static_cast<unsigned char>(Peek()))) ++position_;  // the unit
    }
    return negative ? -value : value;
  }

  static int64_t Bounded(int64_t value) {
    constexpr int64_t kLimit = std::numeric_limits<int32_t>::max();
    return std::clamp(value, -kLimit, kLimit);
  }

  static int64_t Apply(char op, bool or_equal, int64_t a, int64_t b) {
    switch (op) {
      case '+':
        return Bounded(a + b);
      case '-':
        return Bounded(a - b);
      case '*':
        return Bounded(a * b);
      case '/':
        return b == 0 ? 0 : a / b;
      case '%':
        return b == 0 ? 0 : a % b;
      case '=':
        return a == b;
      case '<':
        return or_equal ? a <= b : a < b;
      case '>':
        return or_equal ? a >= b : a > b;
      case '&':
        return a > 0 && b > 0;
      case ':':
        return a > 0 || b > 0;
      default:
        return a;
    }
  }

  std::string_view text_;
  size_t position_ = 0;
};

}  // namespace

std::vector<std::string> SplitRoffArguments(std::string_view rest) {
  std::vector<std::string> arguments;
  for (size_t i = 0;;) {
    while (i < rest.size() && (rest[i] == ' ' || rest[i] == '\t')) ++i;
    if (i >= rest.size()) return arguments;
    std::string& argument = arguments.emplace_back();
    const bool quoted = rest[i] == '"';
    if (quoted) argument += rest[i++];
    for (; i < rest.size(); ++i) {
      if (quoted && rest[i] == '"') {
        ++i;
        if (i >= rest.size() || rest[i] != '"') break;
      } else if (!quoted && (rest[i] == ' ' || rest[i] == '\t')) {
        break;
      } else if (rest[i] == '\\' && i + 1 < rest.size()) {
        argument += rest[i++];
      }
      argument += rest[i];
    }
  }
}

int EvaluateRoffExpression(std::string_view expression) {
  return static_cast<int>(Expression(expression).Value(0));
}

RoffSource::RoffSource(std::string_view source, std::span<const std::string_view> reserved)
    : reserved_(reserved), lines_left_(kMaxLines) {
  auto lines = std::make_shared<Lines>();
  while (!source.empty()) {
    const size_t end = std::min(source.find('\n'), source.size());
    std::string_view line = source.substr(0, end);
    source.remove_prefix(std::min(end + 1, source.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines->emplace_back(line);
  }
  frames_.push_back({std::move(lines), 0, {}});
}

// One input line, with the lines that a trailing backslash joins to it.
bool RoffSource::Fetch(std::string& line) {
  line.clear();
  for (bool continued = true; continued;) {
    while (!frames_.empty() && frames_.back().next >= frames_.back().lines->size()) frames_.pop_back();
    if (frames_.empty()) return !line.empty();
    if (lines_left_ == 0) return false;
    --lines_left_;
    Frame& frame = frames_.back();
    const std::string& stored = (*frame.lines)[frame.next++];
    line += frames_.size() == 1 ? stored : WithArguments(stored, frame.arguments);
    const size_t last_other = line.find_last_not_of('\\');
    const size_t backslashes = line.size() - (last_other == std::string::npos ? 0 : last_other + 1);
    continued = backslashes % 2 == 1 && line.size() < kMaxArgumentBytes;
    if (continued) line.pop_back();
  }
  return true;
}

bool RoffSource::IsReserved(std::string_view name) const {
  return std::ranges::find(reserved_, name) != reserved_.end();
}

// `.de name [end]`: the lines up to `.end` (or `..`) become the body.
void RoffSource::DefineMacro(std::string_view rest, bool append) {
  const std::string name(TakeWord(rest));
  const std::string word(TakeWord(rest));
  auto body = std::make_shared<Lines>();
  if (append && macros_.contains(name)) *body = *macros_[name];
  std::string line;
  while (Fetch(line) && !IsEndMacro(line, word)) body->push_back(CopyMode(line));
  if (!name.empty() && !IsReserved(name)) macros_[name] = std::move(body);
}

void RoffSource::SkipIgnored(std::string_view rest) {
  const std::string word(TakeWord(rest));
  std::string line;
  while (Fetch(line) && !IsEndMacro(line, word)) {
  }
}

// Decides the condition at the start of `rest` and takes it off.
bool RoffSource::Condition(std::string_view& rest) {
  rest = SkipSpaces(rest);
  bool wanted = true;
  while (rest.starts_with('!')) {
    wanted = !wanted;
    rest.remove_prefix(1);
  }
  if (rest.empty()) return false;
  const char first = rest[0];
  bool holds = false;
  if (std::isdigit(static_cast<unsigned char>(first)) || first == '(' || first == '\\' || first == '-' ||
      first == '+') {
    size_t end = 0;  // up to a space, or a block that follows directly
    while (end < rest.size() && rest[end] != ' ' && rest[end] != '\t' && rest.substr(end, 2) != "\\{") ++end;
    holds = EvaluateRoffExpression(escapes_.Expand(rest.substr(0, end))) > 0;
    rest.remove_prefix(end);
  } else if (first == 'd' || first == 'r' || first == 'c' || first == 'm' || first == 'F' || first == 'S') {
    rest.remove_prefix(1);
    const std::string_view name = TakeWord(rest);
    holds = first == 'd' && (macros_.contains(name) || IsReserved(name));
  } else if (std::isalpha(static_cast<unsigned char>(first))) {
    holds = first == 'n' || first == 'o';  // a terminal, an odd page
    rest.remove_prefix(1);
  } else {  // 'text'text'
    const size_t middle = std::min(rest.find(first, 1), rest.size() - 1);
    const size_t end = std::min(rest.find(first, middle + 1), rest.size() - 1);
    holds = end > middle && escapes_.Expand(rest.substr(1, middle - 1)) ==
                                escapes_.Expand(rest.substr(middle + 1, end - middle - 1));
    rest.remove_prefix(std::max(end, middle) + 1);
  }
  rest = SkipSpaces(rest);
  return holds == wanted;
}

// Skips what a false condition governs: the rest of its line, and on to the end of the block it opens.
void RoffSource::SkipBlock(std::string_view rest) {
  int depth = Occurrences(rest, "\\{") - Occurrences(rest, "\\}");
  std::string line;
  while (depth > 0 && Fetch(line)) depth += Occurrences(line, "\\{") - Occurrences(line, "\\}");
}

void RoffSource::SetRegister(std::string_view rest) {
  const std::string_view name = TakeWord(rest);
  const std::string value = escapes_.Expand(TakeWord(rest));
  const bool relative = value.starts_with('+') || value.starts_with('-');
  const int64_t number = EvaluateRoffExpression(value) + int64_t{relative ? escapes_.Register(name) : 0};
  constexpr int64_t kLimit = std::numeric_limits<int>::max();
  escapes_.SetRegister(name, static_cast<int>(std::clamp(number, -kLimit, kLimit)));
}

// Returns whether the request is one of the language; `again` is set if `line` holds what remains to be read
// in its place.
bool RoffSource::HandleRequest(std::string_view name, std::string_view rest, std::string& line, bool& again) {
  again = false;
  if (name == "if" || name == "ie" || name == "while" || name == "el") {
    bool holds;
    if (name == "el") {
      holds = !else_taken_.empty() && else_taken_.back();
      if (!else_taken_.empty()) else_taken_.pop_back();
      rest = SkipSpaces(rest);
    } else {
      holds = Condition(rest) && name != "while";  // loops compute layouts: nothing to read in them
      if (name == "ie" && else_taken_.size() < kMaxFrames) else_taken_.push_back(!holds);
    }
    if (!holds) {
      SkipBlock(rest);
      return true;
    }
    if (rest.starts_with("\\{")) rest = SkipSpaces(rest.substr(2));
    again = !rest.empty();
    line = std::string(rest);
    return true;
  }
  if (name == "nop" || name == "do") {
    rest = SkipSpaces(rest);
    line = fmt::format("{}{}", name == "do" ? "." : "", rest);
    return again = !rest.empty(), true;
  }
  if (name == "de" || name == "de1" || name == "am") return DefineMacro(rest, name == "am"), true;
  if (name == "ig") return SkipIgnored(rest), true;
  if (name == "nr") return SetRegister(rest), true;
  if (name == "ds" || name == "as" || name == "ds1") {
    const std::string_view string_name = TakeWord(rest);
    rest = SkipSpaces(rest);
    if (rest.starts_with('"')) rest.remove_prefix(1);
    if (name == "as") {
      escapes_.AppendString(string_name, CopyMode(rest));
    } else {
      escapes_.SetString(string_name, CopyMode(rest));
    }
    return true;
  }
  if (name == "als" || name == "rn") {
    std::string from(TakeWord(rest)), to(TakeWord(rest));
    if (name == "als") std::swap(from, to);  // .als NEW OLD, .rn OLD NEW
    if (!IsReserved(to) && from != to) aliases_.insert_or_assign(std::move(to), std::move(from));
    return true;
  }
  if (name == "rm") return macros_.erase(std::string(TakeWord(rest))), true;
  return name == "so" || name == "mso" || name == "tr" || name == "char" || name == "rr" || name == "return";
}

std::optional<RoffLine> RoffSource::Next() {
  std::string line;
  for (bool again = false; again || Fetch(line);) {
    again = false;
    if (!IsControl(line)) {
      RoffLine text;
      text.text = escapes_.Expand(line);
      text.continuation = escapes_.TakeContinuation();
      // A line that held only a comment or the end of a block leaves no empty line behind.
      if (text.text.empty() && !line.empty() && !text.continuation) continue;
      return text;
    }
    const std::string source(WithoutRoffComment(std::string_view(line).substr(1)));
    std::string_view rest = source;
    std::string name(TakeRequestName(rest));
    for (int hops = 0; hops < 4 && aliases_.contains(name); ++hops) name = aliases_.find(name)->second;
    if (name.empty() || HandleRequest(name, rest, line, again)) continue;

    std::vector<std::string> arguments = SplitRoffArguments(rest);
    if (const auto macro = macros_.find(name); macro != macros_.end()) {
      for (std::string& argument : arguments)
        if (argument.starts_with('"')) argument.erase(0, 1);
      if (frames_.size() < kMaxFrames) frames_.push_back({macro->second, 0, std::move(arguments)});
      continue;
    }
    RoffLine call;
    call.name = std::move(name);
    for (std::string& argument : arguments) {
      const bool quoted = argument.starts_with('"');
      if (quoted) argument.erase(0, 1);
      const bool literal = quoted || argument.starts_with("\\&");
      call.arguments.push_back({escapes_.Expand(argument), literal});
    }
    call.continuation = escapes_.TakeContinuation();
    return call;
  }
  return std::nullopt;
}

}  // namespace qwen25
