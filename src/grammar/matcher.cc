#include "grammar/matcher.h"

#include <algorithm>

#include "text/utf8.h"

namespace qwen25 {
namespace {

using grammar::GrammarTables;
using grammar::kDead;
using grammar::KeyTracker;
using grammar::kUnlimited;
using grammar::StateId;
using grammar::StatePool;

// Of one matcher and its copies; what is over it is computed again where needed.
constexpr size_t kMaxMaskBytes = size_t{16} << 20;
// No object has as many keys, so that a key with as many ways to end always has one.
constexpr uint32_t kManyKeys = 1000000;

// Calls visit(state, token) for the tokens of the trie that lead somewhere from `state`.
template <typename Visit>
void Walk(std::span<const TokenTrie::Node> nodes, StatePool& pool, StateId state, Visit&& visit) {
  StateId states[257];
  states[0] = state;
  for (size_t i = 0; i < nodes.size();) {
    const TokenTrie::Node& node = nodes[i];
    const StateId next = pool.Step(states[node.depth], node.byte);
    if (next == kDead) {
      i += node.subtree_size;
      continue;
    }
    if (node.token >= 0) visit(next, node.token);
    states[node.depth + 1] = next;
    ++i;
  }
}

void Set(std::span<uint64_t> bits, int32_t token) {
  bits[static_cast<size_t>(token) / 64] |= uint64_t{1} << (token % 64);
}
void Clear(std::span<uint64_t> bits, int32_t token) {
  bits[static_cast<size_t>(token) / 64] &= ~(uint64_t{1} << (token % 64));
}
bool IsSet(std::span<const uint64_t> bits, int32_t token) {
  return bits[static_cast<size_t>(token) / 64] >> (token % 64) & 1;
}

bool IsPlainByte(uint8_t byte) {
  return byte >= 0x20 && byte != '"' && byte != '\\';
}

}  // namespace

Result<GrammarMatcher> GrammarMatcher::Create(std::shared_ptr<const Grammar> grammar,
                                              std::shared_ptr<const TokenTrie> trie,
                                              std::vector<int32_t> end_tokens) {
  if (end_tokens.empty()) return InvalidArgument("no end token is given; without one no text could end");
  for (const int32_t token : end_tokens) {
    if (token < 0 || static_cast<size_t>(token) >= trie->vocab_size()) {
      return InvalidArgument("end token {} is not among the {} of the vocabulary", token, trie->vocab_size());
    }
  }
  for (const int32_t token : end_tokens) {
    if (trie->text(token).size() != 1) continue;
    return InvalidArgument("end token {} is the text \"{}\", which may be needed otherwise", token,
                           trie->text(token));
  }
  GrammarMatcher matcher;
  matcher.trie_ = std::move(trie);
  matcher.end_tokens_ = std::move(end_tokens);
  const std::bitset<256>& bytes = matcher.trie_->bytes();
  Result<std::shared_ptr<const GrammarTables>> tables = grammar->TablesFor(bytes);
  if (!tables.ok()) {
    return InvalidArgument(
        "no text of the grammar can be written with the {} bytes that are tokens of this "
        "vocabulary by themselves",
        bytes.count());
  }
  matcher.tables_ = std::move(*tables);
  for (const GrammarTables::State& state : matcher.tables_->states) {
    matcher.has_few_keys_ |= state.num_keys > 0 && state.num_keys < kManyKeys && !state.accepts;
  }
  matcher.shared_ = std::make_shared<Shared>(*matcher.tables_);
  matcher.history_.push_back(
      {.state = matcher.shared_->pool.start(), .position = {}, .mark = matcher.keys_.mark()});
  return matcher;
}

bool GrammarMatcher::MayEnd() const {
  return HasEnded() || shared_->pool.may_end(history_.back().state);
}

void GrammarMatcher::FillMask(std::span<uint64_t> bits) {
  QWEN25_CHECK(bits.size() >= (trie_->vocab_size() + 63) / 64);
  std::ranges::fill(bits, 0);
  if (!HasEnded()) {
    LimitMemory();
    std::ranges::copy(GrammarMask(history_.back().state), bits.begin());
    if (tables_->is_json) RemoveRepeatedKeys(bits);
  }
  for (const int32_t token : end_tokens_) Clear(bits, token);
  if (!MayEnd()) return;
  for (const int32_t token : end_tokens_) Set(bits, token);
}

const std::vector<uint64_t>& GrammarMatcher::GrammarMask(StateId state) {
  const auto [entry, is_new] = shared_->masks.try_emplace(state);
  if (!is_new) return entry->second;
  std::vector<uint64_t>& bits = entry->second;
  bits.assign((trie_->vocab_size() + 63) / 64, 0);
  const bool plain_is_known = AddPlainTokens(state, bits);
  Walk(plain_is_known ? trie_->nodes_that_are_not_plain() : trie_->nodes(), shared_->pool, state,
       [&](StateId, int32_t token) { Set(bits, token); });
  return bits;
}

bool GrammarMatcher::AddPlainTokens(StateId state, std::span<uint64_t> bits) {
  uint32_t num_characters = 0;
  bool others_take_none = true;  // no other place can take plain bytes
  for (const StatePool::Place& place : shared_->pool.places(state)) {
    uint32_t allowed = 0;
    if (place.state == tables_->string_character) {
      for (const StatePool::Frame& frame : shared_->pool.frames(place.node)) {
        if (frame.call == StatePool::kBottom) continue;
        const uint32_t most = tables_->calls[frame.call].most;
        allowed = std::max(allowed, most == kUnlimited ? kUnlimited : most - frame.count);
      }
    } else if (tables_->states[place.state].takes_plain) {
      allowed = kUnlimited;
    }
    if (allowed == 0) {
      const GrammarTables::State& from = tables_->states[place.state];
      for (uint32_t i = from.bytes_begin; i < from.bytes_end; ++i) {
        const grammar::ByteEdge& edge = tables_->bytes[i];
        for (int byte = edge.first; byte <= edge.last; ++byte) {
          others_take_none &= !IsPlainByte(static_cast<uint8_t>(byte));
        }
      }
    }
    num_characters = std::max(num_characters, allowed);
  }
  const std::span<const uint64_t> plain = trie_->PlainTokens(num_characters);
  for (size_t i = 0; i < plain.size(); ++i) bits[i] |= plain[i];
  return num_characters >= TokenTrie::kMaxPlainCharacters || (num_characters > 0 && others_take_none);
}

// A token may complete a key that the object has, may begin a key that it can only complete in such ways, or
// may hold whole keys.
void GrammarMatcher::RemoveRepeatedKeys(std::span<uint64_t> bits) {
  const Moment& now = history_.back();
  if (now.position.in_key()) {
    std::vector<std::string> rests;
    keys_.ForEachKey(now.position, [&](std::string_view key) {
      if (key.starts_with(now.position.key))
        rests.push_back(std::string(key.substr(now.position.key.size())) + '"');
    });
    for (const std::string& rest : rests) RemoveKey(rest, bits);
  }
  for (const int32_t token : trie_->tokens_with_quotes()) {
    if (!IsSet(bits, token)) continue;
    KeyTracker::Position position = now.position;
    if (!keys_.Advance(position, trie_->text(token))) Clear(bits, token);
    keys_.Restore(now.mark);
  }
  if (has_few_keys_ && keys_.has_keys()) RemoveExhaustedKeys(bits);
}

// Clears the tokens that begin with `rest`, which ends a key.
void GrammarMatcher::RemoveKey(std::string_view rest, std::span<uint64_t> bits) {
  const std::span<const TokenTrie::Node> nodes = trie_->nodes();
  size_t begin = 0, end = nodes.size();
  for (size_t depth = 0; depth < rest.size(); ++depth) {
    // Siblings with the same byte are tokens with the same text; only the last one has children.
    size_t next = end;
    for (size_t i = begin; i < end; i += nodes[i].subtree_size) {
      if (nodes[i].byte != static_cast<uint8_t>(rest[depth])) continue;
      next = i;
      if (depth + 1 < rest.size()) continue;
      for (size_t at = i; at < i + nodes[i].subtree_size; ++at) {
        if (nodes[at].token >= 0) Clear(bits, nodes[at].token);
      }
    }
    if (next == end) return;
    begin = next + 1;
    end = next + nodes[next].subtree_size;
  }
}

void GrammarMatcher::RemoveExhaustedKeys(std::span<uint64_t> bits) {
  const Moment& now = history_.back();
  // Outside of a key, only tokens with a quote lead into one.
  const auto nodes = now.position.in_key() ? trie_->nodes() : trie_->nodes_that_are_not_plain();
  Walk(nodes, shared_->pool, now.state, [&](StateId state, int32_t token) {
    if (!IsSet(bits, token)) return;
    const auto has_few = [&](const StatePool::Place& place) {
      const uint32_t num_keys = tables_->states[place.state].num_keys;
      return num_keys > 0 && num_keys < kManyKeys;
    };
    if (std::ranges::none_of(shared_->pool.places(state), has_few)) return;
    KeyTracker::Position position = now.position;
    if (!keys_.Advance(position, trie_->text(token)) || !KeyCanEnd(state, position)) Clear(bits, token);
    keys_.Restore(now.mark);
  });
}

// Whether the key that the text stands in, if any, can become one that the object does not have: there are
// more ways to end it than keys with the same beginning.
bool GrammarMatcher::KeyCanEnd(StateId state, const KeyTracker::Position& position) const {
  if (!position.in_key() || !has_few_keys_) return true;
  for (const StatePool::Place& place : shared_->pool.places(state)) {
    const uint32_t num_keys = tables_->states[place.state].num_keys;
    if (num_keys == 0) return true;  // a property that has its name is not there yet
    uint32_t taken = 0;
    keys_.ForEachKey(position, [&](std::string_view key) {
      if (key.starts_with(position.key)) taken += MayFollow(place.state, key.substr(position.key.size()));
    });
    if (num_keys > taken) return true;
  }
  return false;
}

// Whether the rule of `state`, which has no calls, can go on with `key` and the quote that ends it.
bool GrammarMatcher::MayFollow(uint32_t state, std::string_view key) const {
  for (size_t i = 0; i <= key.size(); ++i) {
    const GrammarTables::State& from = tables_->states[state];
    const auto begin = tables_->bytes.begin() + from.bytes_begin,
               end = tables_->bytes.begin() + from.bytes_end;
    const auto byte = static_cast<uint8_t>(i < key.size() ? key[i] : '"');
    const auto edge = std::ranges::lower_bound(begin, end, byte, {}, &grammar::ByteEdge::last);
    if (edge == end || edge->first > byte) return false;
    state = edge->target;
  }
  return true;
}

bool GrammarMatcher::Accept(int32_t token) {
  if (token < 0 || static_cast<size_t>(token) >= trie_->vocab_size()) return false;
  const Moment& now = history_.back();
  if (std::ranges::find(end_tokens_, token) != end_tokens_.end()) {
    if (!MayEnd()) return false;
    Moment end = now;
    end.has_ended = true;
    history_.push_back(std::move(end));
    return true;
  }
  LimitMemory();
  const std::string_view text = trie_->text(token);
  if (HasEnded() || text.empty()) return false;
  Moment next = now;
  for (const char byte : text) {
    next.state = shared_->pool.Step(next.state, static_cast<uint8_t>(byte));
    if (next.state == kDead) return false;
  }
  if (tables_->is_json) {
    if (!keys_.Advance(next.position, text) || !KeyCanEnd(next.state, next.position)) {
      keys_.Restore(now.mark);
      return false;
    }
    next.mark = keys_.mark();
  }
  history_.push_back(std::move(next));
  return true;
}

void GrammarMatcher::Rollback(size_t num_tokens) {
  QWEN25_CHECK(num_tokens < history_.size());
  history_.resize(history_.size() - num_tokens, history_.front());
  keys_.Restore(history_.back().mark);
}

std::string GrammarMatcher::ForcedText() {
  std::string text;
  StateId state = history_.back().state;
  while (!HasEnded() && text.size() < kMaxForcedBytes && !shared_->pool.may_end(state)) {
    const std::bitset<256> bytes = shared_->pool.NextBytes(state);
    if (bytes.count() != 1) break;
    const auto byte = static_cast<uint8_t>(bytes._Find_first());
    text += static_cast<char>(byte);
    state = shared_->pool.Step(state, byte);
  }
  return text;
}

// A matcher that finds too much in the shared memory goes on with memory of its own.
void GrammarMatcher::LimitMemory() {
  if (shared_->masks.size() * (trie_->vocab_size() / 8 + 64) > kMaxMaskBytes) shared_->masks.clear();
  if (shared_->pool.bytes() <= shared_->max_pool_bytes) return;
  const std::shared_ptr<Shared> old = std::exchange(shared_, std::make_shared<Shared>(*tables_));
  for (Moment& moment : history_) moment.state = shared_->pool.Import(old->pool, moment.state);
  // So that a long history, which is never forgotten, is not copied again and again.
  shared_->max_pool_bytes = std::max(shared_->max_pool_bytes, 2 * shared_->pool.bytes());
}

}  // namespace qwen25
