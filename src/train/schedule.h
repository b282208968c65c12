// Learning-rate schedules.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace qwen25 {

enum class ScheduleKind {
  kConstant,  // warm-up, then the peak
  kCosine,    // warm-up, then half a cosine wave down to the minimum
  kWsd,       // warm-up, stable, decay (MiniCPM, arXiv:2404.06395): constant, then linear decay at the end
};
std::string_view ScheduleKindName(ScheduleKind kind);
// kInvalidArgument lists the known names.
Result<ScheduleKind> ParseScheduleKind(std::string_view name);

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::kCosine;
  uint64_t warmup_steps = 0;    // the n-th step has n / warmup_steps of the peak, up to the peak
  double min_ratio = 0.1;       // end of cosine and decay, as a share of the peak, 0 to 1
  double decay_fraction = 0.2;  // kWsd: the last share of all steps decays, 0 to 1

  // kInvalidArgument names the option, its value and the range.
  Status Validate() const;
};

// The factor on the peak learning rate for step `step`, counted from 0, of a run of `total_steps`. It is
// constant from step total_steps on. kConstant ignores total_steps.
double ScheduleFactor(const ScheduleOptions& options, uint64_t step, uint64_t total_steps);

}  // namespace qwen25
