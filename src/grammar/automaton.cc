#include "grammar/automaton.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <unordered_map>

#include "base/hash.h"

namespace qwen25::grammar {
namespace {

struct SetHasher {
  size_t operator()(const std::vector<uint32_t>& set) const { return Hash64(std::as_bytes(std::span(set))); }
};

// Appends an edge, or widens the last one if it continues it.
void AddEdge(std::vector<ByteEdge>& edges, uint8_t first, uint8_t last, uint32_t target) {
  if (!edges.empty() && edges.back().target == target && edges.back().last + 1 == first) {
    edges.back().last = last;
  } else {
    edges.push_back({first, last, target});
  }
}

class SubsetConstruction {
 public:
  SubsetConstruction(const Nfa& nfa, Budget& budget)
      : nfa_(nfa), budget_(budget), seen_(nfa.states.size(), 0) {}

  Result<Automaton> Run() {
    QWEN25_RETURN_IF_ERROR(Intern({nfa_.start}, true).status());
    bool has_calls = false;
    for (size_t at = 0; at < sets_.size(); ++at) {
      QWEN25_RETURN_IF_ERROR(AddByteEdges(at));
      QWEN25_RETURN_IF_ERROR(AddCallEdges(at));
      has_calls |= !result_.states[at].calls.empty();
    }
    return has_calls ? std::move(result_) : Trimmed(result_);
  }

 private:
  // The states that `seeds` reach without a byte, as far as they have edges or accept; sorted.
  std::vector<uint32_t> Closure(std::vector<uint32_t> seeds, bool at_begin, bool at_end) {
    ++round_;
    std::vector<uint32_t> set, open = std::move(seeds);
    while (!open.empty()) {
      const uint32_t state = open.back();
      open.pop_back();
      if (std::exchange(seen_[state], round_) == round_) continue;
      const Nfa::State& from = nfa_.states[state];
      if (!from.bytes.empty() || !from.calls.empty() || !from.at_end.empty() || state == nfa_.accept) {
        set.push_back(state);
      }
      open.insert(open.end(), from.empty.begin(), from.empty.end());
      if (at_begin) open.insert(open.end(), from.at_begin.begin(), from.at_begin.end());
      if (at_end) open.insert(open.end(), from.at_end.begin(), from.at_end.end());
    }
    std::ranges::sort(set);
    return set;
  }

  Result<uint32_t> Intern(std::vector<uint32_t> seeds, bool at_begin) {
    std::vector<uint32_t> set = Closure(seeds, at_begin, false);
    QWEN25_RETURN_IF_ERROR(budget_.SpendSteps(1 + set.size()));
    if (nfa_.absorbing != kUnlimited && seen_[nfa_.absorbing] == round_) {
      set = Closure({nfa_.absorbing}, false, false);
    }
    bool accepts = std::ranges::binary_search(set, nfa_.accept);
    if (!accepts && std::ranges::any_of(set, [&](uint32_t s) { return !nfa_.states[s].at_end.empty(); })) {
      accepts = std::ranges::binary_search(Closure(set, at_begin, true), nfa_.accept);
    }
    // The start is a set of its own: assertions of the beginning hold there only.
    if (at_begin) set.push_back(kUnlimited);
    const auto [found, is_new] = ids_.emplace(set, static_cast<uint32_t>(sets_.size()));
    if (!is_new) return found->second;
    QWEN25_RETURN_IF_ERROR(budget_.SpendStates(1));
    if (at_begin) set.pop_back();
    sets_.push_back(std::move(set));
    result_.states.emplace_back().accepts = accepts;
    return found->second;
  }

  Status AddByteEdges(size_t at) {
    std::array<bool, 257> is_bound{};
    std::vector<ByteEdge> edges;
    for (const uint32_t state : sets_[at]) {
      for (const ByteEdge& edge : nfa_.states[state].bytes) {
        edges.push_back(edge);
        is_bound[edge.first] = is_bound[edge.last + 1] = true;
      }
    }
    if (edges.empty()) return {};
    std::ranges::sort(edges, {}, &ByteEdge::first);
    std::vector<ByteEdge> active, result;
    size_t next = 0;
    for (int first = 0; first < 256;) {
      int end = first + 1;
      while (end < 256 && !is_bound[end]) ++end;
      for (; next < edges.size() && edges[next].first <= first; ++next) active.push_back(edges[next]);
      std::erase_if(active, [&](const ByteEdge& edge) { return edge.last < first; });
      if (!active.empty()) {
        std::vector<uint32_t> targets;
        for (const ByteEdge& edge : active) targets.push_back(edge.target);
        QWEN25_TRY(const uint32_t target, Intern(std::move(targets), false));
        AddEdge(result, static_cast<uint8_t>(first), static_cast<uint8_t>(end - 1), target);
      }
      first = end;
    }
    result_.states[at].bytes = std::move(result);
    return {};
  }

  Status AddCallEdges(size_t at) {
    std::map<std::array<uint32_t, 3>, std::vector<uint32_t>> calls;
    for (const uint32_t state : sets_[at]) {
      for (const CallEdge& edge : nfa_.states[state].calls) {
        calls[{edge.rule, edge.least, edge.most}].push_back(edge.target);
      }
    }
    for (auto& [call, targets] : calls) {
      QWEN25_TRY(const uint32_t target, Intern(std::move(targets), false));
      result_.states[at].calls.push_back({call[0], call[1], call[2], target});
    }
    return {};
  }

  const Nfa& nfa_;
  Budget& budget_;
  std::vector<uint32_t> seen_;  // by state: the round in which it was reached last
  uint32_t round_ = 0;
  std::vector<std::vector<uint32_t>> sets_;
  std::unordered_map<std::vector<uint32_t>, uint32_t, SetHasher> ids_;
  Automaton result_;
};

// Pairs of states of `a` and `b`, where `b` may have ended (kUnlimited) if `subtracts`.
Result<Automaton> Product(const Automaton& a, const Automaton& b, bool subtracts, Budget& budget) {
  Automaton result;
  if (a.states.empty() || (b.states.empty() && !subtracts)) return result;
  std::vector<std::pair<uint32_t, uint32_t>> pairs;
  std::unordered_map<uint64_t, uint32_t> ids;
  const auto intern = [&](uint32_t state_a, uint32_t state_b) {
    const auto [found, is_new] =
        ids.emplace(uint64_t{state_a} << 32 | state_b, static_cast<uint32_t>(pairs.size()));
    if (is_new) pairs.emplace_back(state_a, state_b);
    return found->second;
  };
  intern(0, b.states.empty() ? kUnlimited : 0);
  for (size_t at = 0; at < pairs.size(); ++at) {
    const auto [state_a, state_b] = pairs[at];
    const bool accepts_b = state_b != kUnlimited && b.states[state_b].accepts;
    Automaton::State state;
    state.accepts = a.states[state_a].accepts && accepts_b != subtracts;
    static const std::vector<ByteEdge> kNone;
    const std::vector<ByteEdge>& edges_b = state_b == kUnlimited ? kNone : b.states[state_b].bytes;
    for (const ByteEdge& edge : a.states[state_a].bytes) {
      int first = edge.first;
      auto other = std::ranges::lower_bound(edges_b, edge.first, {}, &ByteEdge::last);
      while (first <= edge.last) {
        const bool in_gap = other == edges_b.end() || other->first > first;
        int last = edge.last;
        if (other != edges_b.end()) last = std::min<int>(last, in_gap ? other->first - 1 : other->last);
        if (!in_gap || subtracts) {
          AddEdge(state.bytes, static_cast<uint8_t>(first), static_cast<uint8_t>(last),
                  intern(edge.target, in_gap ? kUnlimited : other->target));
        }
        if (!in_gap) ++other;
        first = last + 1;
      }
    }
    QWEN25_RETURN_IF_ERROR(budget.SpendSteps(1 + state.bytes.size()));
    QWEN25_RETURN_IF_ERROR(budget.SpendStates(1));
    result.states.push_back(std::move(state));
  }
  return Trimmed(result);
}

// For each state, the states with an edge to it.
std::vector<std::vector<uint32_t>> Predecessors(const Automaton& automaton) {
  std::vector<std::vector<uint32_t>> result(automaton.states.size());
  for (uint32_t state = 0; state < automaton.states.size(); ++state) {
    for (const ByteEdge& edge : automaton.states[state].bytes) result[edge.target].push_back(state);
  }
  return result;
}

// The states in an order in which edges lead backwards; those on and before cycles are left out.
std::vector<uint32_t> OrderFromEnds(const Automaton& automaton) {
  const std::vector<std::vector<uint32_t>> predecessors = Predecessors(automaton);
  std::vector<size_t> num_open;
  std::vector<uint32_t> order;
  for (uint32_t state = 0; state < automaton.states.size(); ++state) {
    num_open.push_back(automaton.states[state].bytes.size());
    if (num_open.back() == 0) order.push_back(state);
  }
  for (size_t at = 0; at < order.size(); ++at) {
    for (const uint32_t before : predecessors[order[at]]) {
      if (--num_open[before] == 0) order.push_back(before);
    }
  }
  return order;
}

}  // namespace

Result<Automaton> Determinize(const Nfa& nfa, Budget& budget) {
  return SubsetConstruction(nfa, budget).Run();
}

Result<Automaton> Intersect(const Automaton& a, const Automaton& b, Budget& budget) {
  return Product(a, b, false, budget);
}

Result<Automaton> Subtract(const Automaton& a, const Automaton& b, Budget& budget) {
  return Product(a, b, true, budget);
}

Automaton Trimmed(const Automaton& automaton) {
  const std::vector<std::vector<uint32_t>> predecessors = Predecessors(automaton);
  std::vector<bool> is_useful(automaton.states.size());
  std::vector<uint32_t> open;
  for (uint32_t state = 0; state < automaton.states.size(); ++state) {
    if (automaton.states[state].accepts) is_useful[state] = true, open.push_back(state);
  }
  while (!open.empty()) {
    const uint32_t state = open.back();
    open.pop_back();
    for (const uint32_t before : predecessors[state]) {
      if (!is_useful[before]) is_useful[before] = true, open.push_back(before);
    }
  }
  Automaton result;
  if (is_useful.empty() || !is_useful[0]) return result;
  std::vector<uint32_t> renamed(automaton.states.size());
  uint32_t next = 0;
  for (uint32_t state = 0; state < automaton.states.size(); ++state) {
    if (is_useful[state]) renamed[state] = next++;
  }
  for (uint32_t state = 0; state < automaton.states.size(); ++state) {
    if (!is_useful[state]) continue;
    Automaton::State& kept = result.states.emplace_back();
    kept.accepts = automaton.states[state].accepts;
    for (const ByteEdge& edge : automaton.states[state].bytes) {
      if (is_useful[edge.target]) kept.bytes.push_back({edge.first, edge.last, renamed[edge.target]});
    }
  }
  return result;
}

uint32_t Target(const Automaton& automaton, uint32_t state, uint8_t byte) {
  const std::vector<ByteEdge>& edges = automaton.states[state].bytes;
  const auto edge = std::ranges::lower_bound(edges, byte, {}, &ByteEdge::last);
  return edge != edges.end() && edge->first <= byte ? edge->target : kUnlimited;
}

bool Accepts(const Automaton& automaton, std::string_view text) {
  if (automaton.states.empty()) return false;
  uint32_t state = 0;
  for (const char c : text) {
    state = Target(automaton, state, static_cast<uint8_t>(c));
    if (state == kUnlimited) return false;
  }
  return automaton.states[state].accepts;
}

std::vector<uint32_t> CountTexts(const Automaton& automaton) {
  std::vector<uint32_t> counts(automaton.states.size(), kUnlimited);
  for (const uint32_t state : OrderFromEnds(automaton)) {
    uint64_t count = automaton.states[state].accepts;
    for (const ByteEdge& edge : automaton.states[state].bytes) {
      count += uint64_t{counts[edge.target]} * (edge.last - edge.first + 1u);
      count = std::min<uint64_t>(count, kUnlimited);
    }
    counts[state] = static_cast<uint32_t>(count);
  }
  return counts;
}

uint32_t LongestText(const Automaton& automaton) {
  if (automaton.states.empty()) return 0;
  std::vector<uint32_t> longest(automaton.states.size(), kUnlimited);
  for (const uint32_t state : OrderFromEnds(automaton)) {
    uint32_t most = 0;
    for (const ByteEdge& edge : automaton.states[state].bytes) {
      const bool continues_character = edge.first >= 0x80 && edge.last < 0xC0;
      most = std::max(most, longest[edge.target] + (continues_character ? 0 : 1));
    }
    longest[state] = most;
  }
  return longest[0];
}

}  // namespace qwen25::grammar
