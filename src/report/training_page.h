// What a training was and how it went: a loss curve (SVG) and a page (HTML) that need no other file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "report/chart.h"

namespace qwen25 {

// All that the page shows. Every x of a series is the number of tokens trained on.
struct TrainingPage {
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
  // A point per step. Losses are means per token, in nats.
  std::vector<ChartPoint> loss, learning_rate, gradient_norm, tokens_per_second;
  std::vector<ChartPoint> validation_loss;  // a point per validation
  uint64_t num_steps = 0;
  double seconds = 0;                   // spent training
  double flop_utilization = 0;          // mean share of the machine's matrix-product rate; 0: not known
  double bytes_per_token = 0;           // of the text: relates nats per token to bits per byte; 0: not known
  std::optional<double> bits_per_byte;  // of the finished model on the held-out text
  std::vector<Row> configuration;
  std::vector<Row> data;
  std::vector<Compressor> compressors;  // of other programs on the same bytes
  std::vector<Completion> completions;
};

// Training and validation loss over tokens: nats on the left, and bits per byte on the right if they are
// known.
Chart LossChart(const TrainingPage& page);

// The page as HTML.
std::string RenderHtml(const TrainingPage& page);

// Writes `directory`/loss.svg and `directory`/report.html, each replaced atomically.
Status WriteTrainingPage(const std::filesystem::path& directory, const TrainingPage& page);

}  // namespace qwen25
