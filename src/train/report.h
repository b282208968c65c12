// What a run was and how it went: a loss curve (SVG) and a page (HTML) that need no other file.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "report/chart.h"
#include "train/metrics.h"

namespace qwen25 {

struct ReportInput {
  struct Row {
    std::string name, value;
  };
  struct Compressor {
    std::string name;  // "xz -9e"
    double bits_per_byte;
  };
  struct Completion {
    std::string prompt, text;
  };

  std::string title = "Training run";
  MetricsHistory history;
  double bytes_per_token = 0;  // of the text: relates nats per token to bits per byte; 0: not known
  std::vector<Row> configuration;
  std::vector<Row> data;
  std::optional<double> bits_per_byte;  // of the finished model on the held-out text
  std::vector<Compressor> compressors;  // of other programs on the same bytes
  std::vector<Completion> completions;
};

// Training and validation loss over tokens; nats on the left, bits per byte on the right where they are
// known.
Chart LossChart(const ReportInput& input);

// The page: loss, learning rate, gradient norm, speed, and what else `input` holds.
std::string RenderHtml(const ReportInput& input);

// Writes `directory`/loss.svg and `directory`/report.html, each replaced atomically.
Status WriteReport(const std::filesystem::path& directory, const ReportInput& input);

}  // namespace qwen25
