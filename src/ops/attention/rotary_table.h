// The angles of block-relative rotary positions, as tables for the kernels. D = head_dim (even).
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/attention.h"

namespace qwen25 {

// Cosines and sines of the rotary angles, in the half-split convention of Hugging Face: pair i is
// (x[i], x[i + D/2]). Angles are computed in double. Source: arXiv:2104.09864.
class RotaryTable {
 public:
  // `inverse_frequencies` [D/2]: radians per position, any scaling (YaRN, linear) already applied. Distances
  // up to `max_positions` (rounded up to whole blocks) are prepared, in either direction. With `clamps`,
  // blocks farther away may be attended to as well, and each is seen at the greatest distance (as InfLLM sees
  // blocks beyond its window, arXiv:2402.04617): a model then meets no distance that it was not trained for.
  RotaryTable(std::vector<double> inverse_frequencies, size_t max_positions, bool clamps = false);

  // For models whose positions are learned: every angle is 0, which turns nothing.
  static RotaryTable WithoutRotation(size_t head_dim, size_t max_positions) {
    return RotaryTable(std::vector<double>(head_dim / 2, 0.0), max_positions);
  }

  size_t head_dim() const { return 2 * inverse_frequencies_.size(); }
  size_t max_blocks() const { return num_blocks_; }
  bool clamps() const { return clamps_; }
  const std::vector<double>& inverse_frequencies() const { return inverse_frequencies_; }
  // The tables, for the kernels. Valid as long as this object.
  RotaryAngles angles() const {
    return {.head_dim = head_dim(),
            .offset_cos = offset_cos_.data(),
            .offset_sin = offset_sin_.data(),
            .block_cos = block_cos_.data(),
            .block_sin = block_sin_.data(),
            .descending_cos = descending_cos_.data(),
            .descending_sin = descending_sin_.data(),
            .descending_stride = descending_cos_.size() / inverse_frequencies_.size(),
            .max_distance = num_blocks_};
  }
  // [D/2] for an offset inside a block, 0..63.
  const float* OffsetCos(size_t offset) const {
    return offset_cos_.data() + offset * inverse_frequencies_.size();
  }
  const float* OffsetSin(size_t offset) const {
    return offset_sin_.data() + offset * inverse_frequencies_.size();
  }
  // [D/2] for a distance of `blocks` whole blocks, 0..max_blocks(); for a negative distance negate the sine.
  const float* BlockCos(size_t blocks) const {
    return block_cos_.data() + blocks * inverse_frequencies_.size();
  }
  const float* BlockSin(size_t blocks) const {
    return block_sin_.data() + blocks * inverse_frequencies_.size();
  }

 private:
  std::vector<double> inverse_frequencies_;
  size_t num_blocks_;
  bool clamps_;
  std::vector<float> offset_cos_, offset_sin_;          // [64, D/2]
  std::vector<float> block_cos_, block_sin_;            // [num_blocks_ + 1, D/2]
  std::vector<float> descending_cos_, descending_sin_;  // RotaryAngles
};

// inverse_frequencies of plain rotary embedding: base^(-2 i / D).
std::vector<double> InverseFrequencies(size_t head_dim, double base);

}  // namespace qwen25
