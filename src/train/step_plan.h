// How many steps a run takes, when the user gives steps, tokens or minutes.
#pragma once

#include <cstdint>

namespace qwen25 {

// A run of a given number of minutes learns its speed on the way: the number of steps, which cosine and decay
// need, is estimated after the first steps and again at each sixteenth of the budget. The estimate is part of
// a checkpoint, so a resumed run follows the same schedule until the next one.
class StepPlan {
 public:
  // Exactly one of the three is not 0.
  StepPlan(uint64_t max_steps, uint64_t max_tokens, double max_minutes, uint64_t tokens_per_step);

  // 0 while it is not known yet.
  uint64_t total_steps() const { return total_steps_; }
  uint64_t revision() const { return revision_; }
  // Goes on from a checkpoint. A plan by steps or tokens keeps its own total.
  void Restore(uint64_t step, uint64_t total_steps, uint64_t revision);

  // Told after every step: steps done and seconds spent, both since the start of the run.
  void Observe(uint64_t step, double seconds);
  bool Done(uint64_t step, double seconds) const;

 private:
  double budget_seconds_;  // 0: by steps
  uint64_t total_steps_ = 0;
  uint64_t revision_ = 0;
  // The last observation, from which speed is measured; the first step of a process, which also allocates, is
  // left out.
  uint64_t mark_step_ = 0;
  double mark_seconds_ = 0;
  bool marked_ = false;
};

}  // namespace qwen25
