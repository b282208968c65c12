#include "kernels/isa.h"

#include <hwy/highway.h>
#include <hwy/targets.h>

#include <cstdio>
#include <cstdlib>

namespace qwen25 {
namespace {

// The forced target, or 0. Highway's own mock is the only other place that knows, and it cannot be read.
int64_t forced_target = 0;

// Bits of the targets that are compiled in and run here. Lower bits are better within an architecture.
int64_t AvailableTargets() {
  hwy::SetSupportedTargetsForTest(0);
  const int64_t available = hwy::SupportedTargets() & HWY_TARGETS;
  hwy::SetSupportedTargetsForTest(forced_target);
  return available;
}

template <typename Function>
void ForEachTarget(int64_t targets, const Function& function) {
  for (; targets != 0; targets &= targets - 1) function(targets & -targets);
}

}  // namespace

Status ForceIsa(std::string_view name) {
  int64_t found = 0;
  ForEachTarget(AvailableTargets(), [&](int64_t target) {
    if (name == hwy::TargetName(target)) found = target;
  });
  if (found == 0) {
    return InvalidArgument(
        "instruction set '{}' is unknown, not built in or not supported by this CPU; use one of: {}", name,
        AvailableIsas());
  }
  forced_target = found;
  hwy::SetSupportedTargetsForTest(found);
  return {};
}

void ApplyForcedIsa() {
  const char* name = std::getenv("QWEN25_FORCE_ISA");
  if (name == nullptr || *name == '\0') return;
  const Status status = ForceIsa(name);
  if (status.ok()) return;
  std::fprintf(stderr, "QWEN25_FORCE_ISA: %s\n", status.message().c_str());
  std::exit(2);
}

std::string CurrentIsa() {
  const int64_t targets = forced_target != 0 ? forced_target : AvailableTargets();
  return hwy::TargetName(targets & -targets);
}

std::string AvailableIsas() {
  std::string names;
  ForEachTarget(AvailableTargets(), [&](int64_t target) {
    if (!names.empty()) names += ", ";
    names += hwy::TargetName(target);
  });
  return names;
}

}  // namespace qwen25
