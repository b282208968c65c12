// Batches of random sequences, and attention of these to themselves.
#pragma once

#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "kernels/isa_test_util.h"
#include "ops/attention/self_attention.h"
#include "ops/ops_test_util.h"

namespace qwen25 {

// Whole sequences of the given lengths with random queries, keys and values.
struct Problem {
  AttentionShape shape;
  AttentionMask mask = AttentionMask::kCausal;
  std::vector<int32_t> lengths, prefix_lengths;
  std::vector<int32_t> tokens, positions, starts{0};
  std::vector<float> qkv;
  double base = 10000;

  Problem(size_t head_dim, size_t num_heads, size_t num_kv_heads, std::vector<int32_t> sequence_lengths,
          AttentionMask mask = AttentionMask::kCausal, uint64_t seed = 1)
      : shape{num_heads, num_kv_heads, head_dim, 1 / std::sqrt(static_cast<float>(head_dim))},
        mask(mask),
        lengths(std::move(sequence_lengths)) {
    for (const int32_t length : lengths) {
      starts.push_back(starts.back() + length);
      for (int32_t i = 0; i < length; ++i) positions.push_back(i);
      if (mask == AttentionMask::kPrefix) prefix_lengths.push_back(length * 2 / 3);
    }
    tokens.resize(positions.size());
    qkv.resize(num_rows() * num_cols());
    Rng rng(seed);
    for (float& x : qkv) x = static_cast<float>(rng.Normal());
  }

  size_t num_rows() const { return positions.size(); }
  size_t num_cols() const { return (shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim; }
  size_t out_cols() const { return shape.num_heads * shape.head_dim; }
  TokenBatch batch() const { return {tokens, positions, starts}; }
  size_t longest() const { return static_cast<size_t>(*std::max_element(lengths.begin(), lengths.end())); }
  RotaryTable Rotary() const { return RotaryTable(InverseFrequencies(shape.head_dim, base), longest()); }
  Problem WithWindow(size_t window) const {
    Problem problem = *this;
    problem.shape.window = window;
    return problem;
  }
  // Whether a row sees a key of its sequence.
  bool Sees(size_t sequence, size_t position, size_t key) const {
    const size_t distance = position > key ? position - key : key - position;
    if (distance >= shape.window) return false;
    if (mask == AttentionMask::kBidirectional || key <= position) return true;
    if (mask == AttentionMask::kCausal) return false;
    return key < static_cast<size_t>(prefix_lengths[sequence]);
  }
};

inline Tensor ToTensor(TensorPool& tensors, size_t rows, size_t cols, const std::vector<float>& values) {
  Tensor tensor = tensors.New(rows, cols);
  std::copy(values.begin(), values.end(), tensor.data());
  return tensor;
}

inline std::vector<float> ToVector(const float* data, size_t count) {
  return std::vector<float>(data, data + count);
}

struct Results {
  std::vector<float> out, dqkv;
};
inline Results RunSelfAttention(Machine& machine, const Problem& problem,
                                const std::vector<float>* dout = nullptr,
                                const std::vector<float>* earlier_dqkv = nullptr) {
  const Tensor qkv = ToTensor(machine.tensors, problem.num_rows(), problem.num_cols(), problem.qkv);
  const RotaryTable rotary = problem.Rotary();
  const TokenBatch batch = problem.batch();
  machine.execution.tape = dout == nullptr ? nullptr : &machine.tape;
  Results results;
  {
    const Tensor out = SelfAttention(machine.execution, {.shape = problem.shape,
                                                         .rotary = rotary,
                                                         .qkv = qkv,
                                                         .batch = batch,
                                                         .mask = problem.mask,
                                                         .prefix_lengths = problem.prefix_lengths});
    results.out = ToVector(out.data(), problem.num_rows() * problem.out_cols());
    if (dout == nullptr) return results;
    EXPECT_TRUE(out.MakeGrad());
    std::copy(dout->begin(), dout->end(), out.grad());
    if (earlier_dqkv != nullptr) {
      EXPECT_TRUE(qkv.MakeGrad());
      std::copy(earlier_dqkv->begin(), earlier_dqkv->end(), qkv.grad());
    }
    machine.tape.BackwardTo(0, machine.execution);
    EXPECT_EQ(out.grad(), nullptr) << "the output's gradient is given back";
  }
  machine.execution.tape = nullptr;
  results.dqkv = ToVector(qkv.grad(), problem.num_rows() * problem.num_cols());
  return results;
}

// Within a tile, a block, several blocks; at their borders; and one that hides nothing here.
inline constexpr size_t kWindows[] = {1, 2, 20, 63, 64, 65, 100, 128, 1000};

inline constexpr AttentionMask kMasks[] = {AttentionMask::kCausal, AttentionMask::kBidirectional,
                                           AttentionMask::kPrefix};

}  // namespace qwen25
