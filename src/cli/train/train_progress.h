// A training as a user sees it run.
#pragma once

#include "base/status.h"
#include "train/trainer.h"

namespace qwen25 {

// Runs `trainer` to its end, with a progress line on standard error. An InterruptGuard of the caller's stops
// it with a checkpoint.
Result<TrainSummary> RunWithProgress(Trainer& trainer);

}  // namespace qwen25
