// Where the last tokens of a text have stood in it before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace qwen25 {

// The latest place of every run of 1 to max_length tokens. A lookup and one more token cost about a
// microsecond each, however long the text is.
class NgramIndex {
 public:
  // Allocates nothing as long as texts have at most `reserved_tokens` (5 * max_length to 10 * max_length
  // bytes for each).
  NgramIndex(size_t max_length, size_t reserved_tokens);

  struct Match {
    size_t length = 0;  // tokens; 0: the last token is new
    size_t end = 0;     // tokens()[end] is the one that followed
  };
  // Makes it hold `tokens`. What was there is compared with them: where they only go on, what is new is
  // added, otherwise it starts over.
  void Hold(std::span<const int32_t> tokens);
  // The longest run at the end of the text that ends somewhere before the end too, and the latest such place.
  Match LongestMatch() const;

 private:
  void Index(size_t end);
  void Grow(size_t num_tokens);
  // The slot of the run of `length` tokens before `end` among those of its length: the one that holds it, or
  // the free one where it would come.
  size_t FindSlot(size_t length, size_t end, uint64_t hash) const;
  uint64_t ExtendHash(uint64_t hash, size_t position) const;

  const size_t max_length_;
  std::vector<int32_t> tokens_;
  size_t num_indexed_ = 0;  // runs that end before or at this number of tokens have their places
  size_t slots_per_length_ = 0;
  // [max_length][slots_per_length] ends of runs, open addressing; 0 is free.
  std::vector<uint32_t> slots_;
};

}  // namespace qwen25
