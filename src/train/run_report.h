// The page of a run's folder: what metrics.jsonl and the final model say, and what the caller adds.
#pragma once

#include <filesystem>
#include <vector>

#include "base/status.h"
#include "report/training_page.h"

namespace qwen25 {

struct RunReportExtras {
  std::vector<TrainingPage::Compressor> compressors;
  std::vector<TrainingPage::Completion> completions;
  std::vector<TrainingPage::Row> data;
};

// Writes <run>/loss.svg and <run>/report.html.
Status WriteRunReport(const std::filesystem::path& run, const RunReportExtras& extras);

}  // namespace qwen25
