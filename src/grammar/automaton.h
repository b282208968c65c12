// Finite automata over bytes. In a grammar each rule is one, whose edges are bytes or calls of other rules;
// the contents of strings are automata without calls, which can be intersected and subtracted.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "grammar/budget.h"

namespace qwen25::grammar {

inline constexpr uint32_t kUnlimited = UINT32_MAX;

struct ByteEdge {
  uint8_t first, last;  // inclusive
  uint32_t target;
  bool operator==(const ByteEdge&) const = default;
};

// Passed by a text that the rule matches `least` to `most` (or kUnlimited) times, one after the other.
struct CallEdge {
  uint32_t rule;
  uint32_t least, most;
  uint32_t target;
};

// Deterministic: the ranges of a state's byte edges are disjoint and ascending, and no two calls of a state
// are alike. State 0 is the start. There may be no state at all: nothing matches.
struct Automaton {
  struct State {
    std::vector<ByteEdge> bytes;
    std::vector<CallEdge> calls;
    bool accepts = false;
  };
  std::vector<State> states;
};

// Not deterministic, with edges that take no byte.
struct Nfa {
  struct State {
    std::vector<ByteEdge> bytes;
    std::vector<CallEdge> calls;
    std::vector<uint32_t> empty;
    std::vector<uint32_t> at_begin, at_end;  // taken only where the text begins or ends
  };
  std::vector<State> states;
  uint32_t start = 0, accept = 0;
  // A state from which every continuation is accepted that another state could accept; kUnlimited for none.
  uint32_t absorbing = kUnlimited;
};

// The subset construction, trimmed if there are no calls.
Result<Automaton> Determinize(const Nfa& nfa, Budget& budget);

// Of automata without calls, trimmed.
Result<Automaton> Intersect(const Automaton& a, const Automaton& b, Budget& budget);
Result<Automaton> Subtract(const Automaton& a, const Automaton& b, Budget& budget);

// Without the states from which no text is accepted. No calls.
Automaton Trimmed(const Automaton& automaton);

// The target of the edge for `byte`, or kUnlimited.
uint32_t Target(const Automaton& automaton, uint32_t state, uint8_t byte);
bool Accepts(const Automaton& automaton, std::string_view text);

// For each state the number of texts that lead from it to an end; kUnlimited if there are that many or more.
// The automaton is trimmed and has no calls.
std::vector<uint32_t> CountTexts(const Automaton& automaton);

// The number of code points of the longest accepted text (well-formed UTF-8), or kUnlimited.
uint32_t LongestText(const Automaton& automaton);

}  // namespace qwen25::grammar
