// What the verbs that train share: settings, and a training as a user sees it run.
#pragma once

#include <span>
#include <string>

#include "base/status.h"
#include "train/trainer.h"

namespace qwen25 {

// Sets options as --set says, "KEY=VALUE" each. `example` is one for the error of what is not.
Status ApplySettings(std::span<const std::string> settings, const char* example, TrainOptions& options);

// Runs `trainer` to its end, with a progress line on standard error, writes the report of the run in
// `output`, and begins the line about it: steps, tokens, time and loss. An InterruptGuard of the caller's
// stops it with a checkpoint; kCancelled then says how to go on.
Result<TrainSummary> RunWithProgress(Trainer& trainer, const std::string& output);

}  // namespace qwen25
