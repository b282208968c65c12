// One file per verb: it declares its flags, and what runs when the verb was chosen.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "base/status.h"

namespace qwen25 {

// Set by the chosen verb when the command line has been parsed; main runs it and reports its error.
using RunVerb = std::function<Status()>;

// A verb below `app`, and flags of its own: `function` gets them when the verb was chosen. They live as long
// as the verb.
template <typename Argument>
std::pair<CLI::App*, std::remove_cvref_t<Argument>*> AddVerb(CLI::App& app, RunVerb& run,
                                                             const std::string& name, const std::string& what,
                                                             Status (*function)(Argument)) {
  auto flags = std::make_shared<std::remove_cvref_t<Argument>>();
  CLI::App* verb = app.add_subcommand(name, what);
  verb->callback([flags, &run, function] { run = [flags, function] { return function(*flags); }; });
  return {verb, flags.get()};
}

void AddPlanVerb(CLI::App& app, RunVerb& run);
void AddCurateVerb(CLI::App& app, RunVerb& run);
void AddTokenizerVerb(CLI::App& app, RunVerb& run);
void AddTrainVerb(CLI::App& app, RunVerb& run);
void AddReportVerb(CLI::App& app, RunVerb& run);
void AddPerplexityVerb(CLI::App& app, RunVerb& run);
void AddDivergenceVerb(CLI::App& app, RunVerb& run);
void AddGenerateVerb(CLI::App& app, RunVerb& run);
void AddChatVerb(CLI::App& app, RunVerb& run);
void AddPullVerb(CLI::App& app, RunVerb& run);
void AddModelsVerb(CLI::App& app, RunVerb& run);
void AddConvertVerb(CLI::App& app, RunVerb& run);
void AddQuantizeVerb(CLI::App& app, RunVerb& run);
void AddLogitsVerb(CLI::App& app, RunVerb& run);
void AddRoutingVerb(CLI::App& app, RunVerb& run);
void AddBenchVerb(CLI::App& app, RunVerb& run);
void AddEmbedVerb(CLI::App& app, RunVerb& run);
void AddMemoryVerb(CLI::App& app, RunVerb& run);
void AddServeVerb(CLI::App& app, RunVerb& run);
void AddKeysVerb(CLI::App& app, RunVerb& run);

}  // namespace qwen25
