// What a run measures: `metrics.jsonl`, one JSON object per line, and TensorBoard event files with the same.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "train/tensorboard.h"

namespace qwen25 {

// One optimiser step. In metrics.jsonl the fields keep their names.
struct StepMetrics {
  uint64_t step = 0;             // steps done, so 1 is the first
  uint64_t tokens = 0;           // tokens trained on since the start of the run
  double loss = 0;               // mean over the step's tokens, in nats
  double learning_rate = 0;      // of AdamW
  double gradient_norm = 0;      // before clipping
  double tokens_per_second = 0;  // of this step
  double flop_utilization = 0;   // share of the measured matrix-product rate; 0 if it was not measured
  double seconds = 0;            // spent training since the start of the run
};

// One pass over the validation data. Predicted, and counted in every figure, are all tokens but the first of
// each document, which nothing precedes: training on split documents never asks for it either. Its bytes are
// left out as well, the end-of-text token costs bits and stands for no byte. `qwen25 perplexity` counts
// differently: it predicts the first token from an end-of-text token, has no end-of-text token to predict,
// and slides its window, so that its bits per byte are the ones to compare with a compressor's.
struct ValidationMetrics {
  uint64_t step = 0;
  uint64_t tokens = 0;             // trained on so far
  uint64_t validation_tokens = 0;  // predicted in this pass
  uint64_t validation_bytes = 0;   // of text that they stand for; 0: not known
  double loss = 0;                 // mean over them, in nats
  double bits_per_byte = std::numeric_limits<double>::quiet_NaN();  // NaN if token lengths are not known
};

struct MetricsHistory {
  std::vector<StepMetrics> steps;
  std::vector<ValidationMetrics> validations;
};

// Reads metrics.jsonl. A last line that was cut off while it was written is ignored; any other line that is
// not a record is kCorrupt, with its number.
Result<MetricsHistory> ReadMetrics(const std::filesystem::path& metrics_jsonl);

// Writes both kinds of file. Append() allocates nothing in a steady state.
class MetricsWriter {
 public:
  // `directory`/metrics.jsonl and `directory`/tensorboard/. Records of steps after `last_step` (those that a
  // resumed run will compute again) are removed first; last_step 0 starts afresh.
  static Result<MetricsWriter> Open(const std::filesystem::path& directory, uint64_t last_step);

  Status Append(const StepMetrics& metrics);
  Status Append(const ValidationMetrics& metrics);
  // Called with every checkpoint, so that after a power loss no step before it is missing.
  Status Sync();

 private:
  MetricsWriter(AppendFile file, TensorBoardWriter tensorboard)
      : file_(std::move(file)), tensorboard_(std::move(tensorboard)) {}

  AppendFile file_;
  TensorBoardWriter tensorboard_;
  fmt::memory_buffer line_;  // reused
};

}  // namespace qwen25
