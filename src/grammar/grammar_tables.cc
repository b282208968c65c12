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

// Bytes that UTF-8 has at one place of a character, and what it has behind them.
enum class Place { kLead, kLast, kLastTwo, kLastThree, kAfterE0, kAfterEd, kAfterF0, kAfterF4 };
struct PlaceBytes {
  Place place;
  uint8_t first, last;
  Place next;
};
constexpr PlaceBytes kPlainBytes[] = {
    {Place::kLead, 0x20, '"' - 1, Place::kLead},    {Place::kLead, '"' + 1, '\\' - 1, Place::kLead},
    {Place::kLead, '\\' + 1, 0x7F, Place::kLead},   {Place::kLead, 0xC2, 0xDF, Place::kLast},
    {Place::kLead, 0xE0, 0xE0, Place::kAfterE0},    {Place::kLead, 0xE1, 0xEC, Place::kLastTwo},
    {Place::kLead, 0xED, 0xED, Place::kAfterEd},    {Place::kLead, 0xEE, 0xEF, Place::kLastTwo},
    {Place::kLead, 0xF0, 0xF0, Place::kAfterF0},    {Place::kLead, 0xF1, 0xF3, Place::kLastThree},
    {Place::kLead, 0xF4, 0xF4, Place::kAfterF4},    {Place::kLast, 0x80, 0xBF, Place::kLead},
    {Place::kLastTwo, 0x80, 0xBF, Place::kLast},    {Place::kLastThree, 0x80, 0xBF, Place::kLastTwo},
    {Place::kAfterE0, 0xA0, 0xBF, Place::kLast},    {Place::kAfterEd, 0x80, 0x9F, Place::kLast},
    {Place::kAfterF0, 0x90, 0xBF, Place::kLastTwo}, {Place::kAfterF4, 0x80, 0x8F, Place::kLastTwo}};

// Whether every plain character may follow `state` at this place and leads to states with takes_plain.
bool TakesPlainOnce(const GrammarTables& tables, const std::bitset<256>& usable, uint32_t state,
                    Place place) {
  const GrammarTables::State& from = tables.states[state];
  for (const PlaceBytes& bytes : kPlainBytes) {
    if (bytes.place != place) continue;
    int next = bytes.first;
    const auto skip_to = [&](int end) {
      while (next < end && !usable[next]) ++next;
      return next >= end;
    };
    for (uint32_t i = from.bytes_begin; i < from.bytes_end && next <= bytes.last; ++i) {
      const ByteEdge& edge = tables.bytes[i];
      if (edge.last < next) continue;
      if (edge.first > bytes.last) break;
      if (!skip_to(edge.first)) return false;
      const bool takes = bytes.next == Place::kLead ? tables.states[edge.target].takes_plain
                                                    : TakesPlainOnce(tables, usable, edge.target, bytes.next);
      if (!takes) return false;
      next = edge.last + 1;
    }
    if (!skip_to(bytes.last + 1)) return false;
  }
  return true;
}

// Takes the mark from states until all that have it deserve it.
void MarkPlain(GrammarTables& tables, const std::bitset<256>& usable) {
  std::vector<uint32_t> marked;
  for (uint32_t at = 0; at < tables.states.size(); ++at) {
    GrammarTables::State& state = tables.states[at];
    // Most states have few edges, and are not asked further.
    const bool may_take = state.bytes_end - state.bytes_begin > 2;
    state.takes_plain = may_take;
    if (may_take) marked.push_back(at);
  }
  for (bool changed = true; changed;) {
    changed =
        std::erase_if(marked, [&](uint32_t state) {
          return !(tables.states[state].takes_plain = TakesPlainOnce(tables, usable, state, Place::kLead));
        }) > 0;
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
  MarkPlain(result, bytes);
  return result;
}

}  // namespace qwen25::grammar
