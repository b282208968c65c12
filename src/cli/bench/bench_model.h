// Models for benchmarks, which need no weights of anybody, and how fast one generates.
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

// The model in `path`, or where that is empty one of the preset's shape with random weights, the same in
// every format. `num_threads` 0: all. A preset that is made for less than `min_context` tokens is stretched
// by YaRN.
Result<Model> BenchModel(const std::string& preset, const std::string& path, WeightFormat format,
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
