#include "cli/train/train_progress.h"

#include <fmt/format.h>

#include <iterator>

#include "base/progress.h"
#include "cli/terminal/interrupt.h"

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

Result<TrainSummary> RunWithProgress(Trainer& trainer) {
  Progress progress("train", "steps", trainer.planned_steps(), trainer.state().step);
  double validation_loss = 0;
  TrainCallbacks callbacks;
  callbacks.on_step = [&](const StepMetrics& metrics) { Show(trainer, metrics, validation_loss, progress); };
  callbacks.on_validation = [&](const ValidationMetrics& metrics) { validation_loss = metrics.loss; };
  callbacks.stop = &InterruptGuard::flag();
  return trainer.Run(callbacks);
}

}  // namespace qwen25
