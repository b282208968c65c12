// One file per verb: it declares its flags, and what runs when the verb was chosen.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "base/status.h"

namespace qwen25 {

// Set by the chosen verb when the command line has been parsed; main runs it and reports its error.
using RunVerb = std::function<Status()>;

void AddPlanVerb(CLI::App& app, RunVerb& run);
void AddCurateVerb(CLI::App& app, RunVerb& run);
void AddTokenizerVerb(CLI::App& app, RunVerb& run);
void AddTrainVerb(CLI::App& app, RunVerb& run);
void AddReportVerb(CLI::App& app, RunVerb& run);
void AddPerplexityVerb(CLI::App& app, RunVerb& run);
void AddDivergenceVerb(CLI::App& app, RunVerb& run);
void AddGenerateVerb(CLI::App& app, RunVerb& run);
void AddChatVerb(CLI::App& app, RunVerb& run);
void AddConvertVerb(CLI::App& app, RunVerb& run);
void AddQuantizeVerb(CLI::App& app, RunVerb& run);
void AddLogitsVerb(CLI::App& app, RunVerb& run);
void AddRoutingVerb(CLI::App& app, RunVerb& run);
void AddBenchVerb(CLI::App& app, RunVerb& run);
void AddEmbedVerb(CLI::App& app, RunVerb& run);
void AddMemoryVerb(CLI::App& app, RunVerb& run);

}  // namespace qwen25
