// Sequences whose blocks differ, so that a choice between them matters, and attention over the chosen ones.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/rng.h"
#include "ops/attention/block_attention.h"
#include "ops/ops_test_util.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {

// One sequence with its blocks and panels.
class CachedSequence {
 public:
  CachedSequence(const AttentionShape& shape, size_t max_tokens) {
    const size_t blocks = BlocksFor(max_tokens);
    for (size_t i = 0; i < blocks; ++i) Add(shape.BytesPerBlock(), blocks_);
    for (size_t i = 0; i * kPanelBlocks < blocks; ++i) Add(shape.BytesPerPanel(), panels_);
  }
  SequenceKv View(size_t num_tokens, bool with_panels = true) const {
    return {.blocks = blocks_,
            .num_tokens = num_tokens,
            .summaries = with_panels ? std::span<std::byte* const>(panels_) : std::span<std::byte* const>()};
  }

 private:
  void Add(size_t num_bytes, std::vector<std::byte*>& to) {
    memory_.emplace_back(num_bytes);
    std::memset(memory_.back().data(), 0, num_bytes);
    to.push_back(memory_.back().data());
  }
  std::vector<AlignedBuffer<std::byte>> memory_;
  std::vector<std::byte*> blocks_, panels_;
};

// One for all sequences; none for null.
inline std::span<const LayerRouting> Span(const LayerRouting* routing) {
  return {routing, routing == nullptr ? size_t{0} : size_t{1}};
}

// A sequence whose keys come in clusters, so that blocks differ.
struct RoutedProblem {
  AttentionShape shape;
  size_t length;
  std::vector<float> qkv;
  RotaryTable rotary;

  RoutedProblem(size_t head_dim, size_t heads, size_t kv_heads, size_t length, uint64_t seed,
                KvFormat format = KvFormat::kFloat32)
      : shape{heads, kv_heads, head_dim, 1 / std::sqrt(static_cast<float>(head_dim)), format},
        length(length),
        qkv(length * num_cols()),
        rotary(InverseFrequencies(head_dim, 10000), length) {
    Rng rng(seed);
    std::vector<float> center(num_cols());
    for (size_t t = 0; t < length; ++t) {
      if (t % 50 == 0) {
        for (float& c : center) c = static_cast<float>(rng.Normal());
      }
      for (size_t c = 0; c < num_cols(); ++c) {
        qkv[t * num_cols() + c] = 1.2f * center[c] + static_cast<float>(0.7 * rng.Normal());
      }
    }
  }
  size_t num_cols() const { return (shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim; }
  size_t out_cols() const { return shape.num_heads * shape.head_dim; }

  // Appends and attends in chunks; rows in order.
  std::vector<float> Run(const std::vector<size_t>& chunks, const LayerRouting* routing, size_t threads = 1,
                         bool with_panels = true) const {
    Machine machine(threads);
    const CachedSequence cache(shape, length);
    std::vector<float> out;
    size_t done = 0;
    for (const size_t count : chunks) {
      std::vector<int32_t> tokens(count), positions(count);
      for (size_t i = 0; i < count; ++i) positions[i] = static_cast<int32_t>(done + i);
      const std::vector<int32_t> starts = {0, static_cast<int32_t>(count)};
      const TokenBatch batch = {tokens, positions, starts};
      const SequenceKv kv = cache.View(done + count, with_panels);
      const Tensor input = machine.execution.tensors.New(count, num_cols());
      std::copy_n(qkv.data() + done * num_cols(), count * num_cols(), input.data());
      const BlockAttentionCall call = {.shape = shape,
                                       .rotary = rotary,
                                       .qkv = input,
                                       .batch = batch,
                                       .kv = {&kv, 1},
                                       .routing = Span(routing)};
      AppendKv(machine.execution, call);
      const Tensor result = AttendBlocks(machine.execution, call);
      out.insert(out.end(), result.data(), result.data() + count * out_cols());
      done += count;
    }
    return out;
  }

  // e to the score of key `j` for query head `h` at `position`.
  double Exponential(size_t position, size_t h, size_t j) const {
    const size_t dim = shape.head_dim, half = dim / 2;
    const std::vector<double> frequencies = InverseFrequencies(dim, 10000);
    const float* q = &qkv[position * num_cols() + h * dim];
    const float* k = &qkv[j * num_cols() + shape.KeyColumn(h / shape.HeadsPerGroup())];
    double score = 0;
    for (size_t i = 0; i < half; ++i) {
      const double angle = double(position - j) * frequencies[i], c = std::cos(angle), s = std::sin(angle);
      score += (q[i] * c - q[i + half] * s) * k[i] + (q[i + half] * c + q[i] * s) * k[i + half];
    }
    return std::exp(score * shape.scale);
  }

  // The textbook over the blocks that `reads(head, position, block)` allows.
  template <typename Reads>
  std::vector<double> Oracle(size_t position, const Reads& reads) const {
    const size_t dim = shape.head_dim;
    std::vector<double> out(out_cols());
    for (size_t h = 0; h < shape.num_heads; ++h) {
      const size_t kv_head = h / shape.HeadsPerGroup();
      std::vector<double> sum(dim);
      double total = 0;
      for (size_t j = 0; j <= position; ++j) {
        if (!reads(kv_head, j)) continue;
        const float* v = &qkv[j * num_cols() + shape.ValueColumn(kv_head)];
        const double p = Exponential(position, h, j);
        total += p;
        for (size_t d = 0; d < dim; ++d) sum[d] += p * v[d];
      }
      for (size_t d = 0; d < dim; ++d) out[h * dim + d] = sum[d] / total;
    }
    return out;
  }
};

inline RoutingPolicy SmallPolicy(RoutingPolicy::Kind kind) {
  return {
      .kind = kind, .max_blocks = 3, .top_p = 0.9f, .sink_blocks = 1, .local_blocks = 1, .dense_below = 0};
}

}  // namespace qwen25
