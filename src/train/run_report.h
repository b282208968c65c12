// The report of a run, from metrics.jsonl, the final model's config.json and the caller's additions.
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

// Writes <run>/loss.svg and <run>/report.html. Errors of ReadMetrics, of config.json and of writing.
Status WriteRunReport(const std::filesystem::path& run, const RunReportExtras& extras);

}  // namespace qwen25
