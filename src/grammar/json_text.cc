#include "grammar/json_text.h"

#include <algorithm>
#include <map>

#include "grammar/grammar.h"

namespace qwen25::grammar {
namespace {

// Far from what a double cannot hold, 10^308.
constexpr uint32_t kMaxDigits = 64, kMaxExponentDigits = 2;

constexpr std::pair<uint8_t, char> kShortEscapes[] = {{'"', '"'},  {'\\', '\\'}, {'\b', 'b'}, {'\f', 'f'},
                                                      {'\n', 'n'}, {'\r', 'r'},  {'\t', 't'}};

Expression Digits(uint32_t least, uint32_t most) {
  return Repeat(Bytes('0', '9'), least, most);
}

Expression HexadecimalDigits(uint32_t count) {
  return Repeat(Choice({Bytes('0', '9'), Bytes('a', 'f'), Bytes('A', 'F')}), count, count);
}

// Adds the states of the escapes to an automaton of contents.
class Escaper {
 public:
  explicit Escaper(const Automaton& contents) : contents_(contents) {}

  Automaton Run() {
    if (contents_.states.empty()) return {};
    const auto size = static_cast<uint32_t>(contents_.states.size());
    result_.states.resize(size + 1);
    result_.states[size].accepts = true;  // behind the last quote
    for (uint32_t at = 0; at < size; ++at) AddState(at, size);
    return std::move(result_);
  }

 private:
  using Targets = std::map<std::pair<uint8_t, uint8_t>, uint32_t>;  // by first and last byte

  void AddState(uint32_t at, uint32_t end) {
    std::vector<ByteEdge> edges;
    for (const ByteEdge& edge : contents_.states[at].bytes) AddPlain(edge, edges);
    if (contents_.states[at].accepts) edges.push_back({'"', '"', end});
    if (const uint32_t escape = EscapeState(at); escape != kUnlimited) edges.push_back({'\\', '\\', escape});
    std::ranges::sort(edges, {}, &ByteEdge::first);
    result_.states[at].bytes = std::move(edges);
  }

  // The part of the edge that stands for itself.
  static void AddPlain(const ByteEdge& edge, std::vector<ByteEdge>& edges) {
    constexpr std::pair<int, int> kPlain[] = {{0x20, '"' - 1}, {'"' + 1, '\\' - 1}, {'\\' + 1, 0xFF}};
    for (const auto& [first, last] : kPlain) {
      const int begin = std::max<int>(first, edge.first), end = std::min<int>(last, edge.last);
      if (begin <= end)
        edges.push_back({static_cast<uint8_t>(begin), static_cast<uint8_t>(end), edge.target});
    }
  }

  // The state behind the backslash; kUnlimited if no character needs one here.
  uint32_t EscapeState(uint32_t at) {
    std::vector<ByteEdge> edges;
    for (const auto& [byte, letter] : kShortEscapes) {
      const uint32_t target = Target(contents_, at, byte);
      const auto name = static_cast<uint8_t>(letter);
      if (target != kUnlimited) edges.push_back({name, name, target});
    }
    // \u0000 to \u001f, without those that have a short form.
    std::vector<ByteEdge> tens;
    for (uint8_t high = 0; high < 2; ++high) {
      std::vector<ByteEdge> ones;
      for (uint8_t low = 0; low < 16; ++low) {
        const auto byte = static_cast<uint8_t>(high * 16 + low);
        const uint32_t target = Target(contents_, at, byte);
        const bool is_short = byte == '\b' || byte == '\f' || byte == '\n' || byte == '\r' || byte == '\t';
        if (target == kUnlimited || is_short) continue;
        const auto digit = static_cast<uint8_t>("0123456789abcdef"[low]);
        ones.push_back({digit, digit, target});
      }
      const auto digit = static_cast<uint8_t>('0' + high);
      if (!ones.empty()) tens.push_back({digit, digit, Intern(std::move(ones))});
    }
    if (!tens.empty()) {
      const uint32_t second = Intern({{'0', '0', Intern(std::move(tens))}});
      edges.push_back({'u', 'u', Intern({{'0', '0', second}})});
    }
    return edges.empty() ? kUnlimited : Intern(std::move(edges));
  }

  // Equal states are one: most states of a pattern or of a list of names lead to the same ones.
  uint32_t Intern(std::vector<ByteEdge> edges) {
    std::ranges::sort(edges, {}, &ByteEdge::first);
    std::vector<uint32_t> key;
    for (const ByteEdge& edge : edges) key.insert(key.end(), {edge.first, edge.target});
    const auto [found, is_new] =
        states_.try_emplace(std::move(key), static_cast<uint32_t>(result_.states.size()));
    if (is_new) result_.states.emplace_back().bytes = std::move(edges);
    return found->second;
  }

  const Automaton& contents_;
  Automaton result_;
  std::map<std::vector<uint32_t>, uint32_t> states_;
};

}  // namespace

Expression JsonText::Space() const {
  return allow_whitespace_ ? Optional(Text(" ")) : Nothing();
}

Expression JsonText::Break() {
  if (!allow_whitespace_) return Nothing();
  if (break_ == kUnlimited) {
    const Expression line = Sequence({Text("\n"), Repeat(Text(" "), 0, SchemaOptions::kMaxIndentation)});
    break_ = rules_.Add("whitespace", Choice({Nothing(), Text(" "), line}));
  }
  return CallOf(break_);
}

// A character as it is, or escaped in any way; a pair of escaped surrogates is one character.
Expression JsonText::Character() {
  icu::UnicodeSet plain(0x20, 0x10FFFF);
  plain.remove('"').remove('\\');
  const Expression not_d =
      Choice({Bytes('0', '9'), Bytes('a', 'c'), Bytes('A', 'C'), Bytes('e', 'f'), Bytes('E', 'F')});
  const Expression d = Choice({Text("d"), Text("D")});
  const Expression low =
      Sequence({Text("\\u"), d, Choice({Bytes('c', 'f'), Bytes('C', 'F')}), HexadecimalDigits(2)});
  const Expression unit = Choice({
      Sequence({not_d, HexadecimalDigits(3)}),
      Sequence({d, Bytes('0', '7'), HexadecimalDigits(2)}),
      Sequence({d, Choice({Bytes('8', '9'), Bytes('a', 'b'), Bytes('A', 'B')}), HexadecimalDigits(2), low}),
  });
  std::vector<Expression> escapes = {Sequence({Text("u"), unit})};
  for (const char c : std::string_view("\"\\/bfnrt")) escapes.push_back(Text(std::string(1, c)));
  return Choice({Characters(plain), Sequence({Text("\\"), Choice(std::move(escapes))})});
}

Expression JsonText::StringOfLength(uint32_t least, uint32_t most) {
  if (character_ == kUnlimited) {
    character_ = rules_.Add("a character of a string", Character());
    rules_.MarkAsStringCharacter(character_);
  }
  const bool is_any = least == 0 && most == kUnlimited;
  const Expression characters = is_any ? Repeat(Character(), 0, kUnlimited) : CallOf(character_, least, most);
  return Sequence({Text("\""), characters, Text("\"")});
}

Automaton JsonText::WithEscapes(const Automaton& contents) const {
  return Escaper(contents).Run();
}

Expression JsonText::StringOf(const Automaton& contents) const {
  return Sequence({Text("\""), Embedded(WithEscapes(contents))});
}

Expression JsonText::StringLiteral(std::string_view contents) const {
  std::string text = "\"";
  for (const char c : contents) {
    const auto byte = static_cast<uint8_t>(c);
    const auto* escape = std::ranges::find(kShortEscapes, byte, &std::pair<uint8_t, char>::first);
    if (escape != std::end(kShortEscapes)) {
      text += {'\\', escape->second};
    } else if (byte < 0x20) {
      text += fmt::format("\\u{:04x}", byte);
    } else {
      text += c;
    }
  }
  return Text(text + '"');
}

Expression JsonText::Literal(const Json& value) {
  if (value.is_string()) return StringLiteral(value.get_ref<const std::string&>());
  if (!value.is_structured()) return Text(DumpJson(value));
  const bool is_object = value.is_object();
  std::vector<Expression> parts = {Text(is_object ? "{" : "["), Break()};
  bool is_first = true;
  for (const auto& [key, member] : value.items()) {
    if (!is_first) parts.insert(parts.end(), {Text(","), Break()});
    is_first = false;
    if (is_object) parts.insert(parts.end(), {StringLiteral(key), Text(":"), Space()});
    parts.push_back(Literal(member));
  }
  if (!is_first) parts.push_back(Break());
  parts.push_back(Text(is_object ? "}" : "]"));
  return Sequence(std::move(parts));
}

Result<Automaton> JsonText::AnyText() {
  return Compile(Repeat(AnyCharacter(), 0, kUnlimited), rules_.budget());
}

Expression JsonText::AnyInteger() {
  return Sequence(
      {Optional(Text("-")), Choice({Text("0"), Sequence({Bytes('1', '9'), Digits(0, kMaxDigits - 1)})})});
}

Expression JsonText::AnyNumber() {
  const Expression sign = Choice({Nothing(), Text("+"), Text("-")});
  const Expression exponent = Sequence({Choice({Text("e"), Text("E")}), sign, Digits(1, kMaxExponentDigits)});
  return Sequence({AnyInteger(), Optional(Sequence({Text("."), Digits(1, kMaxDigits)})), Optional(exponent)});
}

Expression JsonText::List(char open, Expression item, char close) {
  const Expression next = Sequence({Text(","), Break(), item});
  const Expression items = Sequence({item, Repeat(next, 0, kUnlimited), Break()});
  return Sequence({Text(std::string(1, open)), Break(), Optional(items), Text(std::string(1, close))});
}

Result<uint32_t> JsonText::AnyObject() {
  if (object_ != kUnlimited) return object_;
  object_ = rules_.Add("any object");
  QWEN25_TRY(const uint32_t value, AnyValue());
  QWEN25_TRY(const Automaton text, AnyText());
  const uint32_t key = rules_.Add("any key", Embedded(WithEscapes(text)));
  rules_.MarkAsKeys(key);
  const Expression member = Sequence({Text("\""), CallOf(key), Text(":"), Space(), CallOf(value)});
  rules_.Set(object_, List('{', member, '}'));
  return object_;
}

Result<uint32_t> JsonText::AnyValue() {
  if (value_ != kUnlimited) return value_;
  value_ = rules_.Add("any value");
  QWEN25_TRY(const uint32_t object, AnyObject());
  rules_.Set(value_, Choice({Text("null"), Text("true"), Text("false"), AnyNumber(),
                             StringOfLength(0, kUnlimited), CallOf(object), List('[', CallOf(value_), ']')}));
  return value_;
}

}  // namespace qwen25::grammar
