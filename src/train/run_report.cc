#include "train/run_report.h"

#include <cmath>
#include <numbers>

#include "base/format.h"
#include "model/config.h"
#include "train/metrics.h"

namespace qwen25 {
namespace {

void AddHistory(const MetricsHistory& history, TrainingPage& page) {
  for (const StepMetrics& step : history.steps) {
    const auto tokens = static_cast<double>(step.tokens);
    page.loss.push_back({tokens, step.loss});
    page.learning_rate.push_back({tokens, step.learning_rate});
    page.gradient_norm.push_back({tokens, step.gradient_norm});
    page.tokens_per_second.push_back({tokens, step.tokens_per_second});
    page.flop_utilization += step.flop_utilization;
  }
  if (!history.steps.empty()) {
    page.num_steps = history.steps.back().step;
    page.seconds = history.steps.back().seconds;
    page.flop_utilization /= static_cast<double>(history.steps.size());
  }
  for (const ValidationMetrics& point : history.validations) {
    page.validation_loss.push_back({static_cast<double>(point.tokens), point.loss});
  }
  if (history.validations.empty()) return;
  const ValidationMetrics& last = history.validations.back();
  if (std::isfinite(last.bits_per_byte)) {
    page.bits_per_byte = last.bits_per_byte;
    page.bytes_per_token = last.loss / std::numbers::ln2 / last.bits_per_byte;
  }
}

}  // namespace

Status WriteRunReport(const std::filesystem::path& run, const RunReportExtras& extras) {
  TrainingPage page;
  page.title = fmt::format("Training run {}", run.filename().string());
  QWEN25_TRY(const MetricsHistory history, ReadMetrics(run / "metrics.jsonl"));
  AddHistory(history, page);
  if (std::filesystem::exists(run / "model" / "config.json")) {
    QWEN25_TRY(const ModelConfig config, ModelConfig::Load(run / "model" / "config.json"));
    page.configuration = {
        {"parameters", FormatCount(static_cast<double>(config.NumParameters()))},
        {"layers x heads (kv)", fmt::format("{} x {} ({})", config.num_hidden_layers,
                                            config.num_attention_heads, config.num_key_value_heads)},
        {"hidden, feed-forward", fmt::format("{}, {}", config.hidden_size, config.intermediate_size)},
        {"vocabulary", fmt::format("{}", config.vocab_size)}};
  }
  page.data = extras.data;
  page.compressors = extras.compressors;
  page.completions = extras.completions;
  return WriteTrainingPage(run, page);
}

}  // namespace qwen25
