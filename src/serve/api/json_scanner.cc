#include "serve/api/json_scanner.h"

#include "base/check.h"

namespace qwen25 {
namespace {

bool IsSpace(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}
bool IsHexDigit(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

}  // namespace

JsonScanner::Step JsonScanner::Next(char c) {
  switch (state_) {
    case State::kString:
    case State::kEscape:
    case State::kHex:
      return InString(c);
    case State::kLiteral:
      if (c != literal_[0]) return Error();
      literal_.remove_prefix(1);
      return literal_.empty() ? EndValue() : Step();
    case State::kMinus:
    case State::kZero:
    case State::kDigits:
    case State::kPoint:
    case State::kFraction:
    case State::kExponent:
    case State::kExponentSign:
    case State::kExponentDigits:
      return InNumber(c);
    case State::kDone:
      QWEN25_CHECK(false);
      return Error();
    default:
      break;
  }
  if (IsSpace(c)) return {};
  switch (state_) {
    case State::kObject:
      return c == '{' ? BeginValue(c) : Error();
    case State::kFirstValue:
      if (c == ']') return AfterValue(c);
      [[fallthrough]];
    case State::kValue:
      return BeginValue(c);
    case State::kFirstKey:
      if (c == '}') return AfterValue(c);
      [[fallthrough]];
    case State::kKey:
      return BeginKey(c);
    case State::kColon:
      if (c != ':') return Error();
      state_ = State::kValue;
      return {};
    default:
      return AfterValue(c);
  }
}

JsonScanner::Step JsonScanner::BeginValue(char c) {
  const Step begun = {.begins = Part::kValue, .level = open_.size()};
  switch (c) {
    case '{':
    case '[':
      if (open_.size() >= kMaxDepth) return Error();
      open_ += c;
      state_ = c == '{' ? State::kFirstKey : State::kFirstValue;
      return begun;
    case '"':
      is_key_ = false;
      state_ = State::kString;
      return begun;
    case 't':
      literal_ = "rue";
      break;
    case 'f':
      literal_ = "alse";
      break;
    case 'n':
      literal_ = "ull";
      break;
    default:
      if (c != '-' && !IsDigit(c)) return Error();
      state_ = c == '-' ? State::kMinus : c == '0' ? State::kZero : State::kDigits;
      return begun;
  }
  state_ = State::kLiteral;
  return begun;
}

JsonScanner::Step JsonScanner::BeginKey(char c) {
  if (c != '"') return Error();
  is_key_ = true;
  state_ = State::kString;
  return {.begins = Part::kKey, .level = open_.size()};
}

JsonScanner::Step JsonScanner::InString(char c) {
  if (state_ == State::kHex) {
    if (!IsHexDigit(c)) return Error();
    if (--num_hex_ == 0) state_ = State::kString;
    return {};
  }
  if (state_ == State::kEscape) {
    if (std::string_view("\"\\/bfnrtu").find(c) == std::string_view::npos) return Error();
    num_hex_ = 4;
    state_ = c == 'u' ? State::kHex : State::kString;
    return {};
  }
  if (static_cast<unsigned char>(c) < 0x20) return Error();
  if (c == '\\') state_ = State::kEscape;
  if (c != '"') return {};
  if (!is_key_) return EndValue();
  state_ = State::kColon;
  return {.ends = Part::kKey, .level = open_.size()};
}

JsonScanner::Step JsonScanner::InNumber(char c) {
  const bool is_digit = IsDigit(c);
  const bool is_exponent = c == 'e' || c == 'E';
  State next = State::kDone;  // the number has ended
  switch (state_) {
    case State::kMinus:
      if (is_digit) next = c == '0' ? State::kZero : State::kDigits;
      break;
    case State::kZero:
    case State::kDigits:
      if (is_digit && state_ == State::kDigits) next = State::kDigits;
      if (c == '.') next = State::kPoint;
      if (is_exponent) next = State::kExponent;
      break;
    case State::kPoint:
    case State::kFraction:
      if (is_digit) next = State::kFraction;
      if (is_exponent && state_ == State::kFraction) next = State::kExponent;
      break;
    default:
      if (is_digit) next = State::kExponentDigits;
      if ((c == '+' || c == '-') && state_ == State::kExponent) next = State::kExponentSign;
      break;
  }
  if (next != State::kDone) {
    state_ = next;
    return {};
  }
  const bool is_complete = state_ == State::kZero || state_ == State::kDigits || state_ == State::kFraction ||
                           state_ == State::kExponentDigits;
  if (!is_complete) return Error();
  const Step step = IsSpace(c) ? Step() : AfterValue(c);
  if (step.ok && IsSpace(c)) state_ = State::kMore;
  return step;
}

JsonScanner::Step JsonScanner::AfterValue(char c) {
  const char open = open_.back();
  if (c == ',') {
    state_ = open == '{' ? State::kKey : State::kValue;
    return {};
  }
  if (c != (open == '{' ? '}' : ']')) return Error();
  open_.pop_back();
  return EndValue();
}

JsonScanner::Step JsonScanner::EndValue() {
  state_ = open_.empty() ? State::kDone : State::kMore;
  return {.ends = Part::kValue, .level = open_.size(), .done = open_.empty()};
}

}  // namespace qwen25
