#include "text/bpe_merger.h"

#include <algorithm>
#include <array>
#include <limits>
#include <unordered_map>

#include "base/check.h"
#include "base/rng.h"
#include "text/tokenizer_spec.h"

namespace qwen25 {
namespace {

// A pair of neighbouring symbols, wherever it occurs.
struct Pair {
  uint64_t key = 0;                 // left symbol << 32 | right symbol
  uint64_t count = 0;               // occurrences, weighted by how often their pieces occur
  std::vector<uint32_t> positions;  // of left symbols in the text; some may be outdated
  uint32_t last_grown_by = 0;       // the merge (1, 2, ...) that last added to it
};

uint64_t PairKey(uint32_t left, uint32_t right) {
  return static_cast<uint64_t>(left) << 32 | right;
}
uint32_t LeftOf(uint64_t key) {
  return static_cast<uint32_t>(key >> 32);
}
uint32_t RightOf(uint64_t key) {
  return static_cast<uint32_t>(key);
}

// All pairs, found by key and numbered as they appear. No pair is ever removed.
class PairTable {
 public:
  PairTable() : slots_(1 << 16, kEmpty) {}

  // The number of the pair; a new one has count 0.
  uint32_t FindOrAdd(uint64_t key) {
    size_t i = Slot(key);
    if (slots_[i] == kEmpty) {
      slots_[i] = static_cast<uint32_t>(pairs_.size());
      pairs_.push_back({.key = key, .positions = {}});
      if (2 * pairs_.size() > slots_.size()) Grow();
      return static_cast<uint32_t>(pairs_.size() - 1);
    }
    return slots_[i];
  }
  Pair& operator[](uint32_t pair) { return pairs_[pair]; }
  uint32_t size() const { return static_cast<uint32_t>(pairs_.size()); }

 private:
  static constexpr uint32_t kEmpty = std::numeric_limits<uint32_t>::max();

  size_t Slot(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    size_t i = Mix64(key) & mask;
    while (slots_[i] != kEmpty && pairs_[slots_[i]].key != key) i = (i + 1) & mask;
    return i;
  }
  void Grow() {
    slots_.assign(2 * slots_.size(), kEmpty);
    for (uint32_t pair = 0; pair < pairs_.size(); ++pair) slots_[Slot(pairs_[pair].key)] = pair;
  }

  std::vector<uint32_t> slots_;
  std::vector<Pair> pairs_;
};

class Merger {
 public:
  Merger(std::vector<std::string> alphabet, uint64_t min_frequency) : min_frequency_(min_frequency) {
    learned_.tokens = std::move(alphabet);
    for (size_t id = 0; id < learned_.tokens.size(); ++id) {
      ids_.emplace(learned_.tokens[id], static_cast<uint32_t>(id));
    }
  }

  Status LoadPieces(const PieceCounter& pieces);
  LearnedMerges Learn(size_t num_tokens);

 private:
  // What text_ holds besides the ids of symbols.
  static constexpr uint32_t kBoundary = std::numeric_limits<uint32_t>::max();  // between two pieces
  static constexpr uint32_t kInside = kBoundary - 1;  // a byte that is neither first nor last of its symbol

  struct Candidate {
    uint64_t count;  // of the pair when it was pushed; the pair's own count may have fallen since
    uint32_t pair;
  };

  bool Less(const Candidate& a, const Candidate& b) {
    if (a.count != b.count) return a.count < b.count;
    const uint64_t key_a = pairs_[a.pair].key, key_b = pairs_[b.pair].key;
    if (key_a == key_b) return false;
    const int left = learned_.tokens[LeftOf(key_a)].compare(learned_.tokens[LeftOf(key_b)]);
    if (left != 0) return left < 0;
    return learned_.tokens[RightOf(key_a)] < learned_.tokens[RightOf(key_b)];
  }
  void Push(uint32_t pair) {
    const uint64_t count = pairs_[pair].count, key = pairs_[pair].key;
    if (count < min_frequency_) return;
    if (size_t{Length(LeftOf(key))} + Length(RightOf(key)) > kMaxTokenBytes) return;
    candidates_.push_back({count, pair});
    std::push_heap(candidates_.begin(), candidates_.end(), [this](auto& a, auto& b) { return Less(a, b); });
  }
  bool PopBest(uint32_t& pair);

  uint32_t Length(uint32_t symbol) const { return static_cast<uint32_t>(learned_.tokens[symbol].size()); }
  void AddToken(uint32_t left, uint32_t right);
  void MergeEverywhere(uint32_t pair);
  void Shrink(uint32_t left, uint32_t right, uint64_t weight) {
    pairs_[pairs_.FindOrAdd(PairKey(left, right))].count -= weight;
  }
  void Extend(uint32_t left, uint32_t right, uint64_t weight, uint32_t position) {
    const uint32_t number = pairs_.FindOrAdd(PairKey(left, right));
    Pair& pair = pairs_[number];
    pair.count += weight;
    pair.positions.push_back(position);
    if (pair.last_grown_by == num_merges()) return;
    pair.last_grown_by = num_merges();
    grown_.push_back(number);
  }
  uint32_t num_merges() const { return static_cast<uint32_t>(learned_.merges.size()); }

  const uint64_t min_frequency_;
  LearnedMerges learned_;
  std::unordered_map<std::string, uint32_t> ids_;

  // All pieces end to end, with boundaries before, between and after them. A symbol's id stands at its first
  // and last byte, so that one look finds either neighbour, and its length the neighbour's other end.
  std::vector<uint32_t> text_;
  std::vector<uint32_t> piece_of_;  // by position
  std::vector<uint64_t> weight_of_piece_;

  PairTable pairs_;
  std::vector<Candidate>
      candidates_;               // a heap; every pair that may be merged is in it with a count >= its own
  std::vector<uint32_t> grown_;  // pairs that the current merge added to
  uint32_t merged_symbol_ = 0;
};

Status Merger::LoadPieces(const PieceCounter& pieces) {
  uint64_t num_positions = 1;
  pieces.ForEach([&](std::string_view piece, uint64_t) { num_positions += piece.size() + 1; });
  if (num_positions > std::numeric_limits<uint32_t>::max()) {
    return ResourceExhausted(
        "BPE training: the distinct pieces of the corpus have {} bytes together, expected at most 4 GiB; "
        "train on a sample of the corpus",
        num_positions);
  }
  std::array<uint32_t, 256> symbol_of_byte;
  symbol_of_byte.fill(kInside);
  for (size_t id = 0; id < learned_.tokens.size(); ++id) {
    QWEN25_CHECK(learned_.tokens[id].size() == 1);
    symbol_of_byte[static_cast<unsigned char>(learned_.tokens[id][0])] = static_cast<uint32_t>(id);
  }
  text_.reserve(num_positions);
  piece_of_.reserve(num_positions);
  const auto append = [&](uint32_t symbol) {
    text_.push_back(symbol);
    piece_of_.push_back(static_cast<uint32_t>(weight_of_piece_.size()) - 1);
  };
  append(kBoundary);
  pieces.ForEach([&](std::string_view piece, uint64_t count) {
    if (piece.size() < 2) return;  // nothing to merge
    weight_of_piece_.push_back(count);
    for (const char byte : piece) append(symbol_of_byte[static_cast<unsigned char>(byte)]);
    append(kBoundary);
  });
  for (uint32_t at = 0; at + 1 < text_.size(); ++at) {
    if (text_[at] == kBoundary || text_[at + 1] == kBoundary) continue;
    Extend(text_[at], text_[at + 1], weight_of_piece_[piece_of_[at]], at);
  }
  for (uint32_t pair = 0; pair < pairs_.size(); ++pair) Push(pair);
  return {};
}

// Takes the best pair off the heap; false if there is none.
bool Merger::PopBest(uint32_t& pair) {
  while (!candidates_.empty()) {
    std::pop_heap(candidates_.begin(), candidates_.end(), [this](auto& a, auto& b) { return Less(a, b); });
    const Candidate best = candidates_.back();
    candidates_.pop_back();
    pair = best.pair;
    if (pairs_[pair].count == best.count) return true;
    if (pairs_[pair].count < best.count) Push(pair);  // it fell: push the pair with its new count
  }
  return false;
}

void Merger::AddToken(uint32_t left, uint32_t right) {
  learned_.merges.emplace_back(left, right);
  std::string bytes = learned_.tokens[left] + learned_.tokens[right];
  const auto [found, is_new] = ids_.emplace(bytes, static_cast<uint32_t>(learned_.tokens.size()));
  if (is_new) learned_.tokens.push_back(std::move(bytes));
  merged_symbol_ = found->second;
}

void Merger::MergeEverywhere(uint32_t pair) {
  const uint64_t key = pairs_[pair].key;
  const uint32_t left = LeftOf(key), right = RightOf(key), merged = merged_symbol_;
  const uint32_t left_length = Length(left), length = left_length + Length(right);
  std::vector<uint32_t> positions = std::move(pairs_[pair].positions);
  pairs_[pair].positions = {};
  // Of overlapping occurrences ("aaa") the first is merged. Positions are in order unless one token was
  // learned twice.
  if (left == right) std::sort(positions.begin(), positions.end());
  grown_.clear();
  for (const uint32_t at : positions) {
    const uint32_t middle = at + left_length, end = at + length;
    if (text_[at] != left || text_[middle] != right) continue;  // taken by an earlier merge
    const uint64_t weight = weight_of_piece_[piece_of_[at]];
    text_[middle - 1] = kInside;
    text_[middle] = kInside;
    text_[at] = merged;
    text_[end - 1] = merged;
    if (const uint32_t before = text_[at - 1]; before != kBoundary) {
      Shrink(before, left, weight);
      Extend(before, merged, weight, at - Length(before));
    }
    if (const uint32_t behind = text_[end]; behind != kBoundary) {
      Shrink(right, behind, weight);
      Extend(merged, behind, weight, at);
    }
  }
  pairs_[pair].count = 0;  // every occurrence is merged, or overlapped one that is
  for (const uint32_t grown : grown_) Push(grown);
}

LearnedMerges Merger::Learn(size_t num_tokens) {
  uint32_t pair;
  while (learned_.tokens.size() < num_tokens && PopBest(pair)) {
    learned_.last_count = pairs_[pair].count;
    AddToken(LeftOf(pairs_[pair].key), RightOf(pairs_[pair].key));
    MergeEverywhere(pair);
  }
  return std::move(learned_);
}

}  // namespace

Result<LearnedMerges> LearnMerges(const PieceCounter& pieces, std::vector<std::string> alphabet,
                                  size_t num_tokens, uint64_t min_frequency) {
  QWEN25_CHECK(alphabet.size() == 256 && min_frequency >= 1);
  Merger merger(std::move(alphabet), min_frequency);
  QWEN25_RETURN_IF_ERROR(merger.LoadPieces(pieces));
  return merger.Learn(num_tokens);
}

}  // namespace qwen25
