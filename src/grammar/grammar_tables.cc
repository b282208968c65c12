#include "grammar/grammar_tables.h"

namespace qwen25::grammar {
namespace {

struct Edge {
  uint32_t from;
  uint32_t rule;  // that must be able to end; kUnlimited for none
};

// The states from which their rule can end.
std::vector<bool> FindLive(const GrammarTables& tables) {
  const size_t size = tables.states.size();
  std::vector<std::vector<Edge>> into(size);
  std::vector<std::vector<uint32_t>> waiting(size);  // by start of a rule: states whose calls need it
  std::vector<bool> live(size);
  std::vector<uint32_t> open;
  const auto mark = [&](uint32_t state) {
    if (!live[state]) live[state] = true, open.push_back(state);
  };
  for (uint32_t at = 0; at < size; ++at) {
    const GrammarTables::State& state = tables.states[at];
    for (uint32_t i = state.bytes_begin; i < state.bytes_end; ++i) {
      into[tables.bytes[i].target].push_back({at, kUnlimited});
    }
    for (uint32_t i = state.calls_begin; i < state.calls_end; ++i) {
      const CallEdge& call = tables.calls[i];
      into[call.target].push_back({at, call.least == 0 ? kUnlimited : call.rule});
    }
    if (state.accepts) mark(at);
  }
  while (!open.empty()) {
    const uint32_t state = open.back();
    open.pop_back();
    for (const Edge& edge : into[state]) {
      if (edge.rule == kUnlimited || live[edge.rule]) {
        mark(edge.from);
      } else {
        waiting[edge.rule].push_back(edge.from);
      }
    }
    for (const uint32_t from : waiting[state]) mark(from);
  }
  return live;
}

// Splits an edge into the parts whose bytes are there.
void AppendEdge(const ByteEdge& edge, const std::bitset<256>& bytes, std::vector<ByteEdge>& out) {
  bool continues = false;
  for (int byte = edge.first; byte <= edge.last; ++byte) {
    if (!bytes[byte]) {
      continues = false;
    } else if (continues) {
      out.back().last = static_cast<uint8_t>(byte);
    } else {
      out.push_back({static_cast<uint8_t>(byte), static_cast<uint8_t>(byte), edge.target});
      continues = true;
    }
  }
}

// Copies the tables; `keep` is called with each edge and the list to append to.
template <typename KeepBytes, typename KeepCall>
GrammarTables Filtered(const GrammarTables& tables, KeepBytes&& keep_bytes, KeepCall&& keep_call) {
  GrammarTables result = tables;
  result.bytes.clear();
  result.calls.clear();
  for (GrammarTables::State& state : result.states) {
    const GrammarTables::State old = state;
    state.bytes_begin = static_cast<uint32_t>(result.bytes.size());
    for (uint32_t i = old.bytes_begin; i < old.bytes_end; ++i) keep_bytes(tables.bytes[i], result.bytes);
    state.bytes_end = static_cast<uint32_t>(result.bytes.size());
    state.calls_begin = static_cast<uint32_t>(result.calls.size());
    for (uint32_t i = old.calls_begin; i < old.calls_end; ++i) keep_call(tables.calls[i], result.calls);
    state.calls_end = static_cast<uint32_t>(result.calls.size());
  }
  return result;
}

void CountKeys(GrammarTables& tables) {
  for (const auto& [begin, end] : tables.key_rules) {
    Automaton automaton;
    for (uint32_t at = begin; at < end; ++at) {
      Automaton::State& state = automaton.states.emplace_back();
      for (uint32_t i = tables.states[at].bytes_begin; i < tables.states[at].bytes_end; ++i) {
        const ByteEdge& edge = tables.bytes[i];
        state.bytes.push_back({edge.first, edge.last, edge.target - begin});
      }
      state.accepts = tables.states[at].accepts;
    }
    const std::vector<uint32_t> counts = CountTexts(automaton);
    for (uint32_t at = begin; at < end; ++at) tables.states[at].num_keys = counts[at - begin];
  }
}

}  // namespace

Result<GrammarTables> WithoutDeadEnds(const GrammarTables& tables, const std::bitset<256>& bytes) {
  const auto keep_all = [](const CallEdge& call, std::vector<CallEdge>& out) { out.push_back(call); };
  const GrammarTables usable =
      bytes.all()
          ? tables
          : Filtered(
                tables,
                [&](const ByteEdge& edge, std::vector<ByteEdge>& out) { AppendEdge(edge, bytes, out); },
                keep_all);
  const std::vector<bool> live = FindLive(usable);
  if (!live[tables.start])
    return InvalidArgument("no text matches: the rules contradict each other or never end");
  GrammarTables result = Filtered(
      usable,
      [&](const ByteEdge& edge, std::vector<ByteEdge>& out) {
        if (live[edge.target]) out.push_back(edge);
      },
      [&](CallEdge call, std::vector<CallEdge>& out) {
        if (!live[call.target] || (!live[call.rule] && call.least > 0)) return;
        if (!live[call.rule]) call.most = 0;  // what cannot be matched may be left out
        out.push_back(call);
      });
  CountKeys(result);
  return result;
}

}  // namespace qwen25::grammar
