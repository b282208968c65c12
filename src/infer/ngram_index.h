// Finds earlier occurrences of the last tokens of a text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace qwen25 {

// The latest occurrence of every run of 1 to max_length tokens. A lookup and the addition of a token cost
// about a microsecond each, whatever the length of the text.
class NgramIndex {
 public:
  // Reserves memory, 5 * max_length to 10 * max_length bytes per token; allocates nothing later while texts
  // have at most `reserved_tokens`. max_length is at least 1.
  NgramIndex(size_t max_length, size_t reserved_tokens);

  struct Match {
    size_t length = 0;  // tokens; 0: the last token is new
    size_t end = 0;     // position after the occurrence: the place of the token that followed
  };
  // Makes the index hold `tokens`: adds the new ones if `tokens` extends the text, otherwise starts over.
  void Hold(std::span<const int32_t> tokens);
  // The longest run at the end of the text that also occurs earlier, and its latest earlier occurrence.
  Match LongestMatch() const;

 private:
  void Index(size_t end);
  void Grow(size_t num_tokens);
  // The slot of the run of `length` tokens that ends before `end`: the one that holds it, or the free one
  // where it belongs.
  size_t FindSlot(size_t length, size_t end, uint64_t hash) const;
  uint64_t ExtendHash(uint64_t hash, size_t position) const;

  const size_t max_length_;
  std::vector<int32_t> tokens_;
  size_t num_indexed_ = 0;  // all runs within the first num_indexed_ tokens are in the table
  size_t slots_per_length_ = 0;
  // [max_length, slots_per_length] ends of runs, by open addressing; 0 is free.
  std::vector<uint32_t> slots_;
};

}  // namespace qwen25
