#include "grammar/rule_set.h"

#include <algorithm>

namespace qwen25::grammar {

uint32_t RuleSet::Add(std::string name, Expression expression) {
  rules_.push_back({.name = std::move(name), .expression = std::move(expression)});
  return static_cast<uint32_t>(rules_.size() - 1);
}

Result<GrammarTables> RuleSet::Finish(uint32_t start) {
  QWEN25_RETURN_IF_ERROR(CompileAll());
  FindFirstCalls();
  QWEN25_RETURN_IF_ERROR(CheckLeftRecursion());
  QWEN25_RETURN_IF_ERROR(CheckRepeats());
  return WithoutDeadEnds(Flatten(start), std::bitset<256>().set());
}

Status RuleSet::CompileAll() {
  for (size_t i = 0; i < rules_.size(); ++i) {  // the list grows while repeats become rules
    const std::string name = rules_[i].name;
    const MakeRule make_rule = [&](Expression part) { return Add(name, std::move(part)); };
    const Expression expression = std::move(rules_[i].expression);
    Result<Automaton> automaton = Compile(expression, budget_, make_rule);
    if (!automaton.ok()) return {automaton.status().code(), name + ": " + automaton.status().message()};
    if (automaton->states.empty()) automaton->states.emplace_back();  // every rule has a start
    rules_[i].automaton = std::move(*automaton);
  }
  return {};
}

// Rounds until nothing changes; each makes at least one more rule one that may be empty.
void RuleSet::FindFirstCalls() {
  for (bool changed = true; changed;) {
    changed = false;
    for (Rule& rule : rules_) changed |= UpdateFirstCalls(rule);
  }
}

bool RuleSet::UpdateFirstCalls(Rule& rule) const {
  const Automaton& automaton = rule.automaton;
  std::vector<uint32_t> open = {0}, seen = {0};
  rule.first_calls.clear();
  bool may_be_empty = false;
  while (!open.empty()) {
    const Automaton::State& state = automaton.states[open.back()];
    open.pop_back();
    may_be_empty |= state.accepts;
    for (const CallEdge& call : state.calls) {
      rule.first_calls.push_back(call.rule);
      const bool passes = call.least == 0 || rules_[call.rule].may_be_empty;
      if (!passes || std::ranges::find(seen, call.target) != seen.end()) continue;
      seen.push_back(call.target);
      open.push_back(call.target);
    }
  }
  return std::exchange(rule.may_be_empty, may_be_empty) != may_be_empty;
}

// Removes rules that no other rule calls first, again and again; what is left is on a cycle or behind one.
Status RuleSet::CheckLeftRecursion() const {
  std::vector<size_t> num_callers(rules_.size());
  for (const Rule& rule : rules_) {
    for (const uint32_t called : rule.first_calls) ++num_callers[called];
  }
  std::vector<uint32_t> open;
  for (uint32_t i = 0; i < rules_.size(); ++i) {
    if (num_callers[i] == 0) open.push_back(i);
  }
  while (!open.empty()) {
    const uint32_t rule = open.back();
    open.pop_back();
    for (const uint32_t called : rules_[rule].first_calls) {
      if (--num_callers[called] == 0) open.push_back(called);
    }
  }
  for (size_t i = 0; i < rules_.size(); ++i) {
    if (num_callers[i] == 0) continue;
    return InvalidArgument(
        "{}: rules call each other, here or before, and take no character in between; rewrite left recursion "
        "(\"list ::= list item\") as a repeat (\"list ::= item+\")",
        rules_[i].name);
  }
  return {};
}

// A counted repeat of what may be empty need not be counted up to its least number.
Status RuleSet::CheckRepeats() {
  for (Rule& rule : rules_) {
    for (Automaton::State& state : rule.automaton.states) {
      for (CallEdge& call : state.calls) {
        if (call.least == 1 && call.most == 1) continue;
        const Rule& repeated = rules_[call.rule];
        if (!repeated.may_be_empty) continue;
        call.least = 0;
        if (call.most == 1 || call.most == kUnlimited || repeated.automaton.states[0].calls.empty()) continue;
        return Unsupported(
            "{}: up to {} repeats of a part that may be empty; repeat it without a limit, or only "
            "what is not empty",
            rule.name, call.most);
      }
    }
  }
  return {};
}

GrammarTables RuleSet::Flatten(uint32_t start) const {
  std::vector<uint32_t> starts;
  uint32_t num_states = 0;
  for (const Rule& rule : rules_) {
    starts.push_back(num_states);
    num_states += static_cast<uint32_t>(rule.automaton.states.size());
  }
  GrammarTables tables;
  tables.start = starts[start];
  if (string_character_ != kUnlimited) tables.string_character = starts[string_character_];
  tables.states.reserve(num_states);
  for (size_t i = 0; i < rules_.size(); ++i) {
    for (const Automaton::State& from : rules_[i].automaton.states) {
      GrammarTables::State state = {.bytes_begin = static_cast<uint32_t>(tables.bytes.size()),
                                    .bytes_end = 0,
                                    .calls_begin = static_cast<uint32_t>(tables.calls.size()),
                                    .calls_end = 0,
                                    .accepts = from.accepts,
                                    .num_keys = 0,
                                    .takes_plain = false};
      for (const ByteEdge& edge : from.bytes) {
        tables.bytes.push_back({edge.first, edge.last, starts[i] + edge.target});
      }
      for (const CallEdge& call : from.calls) {
        tables.calls.push_back({starts[call.rule], call.least, call.most, starts[i] + call.target});
      }
      state.bytes_end = static_cast<uint32_t>(tables.bytes.size());
      state.calls_end = static_cast<uint32_t>(tables.calls.size());
      tables.states.push_back(state);
    }
    if (rules_[i].has_keys) {
      tables.key_rules.emplace_back(starts[i], static_cast<uint32_t>(tables.states.size()));
    }
  }
  return tables;
}

}  // namespace qwen25::grammar
