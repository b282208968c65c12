// The report of a run's folder: what metrics.jsonl and the final model say, and what the caller adds.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "train/report.h"

namespace qwen25 {

struct RunReportExtras {
  std::vector<ReportInput::Compressor> compressors;
  std::vector<ReportInput::Completion> completions;
  std::vector<ReportInput::Row> data;
};

// Writes <run>/loss.svg and <run>/report.html.
Status WriteRunReport(const std::filesystem::path& run, const RunReportExtras& extras);

}  // namespace qwen25
