// Counts of measured values by size.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace qwen25 {

// Counts values in intervals, each up to and including its upper bound; the last one has none.
class Histogram {
 public:
  // `bounds`: ascending.
  explicit Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}

  void Add(double value) {
    ++counts_[static_cast<size_t>(std::ranges::lower_bound(bounds_, value) - bounds_.begin())];
    sum_ += value;
    ++count_;
  }
  std::span<const double> bounds() const { return bounds_; }
  // One more than there are bounds.
  std::span<const uint64_t> counts() const { return counts_; }
  double sum() const { return sum_; }
  uint64_t count() const { return count_; }

 private:
  std::vector<double> bounds_;
  std::vector<uint64_t> counts_;
  double sum_ = 0;
  uint64_t count_ = 0;
};

}  // namespace qwen25
