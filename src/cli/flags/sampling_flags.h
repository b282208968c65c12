// How tokens are drawn, as flags.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>

#include "pretrained/sampling_options.h"

namespace qwen25 {

// Sampling flags; those that were not given keep what the model's generation_config.json says.
struct SamplingFlags {
  std::optional<float> temperature, top_p, min_p, repetition_penalty;
  std::optional<uint32_t> top_k;
  std::optional<uint64_t> seed;

  SamplingOptions Over(const SamplingOptions& defaults) const;
};
void AddSamplingFlags(CLI::App& verb, SamplingFlags& flags);

}  // namespace qwen25
