// Which rows of a forward pass use which adapters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/adapter/adapter_set.h"

namespace qwen25 {

// Collects the rows of each set from the sequences of a pass, so that sequences with the same set share the
// products. Keeps its memory from pass to pass.
class PassAdapters {
 public:
  // Begins a new pass.
  void Clear();
  // Adds the next sequence: its set, which may be null, its rows in the batch, and how many of the last ones
  // get logits.
  void Add(const AdapterSet* adapters, size_t num_rows, size_t num_logit_rows);
  // To be called after all sequences.
  void Group();

  // For DecoderForward and for Logits. Valid until the next pass.
  std::span<const AdapterRows> rows() const { return groups_; }
  std::span<const AdapterRows> logit_rows() const { return logit_groups_; }

 private:
  struct Sequence {
    const AdapterSet* adapters;  // null: none
    size_t first_row, num_rows, first_logit_row, num_logit_rows;
  };

  std::vector<Sequence> sequences_;
  size_t num_rows_ = 0, num_logit_rows_ = 0;
  std::vector<int32_t> row_memory_, logit_row_memory_;  // of the groups, one after another
  std::vector<AdapterRows> groups_, logit_groups_;
};

}  // namespace qwen25
