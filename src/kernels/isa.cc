#include "kernels/isa.h"

#include <hwy/highway.h>
#include <hwy/targets.h>

#include <cstdio>
#include <cstdlib>

#if HWY_ARCH_X86
#include <cpuid.h>
#elif HWY_ARCH_ARM_A64 && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace qwen25 {
namespace {

// The forced target, or 0. Highway's own mock is the only other place that knows, and it cannot be read.
int64_t forced_target = 0;
bool forced_dots = false;

constexpr std::string_view kDotsSuffix = HWY_ARCH_X86 ? "_VNNI" : "_DOTPROD";

// Whether this CPU has dot products of bytes in the vectors of a target. Highway has no targets for them.
bool TargetHasByteDots(int64_t target) {
#if HWY_ARCH_X86
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (target == HWY_AVX3 && __get_cpuid_count(7, 0, &a, &b, &c, &d)) return (c >> 11 & 1) != 0;
  if (target == HWY_AVX2 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) return (a >> 4 & 1) != 0;
#elif HWY_ARCH_ARM_A64 && defined(__linux__)
  constexpr unsigned long kDotProducts = 1ul << 20;  // HWCAP_ASIMDDP
  if (target == HWY_NEON) return (getauxval(AT_HWCAP) & kDotProducts) != 0;
#endif
  (void)target;
  return false;
}

// Bits of the targets that are compiled in and run here. Lower bits are better within an architecture.
int64_t AvailableTargets() {
  hwy::SetSupportedTargetsForTest(0);
  const int64_t available = hwy::SupportedTargets() & HWY_TARGETS;
  hwy::SetSupportedTargetsForTest(forced_target);
  return available;
}

std::string IsaName(int64_t target, bool dots) {
  return std::string(hwy::TargetName(target)) + std::string(dots ? kDotsSuffix : "");
}

// Calls function(target, dots), best first.
template <typename Function>
void ForEachIsa(int64_t targets, const Function& function) {
  for (; targets != 0; targets &= targets - 1) {
    const int64_t target = targets & -targets;
    if (TargetHasByteDots(target)) function(target, true);
    function(target, false);
  }
}

}  // namespace

Status ForceIsa(std::string_view name) {
  int64_t found = 0;
  bool found_dots = false;
  ForEachIsa(AvailableTargets(), [&](int64_t target, bool dots) {
    if (name != IsaName(target, dots)) return;
    found = target;
    found_dots = dots;
  });
  if (found == 0) {
    return InvalidArgument(
        "instruction set '{}' is unknown, not built in or not supported by this CPU; use one of: {}", name,
        AvailableIsas());
  }
  forced_target = found;
  forced_dots = found_dots;
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

bool IsaHasByteDots() {
  // Asked by every product: the CPU is asked only once.
  static const bool available = [] {
    const int64_t targets = AvailableTargets();
    return TargetHasByteDots(targets & -targets);
  }();
  return forced_target != 0 ? forced_dots : available;
}

std::string CurrentIsa() {
  const int64_t targets = forced_target != 0 ? forced_target : AvailableTargets();
  return IsaName(targets & -targets, IsaHasByteDots());
}

std::string AvailableIsas() {
  std::string names;
  ForEachIsa(AvailableTargets(), [&](int64_t target, bool dots) {
    if (!names.empty()) names += ", ";
    names += IsaName(target, dots);
  });
  return names;
}

}  // namespace qwen25
