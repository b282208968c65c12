// What a verb passes to a long job below it: progress on the terminal, and Ctrl-C as an end.
#pragma once

#include <cstdint>
#include <optional>

#include "base/progress.h"
#include "cli/terminal/interrupt.h"

namespace qwen25 {

// A callback that gets what is done and, from jobs that tell it, of how much. False, which stops the job,
// after Ctrl-C while an InterruptGuard lives. `progress` must outlive it.
inline auto ShowUntilInterrupt(Progress& progress) {
  return [&progress](uint64_t done, std::optional<uint64_t> total = std::nullopt) {
    if (total) progress.set_total(*total);
    progress.Update(done);
    return !InterruptGuard::requested();
  };
}

}  // namespace qwen25
