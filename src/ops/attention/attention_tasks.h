// How attention shares a batch among threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "ops/token_batch.h"

namespace qwen25 {

// Instead of a block's index: there is no block.
inline constexpr size_t kNoBlock = SIZE_MAX;

// Consecutive tokens of one sequence for one kv head.
struct AttentionTask {
  size_t sequence;
  size_t kv_head;
  size_t first_row;       // of the batch
  size_t num_tokens;      // at least 1
  size_t first_position;  // of the sequence
};

// Cuts the sequences of a batch at positions that are multiples of `tokens_per_task`, for each kv head. Tasks
// of one sequence and kv head follow each other, so that its keys and values stay in cache.
class AttentionTasks {
 public:
  enum class Order {
    kAscending,
    kDescending,  // the last tokens first, since they see most
  };
  // Floats of scratch memory for NumFloats(sequences).
  static constexpr size_t NumFloats(size_t num_sequences) { return num_sequences + 1; }

  // `memory` holds NumFloats of the batch's sequences, for as long as this object is used.
  AttentionTasks(float* memory, const TokenBatch& batch, size_t num_kv_heads, size_t tokens_per_task,
                 Order order)
      : batch_(batch),
        num_kv_heads_(num_kv_heads),
        tokens_per_task_(tokens_per_task),
        order_(order),
        first_task_(reinterpret_cast<uint32_t*>(memory)) {
    static_assert(sizeof(uint32_t) == sizeof(float));
    first_task_[0] = 0;
    for (size_t s = 0; s < batch.num_sequences(); ++s) {
      const size_t num_tasks = first_task_[s] + TasksPerHead(s) * num_kv_heads;
      QWEN25_CHECK(num_tasks <= UINT32_MAX);
      first_task_[s + 1] = static_cast<uint32_t>(num_tasks);
    }
  }

  size_t size() const { return first_task_[batch_.num_sequences()]; }

  AttentionTask operator[](size_t task) const {
    const uint32_t *begin = first_task_, *end = begin + batch_.num_sequences() + 1;
    const size_t s = static_cast<size_t>(std::upper_bound(begin, end, task) - begin) - 1;
    const size_t per_head = TasksPerHead(s), within = task - first_task_[s];
    const size_t index = order_ == Order::kAscending ? within % per_head : per_head - 1 - within % per_head;
    const size_t row_begin = static_cast<size_t>(batch_.sequence_starts[s]);
    const size_t position = static_cast<size_t>(batch_.positions[row_begin]);
    const size_t end_position = position + static_cast<size_t>(batch_.sequence_starts[s + 1]) - row_begin;
    const size_t cut = (position / tokens_per_task_ + index) * tokens_per_task_;
    const size_t first = std::max(position, cut);
    return {.sequence = s,
            .kv_head = within / per_head,
            .first_row = row_begin + first - position,
            .num_tokens = std::min(end_position, cut + tokens_per_task_) - first,
            .first_position = first};
  }

 private:
  size_t TasksPerHead(size_t s) const {
    const size_t begin = static_cast<size_t>(batch_.sequence_starts[s]);
    const size_t end = static_cast<size_t>(batch_.sequence_starts[s + 1]);
    if (begin == end) return 0;
    const size_t position = static_cast<size_t>(batch_.positions[begin]);
    return (position + end - begin + tokens_per_task_ - 1) / tokens_per_task_ - position / tokens_per_task_;
  }

  const TokenBatch& batch_;
  const size_t num_kv_heads_;
  const size_t tokens_per_task_;
  const Order order_;
  uint32_t* const first_task_;  // [S + 1]
};

}  // namespace qwen25
