// Models that benchmarks measure, and how fast one generates.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "infer/session.h"
#include "model/model.h"

namespace qwen25 {

// Loads the model that `model_name` means (ResolveModel). If that is empty, makes one of the preset's shape
// with random weights, the same in every format, and with YaRN if the preset reads fewer than `min_context`
// tokens. `num_threads` 0: all.
Result<Model> BenchModel(const std::string& preset, const std::string& model_name, WeightFormat format,
                         size_t num_threads, size_t min_context = 0);

std::vector<int32_t> RandomTokens(const ModelConfig& config, size_t count, uint64_t seed);

// Makes each session hold the first `num_tokens` (at least 1) of what it held, the last of them computed
// anew: there are logits to draw from.
Status ReturnTo(std::span<const std::unique_ptr<Session>> sessions, size_t num_tokens);

// Draws the most likely token of each session and appends them together, `num_steps` times. Returns the mean
// seconds of a step.
Result<double> DecodeSeconds(InferenceEngine& engine, std::span<const std::unique_ptr<Session>> sessions,
                             size_t num_steps);

}  // namespace qwen25
