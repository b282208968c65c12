#include "grammar/number_range.h"

#include <algorithm>
#include <charconv>

#include "grammar/expression.h"
#include "grammar/json_text.h"

namespace qwen25::grammar {
namespace {

// A divisor with more would make automata of more states than that.
constexpr uint64_t kMaxDivisor = 100000;
constexpr size_t kMaxDivisorFraction = 9;

Expression AnyDigits() {
  return Repeat(Bytes('0', '9'), 0, kUnlimited);
}
Expression SomeDigits() {
  return Repeat(Bytes('0', '9'), 1, kUnlimited);
}
Expression AnyFraction() {
  return Optional(Sequence({Text("."), SomeDigits()}));
}
Expression AnyUnsigned() {
  return Sequence({SomeDigits(), AnyFraction()});
}
// Digits of which not all are zero.
Expression PositiveDigits() {
  return Sequence({Repeat(Text("0"), 0, kUnlimited), Bytes('1', '9'), AnyDigits()});
}

// The expressions below leave it to an intersection with all JSON numbers that there are no zeros in front.

// Fractions (with their point, or nothing) beyond 0.`digits`, and those that equal it if `includes`.
Expression FractionBeyond(const std::string& digits, bool includes) {
  std::vector<Expression> branches;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (digits[i] == '9') continue;
    const auto next = static_cast<uint8_t>(digits[i] + 1);
    branches.push_back(Sequence({Text("." + digits.substr(0, i)), Bytes(next, '9'), AnyDigits()}));
  }
  if (digits.empty() && includes) branches.push_back(Nothing());
  const Expression rest = includes ? (digits.empty() ? SomeDigits() : AnyDigits()) : PositiveDigits();
  branches.push_back(Sequence({Text("." + digits), rest}));
  return Choice(std::move(branches));
}

// Fractions below 0.`digits`, and those that equal it if `includes`.
Expression FractionBelow(const std::string& digits, bool includes) {
  std::vector<Expression> branches;
  const Expression zeros = Repeat(Text("0"), 1, kUnlimited);
  if (digits.empty()) return includes ? Optional(Sequence({Text("."), zeros})) : Never();
  branches.push_back(Nothing());
  for (size_t i = 0; i < digits.size(); ++i) {
    const std::string before = "." + digits.substr(0, i);
    if (i > 0) branches.push_back(Text(before));
    if (digits[i] == '0') continue;
    const auto last = static_cast<uint8_t>(digits[i] - 1);
    branches.push_back(Sequence({Text(before), Bytes('0', last), AnyDigits()}));
  }
  if (includes) branches.push_back(Sequence({Text("." + digits), Repeat(Text("0"), 0, kUnlimited)}));
  return Choice(std::move(branches));
}

std::string IntegerDigits(const Decimal& bound) {
  return bound.integer.empty() ? "0" : bound.integer;
}

Expression UnsignedBeyond(const Decimal& bound, bool includes) {
  const std::string digits = IntegerDigits(bound);
  const auto size = static_cast<uint32_t>(digits.size());
  std::vector<Expression> branches = {
      Sequence({Repeat(Bytes('0', '9'), size + 1, kUnlimited), AnyFraction()}),
      Sequence({Text(digits), FractionBeyond(bound.fraction, includes)})};
  for (uint32_t i = 0; i < size; ++i) {
    if (digits[i] == '9') continue;
    branches.push_back(Sequence({Text(digits.substr(0, i)), Bytes(static_cast<uint8_t>(digits[i] + 1), '9'),
                                 Repeat(Bytes('0', '9'), size - i - 1, size - i - 1), AnyFraction()}));
  }
  return Choice(std::move(branches));
}

Expression UnsignedBelow(const Decimal& bound, bool includes) {
  const std::string digits = IntegerDigits(bound);
  const auto size = static_cast<uint32_t>(digits.size());
  std::vector<Expression> branches = {Sequence({Text(digits), FractionBelow(bound.fraction, includes)})};
  if (size > 1) branches.push_back(Sequence({Repeat(Bytes('0', '9'), 1, size - 1), AnyFraction()}));
  for (uint32_t i = 0; i < size; ++i) {
    if (digits[i] == '0') continue;
    branches.push_back(Sequence({Text(digits.substr(0, i)), Bytes('0', static_cast<uint8_t>(digits[i] - 1)),
                                 Repeat(Bytes('0', '9'), size - i - 1, size - i - 1), AnyFraction()}));
  }
  return Choice(std::move(branches));
}

Expression AtLeast(const Decimal& bound, bool includes) {
  if (!bound.is_negative) return UnsignedBeyond(bound, includes);
  return Choice({AnyUnsigned(), Sequence({Text("-"), UnsignedBelow(bound, includes)})});
}

Expression AtMost(const Decimal& bound, bool includes) {
  if (bound.is_negative) return Sequence({Text("-"), UnsignedBeyond(bound, includes)});
  return Choice({Sequence({Text("-"), AnyUnsigned()}), UnsignedBelow(bound, includes)});
}

// A divisor as `value` / 10^`places`.
struct Divisor {
  uint64_t value;
  uint32_t places;
};

Result<Divisor> ToDivisor(const Decimal& decimal) {
  const std::string digits = decimal.integer + decimal.fraction;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || value > kMaxDivisor || decimal.fraction.size() > kMaxDivisorFraction) {
    return Unsupported(
        "a multipleOf of more than {} in units of its last digit, or {} digits behind the point", kMaxDivisor,
        kMaxDivisorFraction);
  }
  return Divisor{value, static_cast<uint32_t>(decimal.fraction.size())};
}

uint64_t PowerOfTen(uint32_t exponent, uint64_t modulus) {
  uint64_t power = 1 % modulus;
  for (uint32_t i = 0; i < exponent; ++i) power = power * 10 % modulus;
  return power;
}

// Numbers with at most `places` digits behind the point. States: the sign, and for each number of digits
// behind the point (0: no point yet; 1: just the point; n + 1: n digits) each remainder of the digits so far.
Automaton Multiples(const Divisor& divisor) {
  const auto count = static_cast<uint32_t>(divisor.value);
  const auto state = [&](uint32_t stage, uint64_t rest) {
    return 2 + stage * count + static_cast<uint32_t>(rest);
  };
  Automaton automaton;
  automaton.states.resize(2 + size_t{count} * (divisor.places + 2));
  const auto add_digits = [&](uint32_t from, uint32_t stage, uint64_t rest) {
    for (uint8_t digit = 0; digit < 10; ++digit) {
      const auto byte = static_cast<uint8_t>('0' + digit);
      automaton.states[from].bytes.push_back({byte, byte, state(stage, (rest * 10 + digit) % count)});
    }
  };
  automaton.states[0].bytes.push_back({'-', '-', 1});
  add_digits(0, 0, 0);
  add_digits(1, 0, 0);
  for (uint32_t stage = 0; stage < divisor.places + 2; ++stage) {
    const uint32_t num_digits = stage == 0 ? 0 : stage - 1;
    const uint64_t missing = PowerOfTen(divisor.places - num_digits, count);
    for (uint64_t rest = 0; rest < count; ++rest) {
      const uint32_t from = state(stage, rest);
      automaton.states[from].accepts = stage != 1 && rest * missing % count == 0;
      if (stage == 0 && divisor.places > 0)
        automaton.states[from].bytes.push_back({'.', '.', state(1, rest)});
      if (stage == 0 || num_digits < divisor.places) add_digits(from, stage == 0 ? 0 : stage + 1, rest);
    }
  }
  return automaton;
}

int CompareMagnitudes(const Decimal& a, const Decimal& b) {
  if (a.integer.size() != b.integer.size()) return a.integer.size() < b.integer.size() ? -1 : 1;
  const int order = a.integer.compare(b.integer);
  const int result = order != 0 ? order : a.fraction.compare(b.fraction);
  return (result > 0) - (result < 0);
}

}  // namespace

int Decimal::Compare(const Decimal& other) const {
  if (is_negative != other.is_negative) return is_negative ? -1 : 1;
  return is_negative ? -CompareMagnitudes(*this, other) : CompareMagnitudes(*this, other);
}

Decimal ToDecimal(const Json& number) {
  const std::string text = number.is_number_float() ? fmt::format("{}", number.get<double>()) : number.dump();
  std::string digits;
  int exponent = 0, num_behind_point = 0;
  bool behind_point = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == 'e') {
      const size_t begin = i + (text[i + 1] == '+' ? 2 : 1);
      std::from_chars(text.data() + begin, text.data() + text.size(), exponent);
      break;
    }
    if (text[i] == '.') behind_point = true;
    if (text[i] < '0' || text[i] > '9') continue;
    digits += text[i];
    num_behind_point += behind_point;
  }
  const int num_integer = static_cast<int>(digits.size()) - num_behind_point + exponent;
  if (num_integer < 0) digits.insert(0, static_cast<size_t>(-num_integer), '0');
  if (num_integer > static_cast<int>(digits.size())) digits.resize(static_cast<size_t>(num_integer), '0');
  const auto split = static_cast<size_t>(std::max(num_integer, 0));
  Decimal decimal = {text[0] == '-', digits.substr(0, split), digits.substr(split)};
  decimal.integer.erase(0, std::min(decimal.integer.find_first_not_of('0'), decimal.integer.size()));
  decimal.fraction.resize(decimal.fraction.find_last_not_of('0') + 1);
  decimal.is_negative &= !decimal.IsZero();
  return decimal;
}

void NumberRange::AddLeast(const Decimal& bound, bool excludes) {
  const int order = least ? bound.Compare(*least) : 1;
  if (order < 0) return;
  excludes_least = excludes || (order == 0 && excludes_least);
  least = bound;
}

void NumberRange::AddMost(const Decimal& bound, bool excludes) {
  const int order = most ? bound.Compare(*most) : -1;
  if (order > 0) return;
  excludes_most = excludes || (order == 0 && excludes_most);
  most = bound;
}

Result<bool> NumberRange::Contains(const Decimal& number) const {
  if (least && number.Compare(*least) < (excludes_least ? 1 : 0)) return false;
  if (most && number.Compare(*most) > (excludes_most ? -1 : 0)) return false;
  for (const Decimal& decimal : divisors) {
    QWEN25_TRY(const Divisor divisor, ToDivisor(decimal));
    std::string text = number.integer.empty() ? "0" : number.integer;
    if (!number.fraction.empty()) text += "." + number.fraction;
    if (!Accepts(Multiples(divisor), text)) return false;
  }
  return true;
}

Result<Automaton> CompileNumber(const NumberRange& range, NumberKind kind, Budget& budget) {
  const Expression all = kind == NumberKind::kInteger ? JsonText::AnyInteger() : JsonText::AnyNumber();
  QWEN25_TRY(Automaton numbers, Compile(all, budget));
  const auto intersect = [&](const Expression& expression) -> Status {
    QWEN25_TRY(const Automaton other, Compile(expression, budget));
    QWEN25_TRY(numbers, Intersect(numbers, other, budget));
    return {};
  };
  if (kind == NumberKind::kFraction) {
    const Expression fraction = Sequence({Optional(Text("-")), SomeDigits(), Text("."), PositiveDigits()});
    QWEN25_RETURN_IF_ERROR(intersect(fraction));
  }
  if (range.least) QWEN25_RETURN_IF_ERROR(intersect(AtLeast(*range.least, !range.excludes_least)));
  if (range.most) QWEN25_RETURN_IF_ERROR(intersect(AtMost(*range.most, !range.excludes_most)));
  for (const Decimal& decimal : range.divisors) {
    QWEN25_TRY(const Divisor divisor, ToDivisor(decimal));
    QWEN25_RETURN_IF_ERROR(budget.SpendSteps(divisor.value * (divisor.places + 2) * 10));
    QWEN25_TRY(numbers, Intersect(numbers, Multiples(divisor), budget));
  }
  return numbers;
}

}  // namespace qwen25::grammar
