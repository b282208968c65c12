// The blocks of SelfAttention. The members that attention uses are described in listed_blocks.h.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/attention.h"
#include "kernels/block_summary.h"
#include "ops/attention/attention_tasks.h"
#include "ops/attention/sequence_kv.h"
#include "ops/routing/tile_choice.h"

namespace qwen25 {

// The blocks of a sequence lie back to back, and the last one is cut to a multiple of 16 tokens, so that many
// short sequences take little memory. Summaries, if there is memory for them, lie likewise.
class TemporaryBlocks {
 public:
  // Rows of [2 K D] floats that a batch needs.
  static size_t NumRows(const TokenBatch& batch) {
    return Round(batch.num_tokens()) + kUnit * batch.num_sequences();
  }
  // Panels that the summaries of a batch need, each K * NumbersPerPanel(D) numbers of 2 bytes.
  static size_t NumPanels(const TokenBatch& batch) {
    return batch.num_tokens() / (kPanelBlocks * kBlockTokens) + batch.num_sequences();
  }

  // `panels` may be null.
  TemporaryBlocks(const AttentionShape& shape, const TokenBatch& batch, float* data,
                  uint16_t* panels = nullptr)
      : shape_(shape), batch_(batch), data_(data), panels_(panels) {}

  size_t ScratchFloats() const { return 0; }
  void StartTask(float*) const {}
  KvBlock Target(size_t sequence, size_t kv_head, size_t block, float*) const {
    const size_t begin = Start(sequence), length = Start(sequence + 1) - begin;
    const size_t first_token = block * kBlockTokens;
    const size_t stride = Round(std::min(kBlockTokens, length - first_token));
    // Far enough after the sequence before: Round(begin) + Round(length) <= Round(begin + length) + kUnit.
    const size_t first_row = Round(begin) + kUnit * sequence + first_token;
    float* keys = data_ + 2 * shape_.head_dim * (first_row * shape_.num_kv_heads + kv_head * stride);
    return {keys, stride, keys + shape_.head_dim * stride};
  }
  void Stored(size_t sequence, size_t kv_head, size_t block, size_t, size_t num_tokens,
              const KvBlock& target) const {
    if (num_tokens < kBlockTokens || panels_ == nullptr) return;
    SummarizeBlock(shape_.head_dim, target, block % kPanelBlocks,
                   Panel(sequence, kv_head, block / kPanelBlocks));
  }
  void AttendTo(const AttentionTask& task, const QueryTile& tile, const RotaryAngles& rotary, size_t block,
                size_t, float*, const AttendState& state) const {
    AttendToBlock(tile, rotary, Target(task.sequence, task.kv_head, block, nullptr), block, state);
  }
  void ScoreKeys(const AttentionTask& task, const QueryTile& tile, const RotaryAngles& rotary, size_t block,
                 size_t, float*, const AttendState& state, float* masses) const {
    KeyMasses(tile, rotary, Target(task.sequence, task.kv_head, block, nullptr), block, state, masses);
  }
  bool HasPanels(size_t) const { return panels_ != nullptr; }
  size_t NumRecalled(size_t) const { return 0; }
  SequencePanels Panels(size_t sequence, size_t kv_head) const {
    const size_t panel_numbers = NumbersPerPanel(shape_.head_dim),
                 stride = shape_.num_kv_heads * panel_numbers;
    return {.blocks = {.base = panels_ + FirstPanel(sequence) * stride,
                       .offset = kv_head * panel_numbers,
                       .stride = stride}};
  }

 private:
  size_t FirstPanel(size_t sequence) const {
    return Start(sequence) / (kPanelBlocks * kBlockTokens) + sequence;
  }
  uint16_t* Panel(size_t sequence, size_t kv_head, size_t panel) const {
    const size_t index = (FirstPanel(sequence) + panel) * shape_.num_kv_heads + kv_head;
    return panels_ + index * NumbersPerPanel(shape_.head_dim);
  }
  static constexpr size_t kUnit = 16;
  static size_t Round(size_t tokens) { return (tokens + kUnit - 1) / kUnit * kUnit; }
  size_t Start(size_t sequence) const { return static_cast<size_t>(batch_.sequence_starts[sequence]); }

  const AttentionShape& shape_;
  const TokenBatch& batch_;
  float* data_;
  uint16_t* panels_;
};

}  // namespace qwen25
