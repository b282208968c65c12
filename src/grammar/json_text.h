// How JSON is written: strings, keys, whitespace, values without a schema.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "grammar/expression.h"
#include "grammar/rule_set.h"

namespace qwen25::grammar {

// The rules that all JSON grammars share, each made when it is first asked for. A value can be written in
// many ways; these rules write numbers without a limit on digits only where that cannot overflow a double,
// and names of keys in one way only, so that equal keys are equal bytes.
class JsonText {
 public:
  JsonText(RuleSet& rules, bool allow_whitespace) : rules_(rules), allow_whitespace_(allow_whitespace) {}

  // Between tokens: where a line may break, and where only a space may stand.
  Expression Break();
  Expression Space() const;

  // A string of `least` to `most` code points, quotes included; any escapes.
  Expression StringOfLength(uint32_t least, uint32_t most);
  // The rest of a string behind its first quote, last quote included, whose contents `contents` accepts
  // (well-formed UTF-8). Only characters that must be escaped are.
  Automaton WithEscapes(const Automaton& contents) const;
  // Quotes included.
  Expression StringOf(const Automaton& contents) const;
  Expression StringLiteral(std::string_view contents) const;
  // A constant, its keys in the given order.
  Expression Literal(const Json& value);

  // Well-formed UTF-8.
  Result<Automaton> AnyText();
  static Expression AnyNumber();
  static Expression AnyInteger();

  Result<uint32_t> AnyValue();
  Result<uint32_t> AnyObject();
  // [ ] and { } around what stands between: `first`, then `next` with its comma any number of times. Nothing
  // at all may stand between them, too.
  Expression List(char open, Expression item, char close);

 private:
  Expression Character();

  RuleSet& rules_;
  bool allow_whitespace_;
  uint32_t break_ = kUnlimited, character_ = kUnlimited, value_ = kUnlimited, object_ = kUnlimited;
};

}  // namespace qwen25::grammar
