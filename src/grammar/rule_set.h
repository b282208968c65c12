// The rules of a grammar while it is being compiled.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "grammar/automaton.h"
#include "grammar/budget.h"
#include "grammar/expression.h"
#include "grammar/grammar_tables.h"

namespace qwen25::grammar {

class RuleSet {
 public:
  explicit RuleSet(const GrammarLimits& limits) : budget_(limits) {}

  Budget& budget() { return budget_; }

  // A new rule, whose expression is set later; `name` is for errors.
  uint32_t Add(std::string name) { return Add(std::move(name), Never()); }
  uint32_t Add(std::string name, Expression expression);
  void Set(uint32_t rule, Expression expression) { rules_[rule].expression = std::move(expression); }
  void MarkAsKeys(uint32_t rule) { rules_[rule].has_keys = true; }         // GrammarTables::key_rules
  void MarkAsStringCharacter(uint32_t rule) { string_character_ = rule; }  // GrammarTables::string_character

  // The tables of the grammar that begins with `start`. kInvalidArgument if no text matches, for a rule that
  // calls itself before it takes a byte, and for a counted repeat of what may be empty through other rules.
  Result<GrammarTables> Finish(uint32_t start);

 private:
  struct Rule {
    std::string name;
    Expression expression;
    bool has_keys = false;
    Automaton automaton;
    bool may_be_empty = false;
    std::vector<uint32_t> first_calls;  // rules that are called before a byte is taken
  };

  Status CompileAll();
  void FindFirstCalls();
  bool UpdateFirstCalls(Rule& rule) const;
  Status CheckLeftRecursion() const;
  Status CheckRepeats();
  GrammarTables Flatten(uint32_t start) const;

  Budget budget_;
  std::vector<Rule> rules_;
  uint32_t string_character_ = kUnlimited;
};

}  // namespace qwen25::grammar
