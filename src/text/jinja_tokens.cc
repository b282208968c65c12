#include "text/jinja_tokens.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "text/utf8.h"

namespace qwen25 {
namespace {

constexpr std::string_view kSpace = " \t\n\r\v\f";

bool IsNameStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}
bool IsNamePart(char c) {
  return IsNameStart(c) || IsDigit(c);
}

// Without a byte order mark, with '\n' for every line end, and without the one at the end.
std::string NormalizeLineEnds(std::string_view source) {
  if (source.starts_with(kUtf8ByteOrderMark)) source.remove_prefix(kUtf8ByteOrderMark.size());
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

struct Token {
  enum class Kind { kName, kNumber, kString, kOperator };
  Kind kind;
  std::string text;  // of a string: what it stands for
};
using Tokens = std::vector<Token>;

bool IsOperator(const Token& token, std::string_view text) {
  return token.kind == Token::Kind::kOperator && token.text == text;
}

// Reads the tags of one template.
class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  Result<std::vector<JinjaPiece>> Run();

 private:
  enum class Tag { kPrint, kStatement, kComment };
  struct Opening {
    Tag tag;
    size_t begin;  // of its two characters
    char mark;     // '-', '+' or 0
  };

  std::optional<Opening> FindOpening() const;
  Status ReadTag(const Opening& opening);
  Status SkipComment();
  Result<Tokens> ReadTokens(Tag tag);
  Result<Token> ReadString();
  bool TakeClosing(Tag tag, size_t depth);
  void TrimAfter(Tag tag, char mark);
  void Print(Tokens tokens);
  void AddText(std::string_view text);
  void AddCode(JinjaPiece::Kind kind, const Tokens& tokens);

  std::string_view source_;
  size_t at_ = 0;
  std::vector<JinjaPiece> pieces_;
};

std::optional<Lexer::Opening> Lexer::FindOpening() const {
  for (size_t i = source_.find('{', at_); i != std::string_view::npos && i + 1 < source_.size();
       i = source_.find('{', i + 1)) {
    const char second = source_[i + 1];
    if (second != '{' && second != '%' && second != '#') continue;
    const char third = i + 2 < source_.size() ? source_[i + 2] : '\0';
    return Opening{second == '{'   ? Tag::kPrint
                   : second == '%' ? Tag::kStatement
                                   : Tag::kComment,
                   i, third == '-' || third == '+' ? third : '\0'};
  }
  return std::nullopt;
}

Result<std::vector<JinjaPiece>> Lexer::Run() {
  while (true) {
    const std::optional<Opening> opening = FindOpening();
    std::string_view text = source_.substr(at_, opening ? opening->begin - at_ : std::string_view::npos);
    if (!opening) {
      AddText(text);
      return std::move(pieces_);
    }
    if (opening->mark == '-') {
      text = text.substr(0, text.find_last_not_of(kSpace) + 1);
    } else if (opening->tag != Tag::kPrint && opening->mark != '+') {  // lstrip_blocks
      const size_t kept = text.find_last_not_of(" \t") + 1;
      const bool starts_line = kept == 0 ? at_ == 0 || source_[at_ - 1] == '\n' : text[kept - 1] == '\n';
      if (starts_line) text = text.substr(0, kept);
    }
    AddText(text);
    at_ = opening->begin + 2 + (opening->mark != '\0' ? 1 : 0);
    QWEN25_RETURN_IF_ERROR(ReadTag(*opening));
  }
}

Status Lexer::ReadTag(const Opening& opening) {
  if (opening.tag == Tag::kComment) return SkipComment();
  QWEN25_TRY(Tokens tokens, ReadTokens(opening.tag));
  if (opening.tag == Tag::kPrint) {
    Print(std::move(tokens));
    return {};
  }
  if (!tokens.empty() && tokens[0].kind == Token::Kind::kName && tokens[0].text == "raw") {
    return InvalidArgument("a raw block");
  }
  AddCode(JinjaPiece::Kind::kStatement, tokens);
  return {};
}

Status Lexer::SkipComment() {
  const size_t end = source_.find("#}", at_);
  if (end == std::string_view::npos) return InvalidArgument("a comment that does not end");
  const char mark = end > at_ ? source_[end - 1] : '\0';
  at_ = end + 2;
  TrimAfter(Tag::kComment, mark);
  return {};
}

// Skips white space after a tag: all of it after "-", else one line end after statements and comments
// (trim_blocks).
void Lexer::TrimAfter(Tag tag, char mark) {
  if (mark == '-') {
    at_ = std::min(source_.find_first_not_of(kSpace, at_), source_.size());
  } else if (tag != Tag::kPrint && mark != '+' && source_.substr(at_).starts_with('\n')) {
    ++at_;
  }
}

// Whether the tag ends here; its end is then skipped.
bool Lexer::TakeClosing(Tag tag, size_t depth) {
  const std::string_view closing = tag == Tag::kPrint ? "}}" : "%}";
  const std::string_view rest = source_.substr(at_);
  const char mark = rest[0] == '-' || (rest[0] == '+' && tag != Tag::kPrint) ? rest[0] : '\0';
  if (depth > 0 || !rest.substr(mark != '\0' ? 1 : 0).starts_with(closing)) return false;
  at_ += closing.size() + (mark != '\0' ? 1 : 0);
  TrimAfter(tag, mark);
  return true;
}

Result<Tokens> Lexer::ReadTokens(Tag tag) {
  static constexpr std::array<std::string_view, 6> kLongOperators = {"==", "!=", "<=", ">=", "//", "**"};
  Tokens tokens;
  size_t depth = 0;  // of open brackets
  while (true) {
    at_ = source_.find_first_not_of(kSpace, at_);
    if (at_ == std::string_view::npos) return InvalidArgument("a tag that does not end");
    if (TakeClosing(tag, depth)) return tokens;
    const char c = source_[at_];
    if (c == '"' || c == '\'') {
      QWEN25_TRY(Token token, ReadString());
      tokens.push_back(std::move(token));
      continue;
    }
    size_t end = at_ + 1;
    Token::Kind kind = Token::Kind::kOperator;
    if (IsNameStart(c)) {
      kind = Token::Kind::kName;
      while (end < source_.size() && IsNamePart(source_[end])) ++end;
    } else if (IsDigit(c)) {
      kind = Token::Kind::kNumber;
      while (end < source_.size() && IsNamePart(source_[end])) ++end;
    } else if (std::ranges::find(kLongOperators, source_.substr(at_, 2)) != kLongOperators.end()) {
      ++end;
    } else if (c == '(' || c == '[' || c == '{') {
      ++depth;
    } else if ((c == ')' || c == ']' || c == '}') && depth > 0) {
      --depth;
    }
    tokens.push_back({kind, std::string(source_.substr(at_, end - at_))});
    at_ = end;
  }
}

// The value of the first `count` hexadecimal digits; nothing if there are fewer.
std::optional<uint32_t> ReadHex(std::string_view digits, size_t count) {
  if (digits.size() < count) return std::nullopt;
  uint32_t value = 0;
  for (const char c : digits.substr(0, count)) {
    const size_t digit =
        std::string_view("0123456789abcdef").find(static_cast<char>(IsDigit(c) ? c : c | 0x20));
    if (digit == std::string_view::npos) return std::nullopt;
    value = value * 16 + static_cast<uint32_t>(digit);
  }
  return value;
}

Result<Token> Lexer::ReadString() {
  static constexpr std::string_view kEscapes = "ntrabfv0\\'\"", kMeanings("\n\t\r\a\b\f\v\0\\'\"", 11);
  const char quote = source_[at_];
  std::string text;
  for (size_t i = at_ + 1; i < source_.size(); ++i) {
    if (source_[i] == quote) {
      at_ = i + 1;
      return Token{Token::Kind::kString, std::move(text)};
    }
    if (source_[i] != '\\' || i + 1 == source_.size()) {
      text += source_[i];
      continue;
    }
    const char escaped = source_[++i];
    const size_t digits = escaped == 'x' ? 2 : escaped == 'u' ? 4 : escaped == 'U' ? 8 : 0;
    const size_t found = kEscapes.find(escaped);
    if (const auto code_point = ReadHex(source_.substr(i + 1), digits); digits > 0 && code_point) {
      AppendUtf8(*code_point, text);
      i += digits;
    } else if (found != std::string_view::npos) {
      text += kMeanings[found];
    } else if (escaped != '\n') {  // an escaped line end is nothing; any other pair is itself
      text += '\\';
      text += escaped;
    }
  }
  return InvalidArgument("a string that does not end");
}

// x['role'] as x.role.
Tokens WithAttributes(const Tokens& tokens) {
  Tokens out;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool has_owner = !out.empty() && (out.back().kind == Token::Kind::kName ||
                                            IsOperator(out.back(), "]") || IsOperator(out.back(), ")"));
    if (has_owner && i + 2 < tokens.size() && IsOperator(tokens[i], "[") &&
        tokens[i + 1].kind == Token::Kind::kString && IsOperator(tokens[i + 2], "]") &&
        !tokens[i + 1].text.empty() && IsNameStart(tokens[i + 1].text[0]) &&
        std::ranges::all_of(tokens[i + 1].text, IsNamePart)) {
      out.push_back({Token::Kind::kOperator, "."});
      out.push_back({Token::Kind::kName, tokens[i + 1].text});
      i += 2;
    } else {
      out.push_back(tokens[i]);
    }
  }
  return out;
}

// Whether printing the expression prints the operands of its + and ~ in turn: nothing outside brackets binds
// less tightly than they do.
bool IsConcatenation(const Tokens& tokens) {
  static constexpr std::array<std::string_view, 7> kWords = {"if", "else", "and", "or", "not", "in", "is"};
  static constexpr std::array<std::string_view, 13> kOperators = {"==", "!=", "<=", ">=", "<",  ">", "-",
                                                                  "*",  "/",  "//", "%",  "**", ","};
  size_t depth = 0;
  for (const Token& token : tokens) {
    if (token.kind == Token::Kind::kName && depth == 0 &&
        std::ranges::find(kWords, token.text) != kWords.end()) {
      return false;
    }
    if (token.kind != Token::Kind::kOperator) continue;
    if (token.text == "(" || token.text == "[" || token.text == "{") ++depth;
    if ((token.text == ")" || token.text == "]" || token.text == "}") && depth > 0) --depth;
    if (depth == 0 && std::ranges::find(kOperators, token.text) != kOperators.end()) return false;
  }
  return true;
}

void Lexer::Print(Tokens tokens) {
  const auto add = [&](const Tokens& operand) {
    if (operand.size() == 1 && operand[0].kind == Token::Kind::kString) {
      AddText(operand[0].text);
      // An empty literal is kept: it may stand for an empty text that another template fills.
      if (operand[0].text.empty() && (pieces_.empty() || pieces_.back().kind != JinjaPiece::Kind::kText)) {
        pieces_.push_back({JinjaPiece::Kind::kText, ""});
      }
    } else {
      AddCode(JinjaPiece::Kind::kPrint, operand);
    }
  };
  if (!IsConcatenation(tokens)) return add(tokens);
  Tokens operand;
  size_t depth = 0;
  for (Token& token : tokens) {
    const bool is_operator = token.kind == Token::Kind::kOperator;
    if (is_operator && (token.text == "(" || token.text == "[" || token.text == "{")) ++depth;
    if (is_operator && (token.text == ")" || token.text == "]" || token.text == "}") && depth > 0) --depth;
    if (depth == 0 && (IsOperator(token, "+") || IsOperator(token, "~"))) {
      add(operand);
      operand.clear();
    } else {
      operand.push_back(std::move(token));
    }
  }
  add(operand);
}

void Lexer::AddText(std::string_view text) {
  if (text.empty()) return;
  if (pieces_.empty() || pieces_.back().kind != JinjaPiece::Kind::kText) {
    pieces_.push_back({JinjaPiece::Kind::kText, ""});
  }
  pieces_.back().content += text;
}

void Lexer::AddCode(JinjaPiece::Kind kind, const Tokens& tokens) {
  std::string code;
  for (const Token& token : WithAttributes(tokens)) {
    if (!code.empty()) code += ' ';
    if (token.kind != Token::Kind::kString) {
      code += token.text;
      continue;
    }
    code += '"';
    for (const char c : token.text) {
      if (c == '"' || c == '\\') code += '\\';
      code += c;
    }
    code += '"';
  }
  pieces_.push_back({kind, std::move(code)});
}

}  // namespace

Result<std::vector<JinjaPiece>> JinjaPieces(std::string_view source) {
  const std::string text = NormalizeLineEnds(source);
  return Lexer(text).Run();
}

}  // namespace qwen25
