// JSON numbers between bounds.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "grammar/automaton.h"

namespace qwen25::grammar {

// A number as its decimal digits, without zeros at either end: 12.50 is {"12", "5"}, 0.5 is {"", "5"}.
struct Decimal {
  bool is_negative = false;
  std::string integer, fraction;

  bool IsZero() const { return integer.empty() && fraction.empty(); }
  // -1, 0 or 1, as this is less than, equal to or greater than `other`.
  int Compare(const Decimal& other) const;
};

// Of a JSON number.
Decimal ToDecimal(const Json& number);

struct NumberRange {
  std::optional<Decimal> least, most;
  bool excludes_least = false, excludes_most = false;
  std::vector<Decimal> divisors;  // positive; the number is a multiple of each

  bool IsAny() const { return !least && !most && divisors.empty(); }
  // Narrows the range.
  void AddLeast(const Decimal& bound, bool excludes);
  void AddMost(const Decimal& bound, bool excludes);
  // Whether the bounds and divisors hold.
  Result<bool> Contains(const Decimal& number) const;
};

enum class NumberKind { kAny, kInteger, kFraction };  // kFraction: no integer

// Texts of the numbers in the range: integers without a fraction, none in scientific notation unless any
// number is in it. kUnsupported for divisors with too many digits.
Result<Automaton> CompileNumber(const NumberRange& range, NumberKind kind, Budget& budget);

}  // namespace qwen25::grammar
