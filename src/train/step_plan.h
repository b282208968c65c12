// The number of steps of a run, given in steps, tokens or minutes.
#pragma once

#include <cstdint>

namespace qwen25 {

// A run with a budget of minutes measures its speed: it estimates the number of steps, which the schedule
// needs, after the first steps and again at each sixteenth of the budget. A checkpoint keeps the estimate, so
// that a resumed run follows the same schedule until the next estimate.
class StepPlan {
 public:
  // Exactly one of the three lengths must not be 0.
  StepPlan(uint64_t max_steps, uint64_t max_tokens, double max_minutes, uint64_t tokens_per_step);

  // 0 before the first estimate.
  uint64_t total_steps() const { return total_steps_; }
  // Grows with every estimate.
  uint64_t revision() const { return revision_; }
  // Continues from a checkpoint. A plan by steps or tokens keeps its own total.
  void Restore(uint64_t step, uint64_t total_steps, uint64_t revision);

  // To be called after every step, with the steps done and the seconds spent since the start of the run.
  void Observe(uint64_t step, double seconds);
  // Whether the run has reached its end.
  bool Done(uint64_t step, double seconds) const;

 private:
  double budget_seconds_;  // 0: planned by steps or tokens
  uint64_t total_steps_ = 0;
  uint64_t revision_ = 0;
  // Speed is measured from here: the last estimate, or the end of the first step of this process, which is
  // slower because it allocates.
  uint64_t mark_step_ = 0;
  double mark_seconds_ = 0;
  bool marked_ = false;
};

}  // namespace qwen25
