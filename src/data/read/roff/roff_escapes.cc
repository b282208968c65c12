#include "data/read/roff/roff_escapes.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <utility>

#include "data/read/text_layout.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

constexpr int kMaxDepth = 8;               // a string that names itself ends here
constexpr size_t kMaxExpansion = 1 << 16;  // bytes of one expanded line
constexpr size_t kMaxWork = 1 << 20;       // bytes looked at for one line: strings nested in strings multiply
constexpr std::string_view kNoBreakSpace = "\xC2\xA0";

struct NamedCharacter {
  std::string_view name;
  std::string_view text;
};

// Sorted by name. groff_char(7), the names that manual pages use.
constexpr NamedCharacter kCharacters[] = {
    {"!=", "≠"}, {"'A", "Á"}, {"'E", "É"},  {"'I", "Í"},  {"'O", "Ó"},  {"'U", "Ú"},  {"'a", "á"},
    {"'c", "ć"}, {"'e", "é"}, {"'i", "í"},  {"'n", "ń"},  {"'o", "ó"},  {"'s", "ś"},  {"'u", "ú"},
    {"'y", "ý"}, {"'z", "ź"}, {"**", "∗"},  {"*A", "Α"},  {"*D", "Δ"},  {"*F", "Φ"},  {"*G", "Γ"},
    {"*L", "Λ"}, {"*P", "Π"}, {"*S", "Σ"},  {"*W", "Ω"},  {"*a", "α"},  {"*b", "β"},  {"*d", "δ"},
    {"*e", "ε"}, {"*f", "φ"}, {"*g", "γ"},  {"*h", "θ"},  {"*l", "λ"},  {"*m", "μ"},  {"*n", "ν"},
    {"*p", "π"}, {"*q", "ψ"}, {"*r", "ρ"},  {"*s", "σ"},  {"*t", "τ"},  {"*w", "ω"},  {"*x", "χ"},
    {"*y", "η"}, {"*z", "ζ"}, {"+-", "±"},  {",C", "Ç"},  {",c", "ç"},  {"-+", "∓"},  {"->", "→"},
    {"-D", "Ð"}, {"/O", "Ø"}, {"/l", "ł"},  {"/o", "ø"},  {"12", "½"},  {"14", "¼"},  {"34", "¾"},
    {":A", "Ä"}, {":O", "Ö"}, {":U", "Ü"},  {":a", "ä"},  {":e", "ë"},  {":i", "ï"},  {":o", "ö"},
    {":u", "ü"}, {"<-", "←"}, {"<=", "≤"},  {"<>", "↔"},  {"==", "≡"},  {"=~", "≅"},  {">=", "≥"},
    {"AE", "Æ"}, {"AN", "∧"}, {"Bq", "„"},  {"CR", "↵"},  {"Do", "$"},  {"Eu", "€"},  {"Fc", "»"},
    {"Fn", "ƒ"}, {"Fo", "«"}, {"OE", "Œ"},  {"OR", "∨"},  {"Po", "£"},  {"Sd", "ð"},  {"TP", "Þ"},
    {"Tp", "þ"}, {"Ye", "¥"}, {"^a", "â"},  {"^e", "ê"},  {"^i", "î"},  {"^o", "ô"},  {"^u", "û"},
    {"`A", "À"}, {"`E", "È"}, {"`a", "à"},  {"`e", "è"},  {"`i", "ì"},  {"`o", "ò"},  {"`u", "ù"},
    {"aa", "´"}, {"ae", "æ"}, {"ap", "∼"},  {"aq", "'"},  {"at", "@"},  {"ba", "|"},  {"bq", "‚"},
    {"br", "│"}, {"bu", "•"}, {"bv", "⎪"},  {"ca", "∩"},  {"ci", "○"},  {"co", "©"},  {"coproduct", "∐"},
    {"cq", "’"}, {"ct", "¢"}, {"cu", "∪"},  {"dA", "⇓"},  {"da", "↓"},  {"dd", "‡"},  {"de", "°"},
    {"dg", "†"}, {"di", "÷"}, {"dq", "\""}, {"em", "—"},  {"en", "–"},  {"eq", "="},  {"es", "∅"},
    {"eu", "€"}, {"fa", "∀"}, {"fc", "›"},  {"ff", "ff"}, {"fi", "fi"}, {"fl", "fl"}, {"fm", "′"},
    {"fo", "‹"}, {"ga", "`"}, {"gr", "∇"},  {"hA", "⇔"},  {"ha", "^"},  {"hy", "-"},  {"ib", "⊆"},
    {"if", "∞"}, {"ip", "⊇"}, {"is", "∫"},  {"lA", "⇐"},  {"lB", "["},  {"lC", "{"},  {"la", "⟨"},
    {"lb", "⎩"}, {"lf", "⌊"}, {"lh", "☜"},  {"lq", "“"},  {"lt", "⎧"},  {"mc", "µ"},  {"md", "⋅"},
    {"mi", "−"}, {"mo", "∈"}, {"mu", "×"},  {"ne", "≢"},  {"nm", "∉"},  {"no", "¬"},  {"oA", "Å"},
    {"oa", "å"}, {"oe", "œ"}, {"oq", "‘"},  {"pd", "∂"},  {"pl", "+"},  {"ps", "¶"},  {"pt", "∝"},
    {"r!", "¡"}, {"r?", "¿"}, {"rA", "⇒"},  {"rB", "]"},  {"rC", "}"},  {"ra", "⟩"},  {"rf", "⌋"},
    {"rg", "®"}, {"rh", "☞"}, {"rn", "‾"},  {"rq", "”"},  {"rs", "\\"}, {"ru", "_"},  {"sb", "⊂"},
    {"sc", "§"}, {"sd", "″"}, {"sh", "#"},  {"sl", "/"},  {"sp", "⊃"},  {"sq", "□"},  {"sqrt", "√"},
    {"sr", "√"}, {"ss", "ß"}, {"st", "∋"},  {"te", "∃"},  {"tf", "∴"},  {"ti", "~"},  {"tm", "™"},
    {"ts", "ς"}, {"uA", "⇑"}, {"ua", "↑"},  {"ul", "_"},  {"va", "↕"},  {"vs", "š"},  {"vz", "ž"},
    {"wp", "℘"}, {"|=", "≃"}, {"~=", "≈"},  {"~N", "Ñ"},  {"~a", "ã"},  {"~n", "ñ"},  {"~o", "õ"},
    {"~~", "≈"},
};
static_assert(std::ranges::is_sorted(kCharacters, {}, &NamedCharacter::name));

bool ParseHexCodePoint(std::string_view digits, char32_t& code_point) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (error != std::errc() || end != digits.data() + digits.size() || value == 0) return false;
  code_point = value;
  return true;
}

}  // namespace

std::string RoffCharacter(std::string_view name) {
  const auto* found = std::ranges::lower_bound(kCharacters, name, {}, &NamedCharacter::name);
  if (found != std::end(kCharacters) && found->name == name) return std::string(found->text);
  std::string out;
  if (name.size() == 1) return std::string(name);
  if (name.size() >= 5 && name[0] == 'u') {  // \[u00E9], and \[u0065_0301] for a base with accents
    for (std::string_view rest = name.substr(1); !rest.empty();) {
      const size_t end = std::min(rest.find('_'), rest.size());
      char32_t code_point;
      if (!ParseHexCodePoint(rest.substr(0, end), code_point)) return {};
      AppendUtf8(code_point, out);
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  return out;
}

std::string_view WithoutRoffComment(std::string_view line) {
  for (size_t i = 0; i + 1 < line.size(); ++i) {
    if (line[i] != '\\') continue;
    if (line[i + 1] == '"' || line[i + 1] == '#') return line.substr(0, i);
    ++i;
  }
  return line;
}

// Those that man(7) and mdoc(7) define in every page.
RoffEscapes::RoffEscapes()
    : strings_{{"R", "®"},  {"Tm", "™"}, {"lq", "“"},  {"rq", "”"},    {"L\"", "\""}, {"R\"", "\""},
               {"C`", ""},  {"C'", ""},  {"--", "--"}, {"PI", "π"},    {"Lq", "“"},   {"Rq", "”"},
               {"Ba", "|"}, {"Le", "≤"}, {"Ge", "≥"},  {"Ne", "≠"},    {"Lt", "<"},   {"Gt", ">"},
               {"Pm", "±"}, {"If", "∞"}, {"q", "\""},  {"Px", "POSIX"}} {}

void RoffEscapes::SetString(std::string_view name, std::string value) {
  strings_.insert_or_assign(std::string(name), std::move(value));
}

void RoffEscapes::AppendString(std::string_view name, std::string_view value) {
  std::string& text = strings_[std::string(name)];
  if (text.size() < kMaxExpansion) text += value;
}

void RoffEscapes::SetRegister(std::string_view name, int value) {
  registers_.insert_or_assign(std::string(name), value);
}

int RoffEscapes::Register(std::string_view name) const {
  const auto found = registers_.find(name);
  return found == registers_.end() ? 0 : found->second;
}

bool RoffEscapes::TakeContinuation() {
  return std::exchange(continuation_, false);
}

// A name in one of the forms `x`, `(xx`, `[...]`.
std::string_view RoffEscapes::TakeName(Cursor& cursor) {
  const std::string_view rest = cursor.source.substr(cursor.position);
  if (rest.empty()) return {};
  if (rest[0] == '(') {
    const std::string_view name = rest.substr(1, 2);
    cursor.position += 1 + name.size();
    return name;
  }
  if (rest[0] == '[') {
    const size_t end = std::min(rest.find(']'), rest.size());
    cursor.position += std::min(end + 1, rest.size());
    return rest.substr(1, end - 1);
  }
  const size_t bytes = DecodeCodePoint(rest.data(), rest.data() + rest.size()).bytes;
  cursor.position += bytes;
  return rest.substr(0, bytes);
}

// An argument between two equal characters, as in `\w'text'`.
std::string_view RoffEscapes::TakeDelimited(Cursor& cursor) {
  const std::string_view rest = cursor.source.substr(cursor.position);
  if (rest.empty()) return {};
  const size_t end = std::min(rest.find(rest[0], 1), rest.size());
  cursor.position += std::min(end + 1, rest.size());
  return rest.substr(1, end - 1);
}

// Long: one case for each escape of the language.
void RoffEscapes::ExpandOne(char letter, Cursor& cursor, int depth, std::string& out) {
  switch (letter) {
    case 'f':
    case 'F':
    case 'g':
    case 'k':
    case 'm':
    case 'M':
    case 'V':
    case 'Y':
    case 'O':
      TakeName(cursor);
      return;
    case 's': {  // \s0, \s+2, \s(12, \s-(12, \s[12], \s'12'
      const auto next = [&] {
        return cursor.position < cursor.source.size() ? cursor.source[cursor.position] : '\0';
      };
      if (next() == '+' || next() == '-') ++cursor.position;
      if (next() == '\'') {
        TakeDelimited(cursor);
      } else {
        const bool two_digits = next() >= '1' && next() <= '3';
        TakeName(cursor);
        if (two_digits && next() >= '0' && next() <= '9') ++cursor.position;
      }
      return;
    }
    case 'h':
    case 'v':
    case 'x':
    case 'w':
    case 'l':
    case 'L':
    case 'D':
    case 'X':
    case 'b':
    case 'A':
    case 'B':
    case 'H':
    case 'S':
    case 'R':
    case 'N':
    case 'Z': {
      const std::string_view argument = TakeDelimited(cursor);
      if (letter == 'b' || letter == 'Z') out += Expand(argument, depth + 1);
      if (letter == 'w') out += std::to_string(CountCodePoints(argument));
      return;
    }
    case 'o':  // overstrike: the first character stands for all
      if (const std::string_view both = TakeDelimited(cursor); !both.empty())
        out += both.substr(0, DecodeCodePoint(both.data(), both.data() + both.size()).bytes);
      return;
    case 'n': {
      if (cursor.position < cursor.source.size() &&
          (cursor.source[cursor.position] == '+' || cursor.source[cursor.position] == '-'))
        ++cursor.position;
      const std::string_view name = TakeName(cursor);
      out += std::to_string(name == ".g" ? 1 : Register(name));  // .g: "this is groff"
      return;
    }
    case '*': {
      const auto found = strings_.find(TakeName(cursor));
      if (found != strings_.end()) out += Expand(std::string(found->second), depth + 1);
      return;
    }
    case '(':
    case '[':
      --cursor.position;
      out += RoffCharacter(TakeName(cursor));
      return;
    case 'C':
      out += RoffCharacter(TakeDelimited(cursor));
      return;
    case 'c':
      continuation_ = true;
      return;
    case ' ':
    case '~':
    case '0':
      out += kNoBreakSpace;
      return;
    case 'e':
    case 'E':
    case '\\':
      out += '\\';
      return;
    case '-':
    case '.':
    case '_':
    case '\'':
    case '`':
      out += letter;
      return;
    case 't':
      out += '\t';
      return;
    case '$':
    case '?':
    case '!':
    case '&':
    case ')':
    case '/':
    case ',':
    case '|':
    case '^':
    case '%':
    case ':':
    case '{':
    case '}':
    case 'd':
    case 'u':
    case 'r':
    case 'p':
    case 'a':
    case 'z':
    case '\n':
      return;
    default:  // roff prints the character of an escape that it does not know
      out += letter;
  }
}

std::string RoffEscapes::Expand(std::string_view source) {
  work_ = 0;
  return Expand(source, 0);
}

std::string RoffEscapes::Expand(std::string_view source, int depth) {
  std::string out;
  if (depth > kMaxDepth) return out;
  for (Cursor cursor{source, 0}; cursor.position < source.size() && out.size() < kMaxExpansion;) {
    if (++work_ > kMaxWork) break;
    const char c = source[cursor.position++];
    if (c != '\\') {
      out += c;
    } else if (cursor.position < source.size()) {
      const char letter = source[cursor.position];
      if (letter == '"' || letter == '#') break;  // a comment
      ++cursor.position;
      ExpandOne(letter, cursor, depth, out);
    }
  }
  return out;
}

}  // namespace qwen25
