#include "train/schedule.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace qwen25 {
namespace {

struct NamedKind {
  ScheduleKind kind;
  std::string_view name;
};
constexpr std::array kKinds = {NamedKind{ScheduleKind::kConstant, "constant"},
                               NamedKind{ScheduleKind::kCosine, "cosine"},
                               NamedKind{ScheduleKind::kWsd, "wsd"}};

}  // namespace

std::string_view ScheduleKindName(ScheduleKind kind) {
  for (const NamedKind& named : kKinds) {
    if (named.kind == kind) return named.name;
  }
  return "unknown";
}

Result<ScheduleKind> ParseScheduleKind(std::string_view name) {
  for (const NamedKind& named : kKinds) {
    if (named.name == name) return named.kind;
  }
  return InvalidArgument("schedule is \"{}\", expected \"constant\", \"cosine\" or \"wsd\"", name);
}

Status ScheduleOptions::Validate() const {
  // NaN fails these comparisons.
  if (!(min_ratio >= 0 && min_ratio <= 1)) {
    return InvalidArgument("min_ratio is {}, expected a share of the peak from 0 to 1", min_ratio);
  }
  if (!(decay_fraction >= 0 && decay_fraction <= 1)) {
    return InvalidArgument("decay_fraction is {}, expected a share of the steps from 0 to 1", decay_fraction);
  }
  return {};
}

double ScheduleFactor(const ScheduleOptions& options, uint64_t step, uint64_t total_steps) {
  if (step < options.warmup_steps) {
    return static_cast<double>(step + 1) / static_cast<double>(options.warmup_steps);
  }
  if (options.kind == ScheduleKind::kConstant) return 1;
  const auto total = static_cast<double>(std::max(total_steps, step));
  const auto done = static_cast<double>(step);
  const auto warmup = static_cast<double>(options.warmup_steps);
  if (options.kind == ScheduleKind::kCosine) {
    // Steps warmup to total - 1 cover the half wave, which would reach the minimum at step `total`.
    const double progress = total > warmup ? std::min(1.0, (done - warmup) / (total - warmup)) : 1.0;
    return options.min_ratio + (1 - options.min_ratio) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
  }
  const double decay_steps = std::min(options.decay_fraction * total, total - warmup);
  const double left = total - done;
  if (left >= decay_steps || decay_steps <= 0) return 1;
  return options.min_ratio + (1 - options.min_ratio) * left / decay_steps;
}

}  // namespace qwen25
