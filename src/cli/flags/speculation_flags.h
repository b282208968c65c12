// --speculate and --draft-tokens of the verbs that write text.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "cli/flags/model_flags.h"
#include "infer/load_drafter.h"
#include "infer/token_stream.h"

namespace qwen25 {

void AddSpeculationFlags(CLI::App& verb, DraftChoice& choice);

// Loads the drafter beside the model that `model` named, and prints what a user should know to standard
// error.
Result<LoadedDrafter> LoadDrafter(const DraftChoice& choice, const ModelFlags& model,
                                  const LoadedModel& target, const SamplingOptions& sampling);

// "12 of 20 proposed tokens accepted, 2.4 tokens per forward pass".
std::string SpeculationSummary(const SpeculationStats& stats);

}  // namespace qwen25
