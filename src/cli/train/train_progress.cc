#include "cli/train/train_progress.h"

#include <fmt/format.h>

#include <iterator>

#include "base/progress.h"
#include "cli/terminal/interrupt.h"
#include "train/run_report.h"
#include "train/train_options.h"

namespace qwen25 {
namespace {

void Show(const Trainer& trainer, const StepMetrics& metrics, double validation_loss, Progress& progress) {
  fmt::basic_memory_buffer<char, 160> note;  // on the stack
  const auto out = std::back_inserter(note);
  fmt::format_to(out, "loss {:.3f}  {:.0f} tokens/s", metrics.loss, metrics.tokens_per_second);
  if (metrics.flop_utilization > 0) fmt::format_to(out, "  MFU {:.0f}%", 100 * metrics.flop_utilization);
  if (validation_loss > 0) fmt::format_to(out, "  validation {:.3f}", validation_loss);
  progress.set_total(trainer.planned_steps());  // it follows the plan
  progress.Update(metrics.step, {note.data(), note.size()});
}

}  // namespace

Status ApplySettings(std::span<const std::string> settings, const char* example, TrainOptions& options) {
  for (const std::string& setting : settings) {
    const size_t equals = setting.find('=');
    if (equals == std::string::npos) {
      return InvalidArgument("--set {}: expected KEY=VALUE, e.g. {}", setting, example);
    }
    QWEN25_RETURN_IF_ERROR(SetOption(setting.substr(0, equals), setting.substr(equals + 1), options));
  }
  return {};
}

Result<TrainSummary> RunWithProgress(Trainer& trainer, const std::string& output) {
  TrainSummary summary;
  {
    Progress progress("train", "steps", trainer.planned_steps(), trainer.state().step);
    double validation_loss = 0;
    TrainCallbacks callbacks;
    callbacks.on_step = [&](const StepMetrics& metrics) {
      Show(trainer, metrics, validation_loss, progress);
    };
    callbacks.on_validation = [&](const ValidationMetrics& metrics) { validation_loss = metrics.loss; };
    callbacks.stop = &InterruptGuard::flag();
    QWEN25_TRY(summary, trainer.Run(callbacks));
  }
  QWEN25_RETURN_IF_ERROR(WriteRunReport(output, RunReportExtras{}));
  if (summary.stopped) {
    return Cancelled("stopped after step {}; its checkpoint is {}; the same command with --resume goes on",
                     summary.steps, summary.checkpoint.string());
  }
  fmt::print("{} steps, {} tokens in {:.0f} s", summary.steps, summary.tokens, summary.seconds);
  if (summary.last_step) fmt::print("; training loss {:.4f}", summary.last_step->loss);
  return summary;
}

}  // namespace qwen25
