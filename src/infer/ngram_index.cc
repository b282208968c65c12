#include "infer/ngram_index.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace qwen25 {

NgramIndex::NgramIndex(size_t max_length, size_t reserved_tokens) : max_length_(max_length) {
  QWEN25_CHECK(max_length > 0);
  Grow(std::max<size_t>(64, reserved_tokens));
}

void NgramIndex::Grow(size_t num_tokens) {
  QWEN25_CHECK(num_tokens < UINT32_MAX);
  tokens_.reserve(num_tokens);
  slots_per_length_ = std::bit_ceil(num_tokens + num_tokens / 4);  // at most 4/5 full: short probe sequences
  slots_.assign(max_length_ * slots_per_length_, 0);
  num_indexed_ = 0;
}

void NgramIndex::Hold(std::span<const int32_t> tokens) {
  const bool goes_on =
      tokens_.size() <= tokens.size() && std::ranges::equal(tokens_, tokens.first(tokens_.size()));
  if (!goes_on) {
    tokens_.clear();
    std::ranges::fill(slots_, 0);
    num_indexed_ = 0;
  }
  if (tokens.size() > tokens_.capacity()) Grow(2 * tokens.size());
  tokens_.insert(tokens_.end(), tokens.begin() + static_cast<std::ptrdiff_t>(tokens_.size()), tokens.end());
  // Runs at the very end are left out: LongestMatch must not find the end itself.
  while (num_indexed_ + 1 < tokens_.size()) Index(++num_indexed_);
}

uint64_t NgramIndex::ExtendHash(uint64_t hash, size_t position) const {
  return (std::rotl(hash, 23) ^ static_cast<uint32_t>(tokens_[position])) * 0x9e3779b97f4a7c15u;
}

size_t NgramIndex::FindSlot(size_t length, size_t end, uint64_t hash) const {
  const size_t mask = slots_per_length_ - 1, base = (length - 1) * slots_per_length_;
  const auto run = tokens_.begin() + static_cast<std::ptrdiff_t>(end - length);
  for (size_t i = (hash >> 32) & mask;; i = (i + 1) & mask) {
    const size_t other = slots_[base + i];
    if (other == 0) return base + i;
    if (std::equal(run, run + static_cast<std::ptrdiff_t>(length),
                   tokens_.begin() + static_cast<std::ptrdiff_t>(other - length))) {
      return base + i;
    }
  }
}

void NgramIndex::Index(size_t end) {
  uint64_t hash = 0;
  for (size_t length = 1; length <= std::min(max_length_, end); ++length) {
    hash = ExtendHash(hash, end - length);
    slots_[FindSlot(length, end, hash)] = static_cast<uint32_t>(end);
  }
}

NgramIndex::Match NgramIndex::LongestMatch() const {
  Match match;
  uint64_t hash = 0;
  for (size_t length = 1; length <= std::min(max_length_, tokens_.size()); ++length) {
    hash = ExtendHash(hash, tokens_.size() - length);
    const size_t end = slots_[FindSlot(length, tokens_.size(), hash)];
    if (end == 0) break;  // then no longer run occurs earlier either
    match = {length, end};
  }
  return match;
}

}  // namespace qwen25
