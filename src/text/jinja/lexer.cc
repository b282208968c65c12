#include "text/jinja/lexer.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>

#include "text/utf8.h"

namespace qwen25::jinja {
namespace {

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}
bool IsHexDigit(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// The first position at or after `at` that holds no white space.
size_t SkipSpace(std::string_view text, size_t at) {
  while (at < text.size()) {
    const DecodedCodePoint next = DecodeCodePoint(text.data() + at, text.data() + text.size());
    if (!IsPythonSpace(next.code_point)) break;
    at += next.bytes;
  }
  return at;
}

// Where the white space at the end of `text` begins, looking back to `from`.
size_t SpaceAtEnd(std::string_view text, size_t from) {
  size_t end = text.size();
  while (end > from) {
    size_t begin = end - 1;
    while (begin > from && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    if (!IsPythonSpace(DecodeCodePoint(text.data() + begin, text.data() + end).code_point)) break;
    end = begin;
  }
  return end;
}

enum class Tag { kPrint, kBlock, kComment };

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  Result<std::vector<Token>> Run();
  size_t at() const { return at_; }

 private:
  struct Opening {
    Tag tag;
    size_t begin;
    char mark;  // '-', '+' or 0
  };

  std::optional<Opening> FindOpening() const;
  std::string_view BeforeTag(std::string_view text, Tag tag, char mark) const;
  Status ReadComment();
  Status ReadTag(Tag tag);
  std::optional<size_t> RawBegin(const Opening& opening) const;
  Status ReadRaw();
  std::optional<size_t> ClosingTag(Tag tag) const;
  size_t SkipAfter(Tag tag, char mark, size_t at) const;
  Status ReadCode();
  bool ReadNumber();
  Status ReadString();
  Status ReadEscape(size_t& at, std::string& text) const;
  Status ReadName();
  Status ReadOperator();
  void Add(Token::Kind kind, size_t at, std::string_view text) {
    tokens_.push_back({.kind = kind, .at = at, .text = std::string(text)});
  }
  void AddData(size_t at, std::string_view text) {
    if (!text.empty()) Add(Token::Kind::kData, at, text);
  }

  std::string_view source_;
  size_t at_ = 0;
  std::vector<Token> tokens_;
  std::string open_;  // brackets of the current tag
};

std::optional<Lexer::Opening> Lexer::FindOpening() const {
  for (size_t i = source_.find('{', at_); i != std::string_view::npos && i + 1 < source_.size();
       i = source_.find('{', i + 1)) {
    const char second = source_[i + 1];
    if (second != '{' && second != '%' && second != '#') continue;
    const char third = i + 2 < source_.size() ? source_[i + 2] : '\0';
    return Opening{second == '{'   ? Tag::kPrint
                   : second == '%' ? Tag::kBlock
                                   : Tag::kComment,
                   i, third == '-' || third == '+' ? third : '\0'};
  }
  return std::nullopt;
}

// The text before a tag, without what the tag strips from it (lstrip_blocks, "-").
std::string_view Lexer::BeforeTag(std::string_view text, Tag tag, char mark) const {
  if (mark == '-') return text.substr(0, SpaceAtEnd(text, 0));
  if (mark == '+' || tag == Tag::kPrint) return text;
  const size_t line = text.rfind('\n') + 1;  // 0 if there is none
  const bool starts_line = line > 0 || at_ == 0 || source_[at_ - 1] == '\n';
  return starts_line && SpaceAtEnd(text, line) == line ? text.substr(0, line) : text;
}

Result<std::vector<Token>> Lexer::Run() {
  while (true) {
    const std::optional<Opening> opening = FindOpening();
    if (!opening) break;
    const std::string_view text = source_.substr(at_, opening->begin - at_);
    AddData(at_, BeforeTag(text, opening->tag, opening->mark));
    at_ = opening->begin;
    const std::optional<size_t> raw = RawBegin(*opening);
    if (raw) {
      at_ = *raw;
      QWEN25_RETURN_IF_ERROR(ReadRaw());
      continue;
    }
    at_ += opening->mark != '\0' ? 3 : 2;
    if (opening->tag == Tag::kComment) {
      QWEN25_RETURN_IF_ERROR(ReadComment());
    } else {
      Add(opening->tag == Tag::kPrint ? Token::Kind::kPrintBegin : Token::Kind::kBlockBegin, opening->begin,
          "");
      QWEN25_RETURN_IF_ERROR(ReadTag(opening->tag));
    }
  }
  AddData(at_, source_.substr(at_));
  Add(Token::Kind::kEnd, source_.size(), "");
  return std::move(tokens_);
}

// The position behind a closing tag at `at`, and what it swallows: white space, or one line end
// (trim_blocks).
size_t Lexer::SkipAfter(Tag tag, char mark, size_t at) const {
  if (mark == '-') return SkipSpace(source_, at);
  const bool trims = tag != Tag::kPrint && mark != '+' && source_.substr(at).starts_with('\n');
  return trims ? at + 1 : at;
}

Status Lexer::ReadComment() {
  const size_t end = source_.find("#}", at_);
  if (end == std::string_view::npos) return InvalidArgument("this comment does not end: \"#}}\" is missing");
  const char mark = end > at_ ? source_[end - 1] : '\0';
  at_ = SkipAfter(Tag::kComment, mark, end + 2);
  return {};
}

// If the tag begins a raw block: the position behind it.
std::optional<size_t> Lexer::RawBegin(const Opening& opening) const {
  if (opening.tag != Tag::kBlock) return std::nullopt;
  size_t at = SkipSpace(source_, opening.begin + (opening.mark != '\0' ? 3 : 2));
  if (!source_.substr(at).starts_with("raw")) return std::nullopt;
  at = SkipSpace(source_, at + 3);
  if (source_.substr(at).starts_with("-%}")) return SkipSpace(source_, at + 3);
  if (source_.substr(at).starts_with("%}")) return at + 2;
  return std::nullopt;
}

Status Lexer::ReadRaw() {
  for (size_t begin = source_.find("{%", at_); begin != std::string_view::npos;
       begin = source_.find("{%", begin + 1)) {
    size_t at = begin + 2;
    const char mark = at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at] : '\0';
    at = SkipSpace(source_, at + (mark != '\0' ? 1 : 0));
    if (!source_.substr(at).starts_with("endraw")) continue;
    at = SkipSpace(source_, at + 6);
    const char end_mark =
        at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at] : '\0';
    if (end_mark != '\0') ++at;
    if (!source_.substr(at).starts_with("%}")) continue;
    AddData(at_, BeforeTag(source_.substr(at_, begin - at_), Tag::kBlock, mark));
    at_ = SkipAfter(Tag::kBlock, end_mark, at + 2);
    return {};
  }
  return InvalidArgument("this raw block does not end: \"{{% endraw %}}\" is missing");
}

// If the tag ends here: the position behind it and what it swallows.
std::optional<size_t> Lexer::ClosingTag(Tag tag) const {
  const std::string_view rest = source_.substr(at_);
  const char mark = rest[0] == '-' || (rest[0] == '+' && tag != Tag::kPrint) ? rest[0] : '\0';
  if (!rest.substr(mark != '\0' ? 1 : 0).starts_with(tag == Tag::kPrint ? "}}" : "%}")) return std::nullopt;
  return SkipAfter(tag, mark, at_ + (mark != '\0' ? 3 : 2));
}

Status Lexer::ReadTag(Tag tag) {
  const size_t begin = at_;
  open_.clear();
  while (true) {
    at_ = SkipSpace(source_, at_);
    if (at_ == source_.size()) {
      at_ = begin;
      return InvalidArgument("this tag does not end: \"{}\" is missing", tag == Tag::kPrint ? "}}" : "%}");
    }
    if (open_.empty()) {
      if (const std::optional<size_t> end = ClosingTag(tag)) {
        Add(tag == Tag::kPrint ? Token::Kind::kPrintEnd : Token::Kind::kBlockEnd, at_, "");
        at_ = *end;
        return {};
      }
    }
    QWEN25_RETURN_IF_ERROR(ReadCode());
  }
}

Status Lexer::ReadCode() {
  const char c = source_[at_];
  if (IsDigit(c) && ReadNumber()) return {};
  if (c == '\'' || c == '"') return ReadString();
  const DecodedCodePoint next = DecodeCodePoint(source_.data() + at_, source_.data() + source_.size());
  if (next.code_point == '_' || u_isalnum(static_cast<UChar32>(next.code_point))) return ReadName();
  return ReadOperator();
}

// Appends digits to `digits`; a single underscore may stand between two of them.
size_t ReadDigits(std::string_view text, bool (*is_digit)(char), std::string& digits) {
  size_t at = 0;
  while (at < text.size()) {
    if (is_digit(text[at])) {
      digits += text[at++];
    } else if (at > 0 && text[at] == '_' && at + 1 < text.size() && is_digit(text[at + 1])) {
      ++at;
    } else {
      break;
    }
  }
  return at;
}

bool Lexer::ReadNumber() {
  const std::string_view rest = source_.substr(at_);
  std::string digits;
  size_t end = ReadDigits(rest, IsDigit, digits);
  bool is_float = false;
  const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';  // x.0 is an item, and 0.5 in x.0.5 no float
  if (!after_dot && end + 1 < rest.size() && rest[end] == '.' && IsDigit(rest[end + 1])) {
    digits += '.';
    ++end;
    end += ReadDigits(rest.substr(end), IsDigit, digits);
    is_float = true;
  }
  if (!after_dot && end < rest.size() && (rest[end] == 'e' || rest[end] == 'E')) {
    std::string exponent = "e";
    size_t at = end + 1;
    if (at < rest.size() && (rest[at] == '-' || rest[at] == '+')) exponent += rest[at++];
    const size_t count = ReadDigits(rest.substr(at), IsDigit, exponent);
    if (count > 0) {
      digits += exponent;
      end = at + count;
      is_float = true;
    }
  }
  Token token{.kind = Token::Kind::kNumber, .at = at_, .text = digits};
  if (is_float) {
    token.number = Value::Float(std::strtod(digits.c_str(), nullptr));
  } else {
    const char base = rest.size() > 2 && rest[0] == '0' ? static_cast<char>(rest[1] | 0x20) : '\0';
    const int radix = base == 'x' ? 16 : base == 'o' ? 8 : base == 'b' ? 2 : 10;
    std::string other;
    const size_t count = radix == 10 ? 0
                                     : ReadDigits(
                                           rest.substr(2),
                                           radix == 16  ? IsHexDigit
                                           : radix == 8 ? [](char c) { return c >= '0' && c <= '7'; }
                                                        : [](char c) { return c == '0' || c == '1'; },
                                           other);
    if (count > 0 && other.size() < 16) {
      token.number = Value::Int(static_cast<int64_t>(std::strtoull(other.c_str(), nullptr, radix)));
      end = 2 + count;
    } else {
      // A zero ends a number that begins with it: 007 are two.
      if (rest[0] == '0') {
        digits.resize(std::min(digits.find_first_not_of('0'), digits.size()));
        end = std::min(rest.find_first_not_of("0_"), end);
      }
      token.number = *ParseInteger(digits);
    }
  }
  tokens_.push_back(std::move(token));
  at_ += end;
  return true;
}

// One escape sequence whose backslash is at `at`; moves behind it.
Status Lexer::ReadEscape(size_t& at, std::string& text) const {
  static constexpr std::string_view kEscapes = "ntrabfv\\'\"", kMeanings = "\n\t\r\a\b\f\v\\'\"";
  const char escaped = source_[at + 1];
  const size_t digits = escaped == 'x' ? 2 : escaped == 'u' ? 4 : escaped == 'U' ? 8 : 0;
  if (const size_t found = kEscapes.find(escaped); found != std::string_view::npos) {
    text += kMeanings[found];
    at += 2;
  } else if (escaped >= '0' && escaped <= '7') {
    uint32_t code_point = 0;
    size_t end = at + 1;
    while (end < at + 4 && end < source_.size() && source_[end] >= '0' && source_[end] <= '7') {
      code_point = code_point * 8 + static_cast<uint32_t>(source_[end++] - '0');
    }
    AppendUtf8(code_point, text);
    at = end;
  } else if (digits > 0) {
    const std::string hex(source_.substr(at + 2, digits));
    const uint64_t code_point = std::strtoull(hex.c_str(), nullptr, 16);
    if (hex.size() < digits || !std::ranges::all_of(hex, IsHexDigit) || code_point > 0x10FFFF) {
      return InvalidArgument("\"\\{}\" must be followed by {} hexadecimal digits of a character", escaped,
                             digits);
    }
    AppendUtf8(static_cast<char32_t>(code_point), text);
    at += 2 + digits;
  } else if (escaped == 'N') {
    return Unsupported("characters by their name (\"\\N\") are not available: write \"\\u\" and its number");
  } else {
    if (escaped != '\n') text += '\\';  // an escaped line end is nothing; any other pair is itself
    at += escaped == '\n' ? 2 : 1;
  }
  return {};
}

Status Lexer::ReadString() {
  const char quote = source_[at_];
  Token token{.kind = Token::Kind::kString, .at = at_};
  size_t at = at_ + 1;
  while (at < source_.size() && source_[at] != quote) {
    if (source_[at] == '\\' && at + 1 < source_.size()) {
      const Status status = ReadEscape(at, token.text);
      if (!status.ok()) {
        at_ = at;
        return status;
      }
    } else {
      token.text += source_[at++];
    }
  }
  if (at >= source_.size()) return InvalidArgument("this string does not end: {} is missing", quote);
  at_ = at + 1;
  tokens_.push_back(std::move(token));
  return {};
}

Status Lexer::ReadName() {
  const size_t begin = at_;
  while (at_ < source_.size()) {
    const DecodedCodePoint next = DecodeCodePoint(source_.data() + at_, source_.data() + source_.size());
    if (next.code_point != '_' && !u_isalnum(static_cast<UChar32>(next.code_point)) &&
        !u_hasBinaryProperty(static_cast<UChar32>(next.code_point), UCHAR_ID_CONTINUE)) {
      break;
    }
    at_ += next.bytes;
  }
  const std::string_view name = source_.substr(begin, at_ - begin);
  if (IsDigit(name[0])) {
    at_ = begin;
    return InvalidArgument("\"{}\" is no name: names do not begin with a digit", name);
  }
  Add(Token::Kind::kName, begin, name);
  return {};
}

Status Lexer::ReadOperator() {
  static constexpr std::array<std::string_view, 6> kLong = {"==", "!=", "<=", ">=", "//", "**"};
  static constexpr std::string_view kShort = "+-*/%~[](){}><=.:|,;";
  const std::string_view rest = source_.substr(at_);
  const bool is_long = std::ranges::find(kLong, rest.substr(0, 2)) != kLong.end();
  const char c = rest[0];
  if (!is_long && kShort.find(c) == std::string_view::npos) {
    const DecodedCodePoint next = DecodeCodePoint(rest.data(), rest.data() + rest.size());
    return InvalidArgument("the character \"{}\" has no meaning here", rest.substr(0, next.bytes));
  }
  if (c == '(' || c == '[' || c == '{') {
    open_ += c == '(' ? ')' : c == '[' ? ']' : '}';
  } else if (c == ')' || c == ']' || c == '}') {
    if (open_.empty()) return InvalidArgument("\"{}\" closes nothing", c);
    if (open_.back() != c) return InvalidArgument("\"{}\" where \"{}\" was expected", c, open_.back());
    open_.pop_back();
  }
  Add(Token::Kind::kOperator, at_, rest.substr(0, is_long ? 2 : 1));
  at_ += is_long ? 2 : 1;
  return {};
}

}  // namespace

bool IsPythonSpace(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
  return u_isUWhiteSpace(static_cast<UChar32>(c)) != 0;
}

std::string NormalizeSource(std::string_view source) {
  if (source.starts_with(kUtf8ByteOrderMark)) source.remove_prefix(kUtf8ByteOrderMark.size());
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return RepairUtf8(out);
}

Result<std::vector<Token>> Tokenize(std::string_view source, size_t* at) {
  Lexer lexer(source);
  Result<std::vector<Token>> tokens = lexer.Run();
  if (!tokens.ok()) *at = lexer.at();
  return tokens;
}

}  // namespace qwen25::jinja
