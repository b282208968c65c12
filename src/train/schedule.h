// How the learning rate moves over a run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace qwen25 {

enum class ScheduleKind {
  kConstant,  // warm-up, then the peak
  kCosine,    // warm-up, then half a cosine down to the minimum
  kWsd,       // warm-up, stable, decay (MiniCPM, arXiv:2404.06395): a straight line down at the end
};
std::string_view ScheduleKindName(ScheduleKind kind);
// kInvalidArgument lists the names there are.
Result<ScheduleKind> ParseScheduleKind(std::string_view name);

struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::kCosine;
  uint64_t warmup_steps = 0;  // the first step has 1 / warmup_steps of the peak, step warmup_steps all of it
  double min_ratio = 0.1;     // where cosine and decay end, as a share of the peak
  double decay_fraction = 0.2;  // kWsd: share of all steps that decay

  Status Validate() const;
};

// The factor on the peak learning rate for `step` (counted from 0) of a run of `total_steps`. Steps after
// the end keep the last value. kConstant ignores total_steps.
double ScheduleFactor(const ScheduleOptions& options, uint64_t step, uint64_t total_steps);

}  // namespace qwen25
