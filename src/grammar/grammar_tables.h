// A compiled grammar as the matcher reads it: the states of all rules' automata in one table.
#pragma once

#include <bitset>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/status.h"
#include "grammar/automaton.h"

namespace qwen25::grammar {

struct GrammarTables {
  struct State {
    uint32_t bytes_begin, bytes_end;  // in `bytes`
    uint32_t calls_begin, calls_end;  // in `calls`
    bool accepts;                     // its rule may end here
    // In `key_rules`: how many texts lead from here to the rule's end, or kUnlimited for that many and more.
    // 0 in other rules.
    uint32_t num_keys;
    // Whether any plain characters (TokenTrie) of usable bytes may follow, however many.
    bool takes_plain;
  };
  // Ids of states are indices here; `rule` of a call is the state where the called rule starts.
  std::vector<State> states;
  std::vector<ByteEdge> bytes;
  std::vector<CallEdge> calls;
  uint32_t start = 0;
  // The start of the rule that matches one character of a JSON string; kUnlimited if there is none.
  uint32_t string_character = kUnlimited;
  // The states, from first to before last, of rules without calls that match keys no property names.
  std::vector<std::pair<uint32_t, uint32_t>> key_rules;
  // Whether the text is JSON, so that no object may have a key twice.
  bool is_json = false;
};

// The tables without the edges that need other bytes than `bytes`, and without states from which the text
// cannot end. Sets num_keys and takes_plain. kInvalidArgument if no text is left.
Result<GrammarTables> WithoutDeadEnds(const GrammarTables& tables, const std::bitset<256>& bytes);

}  // namespace qwen25::grammar
