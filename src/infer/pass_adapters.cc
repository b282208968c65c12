#include "infer/pass_adapters.h"

#include <algorithm>

namespace qwen25 {
namespace {

// Appends `count` rows from `first` on. The memory was reserved, so that views of it stay valid.
void AppendRows(size_t first, size_t count, std::vector<int32_t>& memory) {
  for (size_t i = 0; i < count; ++i) memory.push_back(static_cast<int32_t>(first + i));
}

}  // namespace

void PassAdapters::Clear() {
  sequences_.clear();
  num_rows_ = num_logit_rows_ = 0;
}

void PassAdapters::Add(const AdapterSet* adapters, size_t num_rows, size_t num_logit_rows) {
  if (adapters != nullptr && adapters->empty()) adapters = nullptr;
  sequences_.push_back({adapters, num_rows_, num_rows, num_logit_rows_, num_logit_rows});
  num_rows_ += num_rows;
  num_logit_rows_ += num_logit_rows;
}

void PassAdapters::Group() {
  groups_.clear();
  logit_groups_.clear();
  row_memory_.clear();
  logit_row_memory_.clear();
  row_memory_.reserve(num_rows_);
  logit_row_memory_.reserve(num_logit_rows_);
  for (const Sequence& first : sequences_) {
    const bool is_known = std::ranges::any_of(
        groups_, [&](const AdapterRows& group) { return group.adapters == first.adapters; });
    if (first.adapters == nullptr || is_known) continue;
    const size_t begin = row_memory_.size(), logit_begin = logit_row_memory_.size();
    for (const Sequence& sequence : sequences_) {
      if (sequence.adapters != first.adapters) continue;
      AppendRows(sequence.first_row, sequence.num_rows, row_memory_);
      AppendRows(sequence.first_logit_row, sequence.num_logit_rows, logit_row_memory_);
    }
    groups_.push_back({first.adapters, std::span(row_memory_).subspan(begin)});
    logit_groups_.push_back({first.adapters, std::span(logit_row_memory_).subspan(logit_begin)});
  }
}

}  // namespace qwen25
