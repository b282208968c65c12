#include "ops/attention/rotary_table.h"

#include <cmath>

#include "base/check.h"

namespace qwen25 {
namespace {

// [num_rows, D/2] cosines and sines of `step` * row positions.
void FillAngles(const std::vector<double>& inverse_frequencies, size_t num_rows, size_t step,
                std::vector<float>& cosines, std::vector<float>& sines) {
  cosines.reserve(num_rows * inverse_frequencies.size());
  sines.reserve(num_rows * inverse_frequencies.size());
  for (size_t row = 0; row < num_rows; ++row) {
    for (const double frequency : inverse_frequencies) {
      const double angle = static_cast<double>(row * step) * frequency;
      cosines.push_back(static_cast<float>(std::cos(angle)));
      sines.push_back(static_cast<float>(std::sin(angle)));
    }
  }
}

// [D/2, 64 + num_rows + 64]: the columns of `table` [num_rows, D/2] from the last to the first, with 64 more
// of the last before and of the first behind.
std::vector<float> Descending(const std::vector<float>& table, size_t num_pairs) {
  constexpr size_t kPadding = 64;
  const size_t num_rows = table.size() / num_pairs;
  std::vector<float> descending;
  descending.reserve(num_pairs * (num_rows + 2 * kPadding));
  for (size_t i = 0; i < num_pairs; ++i) {
    descending.insert(descending.end(), kPadding, table[(num_rows - 1) * num_pairs + i]);
    for (size_t row = num_rows; row > 0; --row) descending.push_back(table[(row - 1) * num_pairs + i]);
    descending.insert(descending.end(), kPadding, table[i]);
  }
  return descending;
}

}  // namespace

RotaryTable::RotaryTable(std::vector<double> inverse_frequencies, size_t max_positions, bool clamps)
    : inverse_frequencies_(std::move(inverse_frequencies)),
      num_blocks_(BlocksFor(max_positions)),
      clamps_(clamps) {
  QWEN25_CHECK(!inverse_frequencies_.empty());
  FillAngles(inverse_frequencies_, kBlockTokens, 1, offset_cos_, offset_sin_);
  FillAngles(inverse_frequencies_, num_blocks_ + 1, kBlockTokens, block_cos_, block_sin_);
  descending_cos_ = Descending(block_cos_, inverse_frequencies_.size());
  descending_sin_ = Descending(block_sin_, inverse_frequencies_.size());
}

std::vector<double> InverseFrequencies(size_t head_dim, double base) {
  QWEN25_CHECK(head_dim >= 2 && head_dim % 2 == 0);
  std::vector<double> frequencies(head_dim / 2);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
  }
  return frequencies;
}

}  // namespace qwen25
