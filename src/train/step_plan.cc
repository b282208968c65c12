#include "train/step_plan.h"

#include <algorithm>
#include <cmath>

namespace qwen25 {
namespace {

constexpr uint64_t kFirstSteps = 4;  // to measure before the first estimate
constexpr double kRevisions = 16;

}  // namespace

StepPlan::StepPlan(uint64_t max_steps, uint64_t max_tokens, double max_minutes, uint64_t tokens_per_step)
    : budget_seconds_(max_minutes * 60),
      total_steps_(max_steps > 0 ? max_steps
                                 : max_tokens / tokens_per_step + (max_tokens % tokens_per_step != 0)) {}

void StepPlan::Restore(uint64_t step, uint64_t total_steps, uint64_t revision) {
  marked_ = false;
  if (budget_seconds_ <= 0) return;
  total_steps_ = std::max(total_steps, step);
  revision_ = revision;
}

void StepPlan::Observe(uint64_t step, double seconds) {
  if (budget_seconds_ <= 0) return;
  if (!marked_) {
    mark_step_ = step;
    mark_seconds_ = seconds;
    marked_ = true;
    return;
  }
  const bool first = revision_ == 0 && step - mark_step_ >= kFirstSteps;
  const bool again = revision_ > 0 && step > mark_step_ &&
                     seconds >= budget_seconds_ * static_cast<double>(revision_) / kRevisions;
  if (!first && !again) return;
  const double rate = (seconds - mark_seconds_) / static_cast<double>(step - mark_step_);
  const double left = std::max(0.0, budget_seconds_ - seconds);
  total_steps_ = step + static_cast<uint64_t>(std::max(0.0, left / std::max(rate, 1e-9)));
  revision_ = std::max(revision_ + 1, static_cast<uint64_t>(seconds / budget_seconds_ * kRevisions) + 1);
  mark_step_ = step;
  mark_seconds_ = seconds;
}

bool StepPlan::Done(uint64_t step, double seconds) const {
  if (budget_seconds_ > 0 && seconds >= budget_seconds_) return true;
  return total_steps_ > 0 && step >= total_steps_;
}

}  // namespace qwen25
