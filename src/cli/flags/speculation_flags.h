// --speculate and --draft-tokens of the verbs that write text.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "cli/load_model.h"
#include "infer/drafter.h"

namespace qwen25 {

struct SpeculationFlags {
  std::string source;  // "lookup", or a draft model's folder or file; empty: no speculation
  uint32_t draft_tokens = 16;
};
void AddSpeculationFlags(CLI::App& verb, SpeculationFlags& flags);

// What proposes tokens, with the draft model that it may need. Empty: nothing does.
struct LoadedDrafter {
  std::unique_ptr<InferenceEngine> engine;
  std::unique_ptr<Drafter> drafter;
};

// A draft model is loaded as `target` was (`model`: its flags) and runs on the same threads. Its tokens must
// be those of the target; the message names the first that is not.
Result<LoadedDrafter> LoadDrafter(const SpeculationFlags& flags, const ModelFlags& model,
                                  const LoadedModel& target, const SamplingOptions& sampling);

// "12 of 20 proposed tokens accepted, 2.4 tokens per forward pass".
std::string SpeculationSummary(const SpeculationStats& stats);

}  // namespace qwen25
