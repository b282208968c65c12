// The metrics of a run, in `metrics.jsonl` (one JSON object per line) and in TensorBoard event files.
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

// One optimiser step. The fields have the same names in metrics.jsonl.
struct StepMetrics {
  uint64_t step = 0;             // optimiser steps done, this one included
  uint64_t tokens = 0;           // tokens trained on since the start of the run
  double loss = 0;               // mean over the step's tokens, in nats
  double learning_rate = 0;      // of AdamW
  double gradient_norm = 0;      // before clipping
  double tokens_per_second = 0;  // of this step
  double flop_utilization = 0;   // share of the measured rate of matrix products; 0 if not measured
  double seconds = 0;            // spent training since the start of the run
};

// One pass over the validation data. All figures are over the predicted tokens: all but the first of each
// document, as in training. The bytes of the first token do not count; the end-of-text token counts as a
// token of 0 bytes. `qwen25 perplexity` predicts the first token from an end-of-text token, predicts no
// end-of-text token and uses overlapping windows, so that its bits per byte compare with a compressor's.
struct ValidationMetrics {
  uint64_t step = 0;
  uint64_t tokens = 0;             // trained on so far
  uint64_t validation_tokens = 0;  // predicted in this pass
  uint64_t validation_bytes = 0;   // of the text of these tokens; 0: not known
  double loss = 0;                 // mean over these tokens, in nats; in metrics.jsonl "validation_loss"
  double bits_per_byte = std::numeric_limits<double>::quiet_NaN();  // NaN if token lengths are not known
};

struct MetricsHistory {
  std::vector<StepMetrics> steps;
  std::vector<ValidationMetrics> validations;
};

// Reads metrics.jsonl. Ignores an incomplete last line; kCorrupt, with the number, for any other line that is
// not a record.
Result<MetricsHistory> ReadMetrics(const std::filesystem::path& metrics_jsonl);

// Writes both kinds of file. Append() allocates nothing after the first calls.
class MetricsWriter {
 public:
  // Opens `directory`/metrics.jsonl and a file in `directory`/tensorboard/. First removes the records of
  // steps after `last_step`, which a resumed run computes again; last_step 0 starts afresh.
  static Result<MetricsWriter> Open(const std::filesystem::path& directory, uint64_t last_step);

  Status Append(const StepMetrics& metrics);
  Status Append(const ValidationMetrics& metrics);
  // Flushes the files to disk. Called before every checkpoint, so that a power loss loses no earlier records.
  Status Sync();

 private:
  MetricsWriter(AppendFile file, TensorBoardWriter tensorboard)
      : file_(std::move(file)), tensorboard_(std::move(tensorboard)) {}

  AppendFile file_;
  TensorBoardWriter tensorboard_;
  fmt::memory_buffer line_;  // reused
};

}  // namespace qwen25
