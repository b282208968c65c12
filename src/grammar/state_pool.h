// The states that a text can be in, interned: equal states have equal ids, and steps between them are
// remembered.
//
// A state is a set of places in the grammar's automata, each with the stacks of calls that lead to it. A node
// stands for a set of stacks: its frames are the possible top entries, each with the node of what is below.
// Nodes are interned too, so states share their stacks, and a state is copied by copying its id.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "grammar/grammar_tables.h"

namespace qwen25::grammar {

using StateId = uint32_t;
inline constexpr StateId kDead = 0;  // no text that is allowed leads here

// Not thread-safe.
class StatePool {
 public:
  explicit StatePool(const GrammarTables& tables);

  struct Frame {
    uint32_t call;  // index in GrammarTables::calls, or kBottom
    uint32_t
        count;  // how many texts of a counted call are complete; no more than its least if it is unlimited
    uint32_t below;  // node
    bool operator==(const Frame&) const = default;
    auto operator<=>(const Frame&) const = default;
  };
  // A place from which bytes can be taken.
  struct Place {
    uint32_t state;  // of the tables
    uint32_t node;
    bool operator==(const Place&) const = default;
    auto operator<=>(const Place&) const = default;
  };
  static constexpr uint32_t kBottom = UINT32_MAX;  // the frame below which the whole text ends

  StateId start() const { return start_; }
  // The state after `byte`, or kDead.
  StateId Step(StateId state, uint8_t byte) {
    const StateId known = steps_[size_t{state} * num_classes_ + classes_[byte]];
    return known != kUnknown ? known : ComputeStep(state, byte);
  }
  bool may_end(StateId state) const { return states_[state].may_end; }
  std::span<const Place> places(StateId state) const {
    return std::span(places_).subspan(states_[state].begin, states_[state].size);
  }
  std::span<const Frame> frames(uint32_t node) const {
    return std::span(frames_).subspan(nodes_[node].begin, nodes_[node].size);
  }
  // The bytes that lead anywhere.
  std::bitset<256> NextBytes(StateId state) const;
  const GrammarTables& tables() const { return tables_; }

  // Memory in use, in bytes, roughly.
  size_t bytes() const;
  // Copies a state of another pool of the same tables.
  StateId Import(const StatePool& from, StateId state);

 private:
  static constexpr StateId kUnknown = UINT32_MAX;
  struct Slice {
    size_t begin;
    uint32_t size;
    bool may_end;  // of states
  };
  struct Fresh {
    Place place;
    bool is_entry;  // of a counted call: nothing of its text has been taken
    bool operator==(const Fresh&) const = default;
  };

  void SetByteClasses();
  StateId ComputeStep(StateId state, uint8_t byte);
  // Follows calls and returns from `fresh_` on; the result is the interned state.
  StateId Close();
  bool IsRepeat(size_t at);
  void FollowCalls(Place place);
  void FollowReturns(Place place, bool is_entry);
  void EnterOrPass(uint32_t call, uint32_t count, uint32_t below);
  StateId InternState(std::vector<Place>& places, bool may_end);
  // The frames are sorted, with at most one for a call and count.
  uint32_t InternNode(std::span<const Frame> frames);
  uint32_t Union(uint32_t a, uint32_t b);
  uint32_t ImportNode(const StatePool& from, uint32_t node, std::unordered_map<uint32_t, uint32_t>& copies);

  const GrammarTables& tables_;
  std::array<uint8_t, 256> classes_{};  // bytes that no edge tells apart
  size_t num_classes_ = 0;
  std::vector<StateId> steps_;  // [state, class]
  std::vector<Slice> states_, nodes_;
  std::vector<Place> places_;
  std::vector<Frame> frames_;
  std::unordered_multimap<uint64_t, uint32_t> state_ids_, node_ids_;  // by hash
  std::unordered_map<uint64_t, uint32_t> unions_;
  StateId start_ = kDead;

  std::vector<Fresh> fresh_;  // of the closure at work
  std::unordered_set<uint64_t> seen_;
  std::vector<Place> closed_;
  bool closed_may_end_ = false;
};

}  // namespace qwen25::grammar
