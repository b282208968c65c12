// Regular expressions over bytes as trees, and their automata. All front ends (JSON Schema, patterns, GBNF)
// make these.
#pragma once

#include <unicode/uniset.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "grammar/automaton.h"
#include "grammar/budget.h"

namespace qwen25::grammar {

struct ExpressionNode;
using Expression = std::shared_ptr<const ExpressionNode>;

struct ExpressionNode {
  enum class Kind { kNever, kBytes, kSequence, kChoice, kRepeat, kCall, kAutomaton, kAtBegin, kAtEnd };

  Kind kind = Kind::kNever;
  uint8_t first = 0, last = 0;                 // of kBytes
  std::vector<Expression> children;            // of kSequence and kChoice; one of kRepeat
  uint32_t least = 0, most = 0;                // of kRepeat and kCall
  uint32_t rule = 0;                           // of kCall
  std::shared_ptr<const Automaton> automaton;  // of kAutomaton
  // The number of states that Thompson's construction makes of this, saturating.
  uint32_t size = 1;
};

Expression Never();
Expression Nothing();  // the empty text
Expression Bytes(uint8_t first, uint8_t last);
Expression Text(std::string_view bytes);
Expression Sequence(std::vector<Expression> parts);
Expression Choice(std::vector<Expression> branches);
Expression Repeat(Expression part, uint32_t least, uint32_t most);
Expression Optional(Expression part);
// The rule `least` to `most` times; counted, not written out.
Expression CallOf(uint32_t rule, uint32_t least = 1, uint32_t most = 1);
Expression Embedded(Automaton automaton);  // without calls
Expression BeginOfText();
Expression EndOfText();

// One code point of the set in UTF-8; surrogates are left out.
Expression Characters(const icu::UnicodeSet& set);
// Any code point.
Expression AnyCharacter();

// Whether every text of the expression passes BeginOfText first (EndOfText last).
bool StartsAtBegin(const Expression& expression);
bool StopsAtEnd(const Expression& expression);
bool HasAssertions(const Expression& expression);

// Makes a rule of an expression whose repeats are counted instead of written out; returns its number.
using MakeRule = std::function<uint32_t(Expression part)>;

// The automaton of the whole text. Repeats of more than kMaxWrittenOut states become calls if `make_rule` is
// given, else they are written out as far as the budget lasts.
Result<Automaton> Compile(const Expression& expression, Budget& budget, const MakeRule& make_rule = nullptr);
// The automaton of the texts of well-formed UTF-8 in which the expression is found somewhere.
Result<Automaton> CompileSearch(const Expression& expression, Budget& budget);

inline constexpr uint32_t kMaxWrittenOut = 256;

}  // namespace qwen25::grammar
