#include "grammar/state_pool.h"

#include <algorithm>

#include "base/hash.h"

namespace qwen25::grammar {
namespace {

template <typename T>
uint64_t HashOf(std::span<const T> values, uint64_t seed) {
  return Hash64(std::as_bytes(values), seed);
}

}  // namespace

StatePool::StatePool(const GrammarTables& tables) : tables_(tables) {
  SetByteClasses();
  states_.push_back({});  // kDead
  steps_.assign(num_classes_, kDead);
  const Frame bottom = {kBottom, 0, 0};
  const uint32_t empty_stack = InternNode({&bottom, 1});
  fresh_.push_back({{tables.start, empty_stack}, false});
  start_ = Close();
}

void StatePool::SetByteClasses() {
  std::bitset<257> is_bound;
  for (const ByteEdge& edge : tables_.bytes) is_bound[edge.first] = is_bound[edge.last + 1u] = true;
  uint8_t number = 0;
  for (int byte = 0; byte < 256; ++byte) {
    if (byte > 0 && is_bound[byte]) ++number;
    classes_[byte] = number;
  }
  num_classes_ = number + 1u;
}

StateId StatePool::ComputeStep(StateId state, uint8_t byte) {
  fresh_.clear();
  for (const Place& place : places(state)) {
    const GrammarTables::State& from = tables_.states[place.state];
    const auto begin = tables_.bytes.begin() + from.bytes_begin, end = tables_.bytes.begin() + from.bytes_end;
    const auto edge = std::ranges::lower_bound(begin, end, byte, {}, &ByteEdge::last);
    if (edge != end && edge->first <= byte) fresh_.push_back({{edge->target, place.node}, false});
  }
  const StateId next = Close();
  steps_[size_t{state} * num_classes_ + classes_[byte]] = next;
  return next;
}

StateId StatePool::Close() {
  closed_.clear();
  closed_may_end_ = false;
  seen_.clear();
  for (size_t at = 0; at < fresh_.size(); ++at) {  // grows
    const Fresh fresh = fresh_[at];
    if (IsRepeat(at)) continue;
    const GrammarTables::State& state = tables_.states[fresh.place.state];
    if (state.bytes_begin != state.bytes_end) closed_.push_back(fresh.place);
    FollowCalls(fresh.place);
    if (state.accepts) FollowReturns(fresh.place, fresh.is_entry);
  }
  fresh_.clear();
  std::ranges::sort(closed_);
  size_t kept = 0;
  for (const Place& place : closed_) {
    if (kept > 0 && closed_[kept - 1].state == place.state) {
      closed_[kept - 1].node = Union(closed_[kept - 1].node, place.node);
    } else {
      closed_[kept++] = place;
    }
  }
  closed_.resize(kept);
  if (closed_.empty() && !closed_may_end_) return kDead;
  return InternState(closed_, closed_may_end_);
}

// Whether an earlier element of `fresh_` is the same. Most lists are short, so the first ones are looked
// through.
bool StatePool::IsRepeat(size_t at) {
  constexpr size_t kFewElements = 16;
  const auto begin = fresh_.begin(),
             end = fresh_.begin() + static_cast<ptrdiff_t>(std::min(at, kFewElements));
  if (std::find(begin, end, fresh_[at]) != end) return true;
  if (at < kFewElements) return false;
  const auto& [place, is_entry] = fresh_[at];
  return !seen_.insert(uint64_t{place.state} << 33 | uint64_t{place.node} << 1 | is_entry).second;
}

void StatePool::FollowCalls(Place place) {
  const GrammarTables::State& from = tables_.states[place.state];
  for (uint32_t index = from.calls_begin; index < from.calls_end; ++index) {
    EnterOrPass(index, 0, place.node);
  }
}

// The call, of which `count` texts are complete: one more, and what comes behind if they are enough.
void StatePool::EnterOrPass(uint32_t index, uint32_t count, uint32_t below) {
  const CallEdge& call = tables_.calls[index];
  if (count >= call.least) fresh_.push_back({{call.target, below}, false});
  if (call.most != kUnlimited && count >= call.most) return;
  const bool is_counted = call.least != 1 || call.most != 1;
  const GrammarTables::State& target = tables_.states[call.target];
  const bool only_returns =
      target.accepts && target.bytes_begin == target.bytes_end && target.calls_begin == target.calls_end;
  if (!is_counted && only_returns) {  // so that lists made of rules do not pile up frames
    fresh_.push_back({{call.rule, below}, false});
    return;
  }
  const Frame frame = {index, count, below};
  fresh_.push_back({{call.rule, InternNode({&frame, 1})}, is_counted && count >= call.least});
}

// An entry whose text is empty adds nothing to what passing the call gives.
void StatePool::FollowReturns(Place place, bool is_entry) {
  if (is_entry) return;
  const size_t size = nodes_[place.node].size;
  for (size_t i = 0; i < size; ++i) {
    const Frame frame = frames_[nodes_[place.node].begin + i];
    if (frame.call == kBottom) {
      closed_may_end_ = true;
      continue;
    }
    const CallEdge& call = tables_.calls[frame.call];
    uint32_t count = frame.count + 1;
    if (call.most == kUnlimited) count = std::min(count, call.least);
    if (call.least == 1 && call.most == 1) {
      fresh_.push_back({{call.target, frame.below}, false});
    } else {
      EnterOrPass(frame.call, count, frame.below);
    }
  }
}

StateId StatePool::InternState(std::vector<Place>& places, bool may_end) {
  const uint64_t hash = HashOf(std::span<const Place>(places), may_end);
  const auto [first, last] = state_ids_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    if (states_[it->second].may_end == may_end && std::ranges::equal(this->places(it->second), places)) {
      return it->second;
    }
  }
  const auto id = static_cast<StateId>(states_.size());
  states_.push_back({places_.size(), static_cast<uint32_t>(places.size()), may_end});
  places_.insert(places_.end(), places.begin(), places.end());
  steps_.resize(steps_.size() + num_classes_, kUnknown);
  state_ids_.emplace(hash, id);
  return id;
}

uint32_t StatePool::InternNode(std::span<const Frame> frames) {
  const uint64_t hash = HashOf(frames, 2);
  const auto [first, last] = node_ids_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    if (std::ranges::equal(this->frames(it->second), frames)) return it->second;
  }
  const auto id = static_cast<uint32_t>(nodes_.size());
  nodes_.push_back({frames_.size(), static_cast<uint32_t>(frames.size()), false});
  frames_.insert(frames_.end(), frames.begin(), frames.end());
  node_ids_.emplace(hash, id);
  return id;
}

// A node of both has, for each call and count, the union of what is below. Down to where the stacks part, and
// without recursion, since that may be deep.
uint32_t StatePool::Union(uint32_t a, uint32_t b) {
  if (a == b) return a;
  const auto key_of = [](uint32_t x, uint32_t y) { return uint64_t{std::min(x, y)} << 32 | std::max(x, y); };
  std::vector<uint64_t> open = {key_of(a, b)};
  std::vector<Frame> all, merged;
  while (!open.empty()) {
    const uint64_t key = open.back();
    const auto first = frames(static_cast<uint32_t>(key >> 32)), second = frames(static_cast<uint32_t>(key));
    all.clear();
    std::ranges::merge(first, second, std::back_inserter(all));
    merged.clear();
    const size_t num_open = open.size();
    for (const Frame& frame : all) {
      if (merged.empty() || merged.back().call != frame.call || merged.back().count != frame.count) {
        merged.push_back(frame);
      } else if (merged.back().below != frame.below) {
        const auto below = unions_.find(key_of(merged.back().below, frame.below));
        if (below == unions_.end()) {
          open.push_back(key_of(merged.back().below, frame.below));
        } else {
          merged.back().below = below->second;
        }
      }
    }
    if (open.size() > num_open) continue;
    unions_.emplace(key, InternNode(merged));
    open.pop_back();
  }
  return unions_.at(key_of(a, b));
}

std::bitset<256> StatePool::NextBytes(StateId state) const {
  std::bitset<256> bytes;
  for (const Place& place : places(state)) {
    const GrammarTables::State& from = tables_.states[place.state];
    for (uint32_t i = from.bytes_begin; i < from.bytes_end; ++i) {
      for (int byte = tables_.bytes[i].first; byte <= tables_.bytes[i].last; ++byte) bytes.set(byte);
    }
  }
  return bytes;
}

size_t StatePool::bytes() const {
  constexpr size_t kHashEntry = 48;  // of the standard library's maps, with their allocation
  return steps_.size() * sizeof(StateId) + (states_.size() + nodes_.size()) * (sizeof(Slice) + kHashEntry) +
         places_.size() * sizeof(Place) + frames_.size() * sizeof(Frame) + unions_.size() * kHashEntry;
}

StateId StatePool::Import(const StatePool& from, StateId state) {
  if (state == kDead) return kDead;
  std::unordered_map<uint32_t, uint32_t> copies;
  std::vector<Place> copied;
  for (const Place& place : from.places(state)) {
    copied.push_back({place.state, ImportNode(from, place.node, copies)});
  }
  std::ranges::sort(copied);
  return InternState(copied, from.may_end(state));
}

// Copies what is below first. Without recursion, since stacks may be deep.
uint32_t StatePool::ImportNode(const StatePool& from, uint32_t node,
                               std::unordered_map<uint32_t, uint32_t>& copies) {
  std::vector<uint32_t> open = {node};
  while (!open.empty()) {
    const uint32_t at = open.back();
    bool is_ready = true;
    std::vector<Frame> frames;
    for (Frame frame : from.frames(at)) {
      if (frame.call != kBottom) {
        const auto below = copies.find(frame.below);
        if (below == copies.end()) {
          open.push_back(frame.below);
          is_ready = false;
          continue;
        }
        frame.below = below->second;
      }
      frames.push_back(frame);
    }
    if (!is_ready) continue;
    std::ranges::sort(frames);
    copies[at] = InternNode(frames);
    open.pop_back();
  }
  return copies[node];
}

}  // namespace qwen25::grammar
