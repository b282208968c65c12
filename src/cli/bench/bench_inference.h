// qwen25 bench inference: prompt and generation speed by weight format, depth and batch, beside the floors.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "infer/session.h"
#include "model/model.h"

namespace qwen25 {

struct InferenceBenchFlags {
  std::string preset = "0.5b";  // shape, with random weights; or
  std::string model;            // a model folder
  std::vector<std::string> weights = {"int8", "int4"};
  std::vector<uint32_t> depths = {0}, batches = {1};
  KvFormat kv = KvFormat::kFloat16;
  uint32_t prompt_tokens = 512, new_tokens = 64, rounds = 3, num_threads = 0;
  bool json = false, markdown = false;
};

// The model in `path`, or where that is empty one of the preset's shape with random weights, the same in
// every format. `num_threads` 0: all. A preset that is made for less than `min_context` tokens is stretched
// by YaRN.
Result<Model> BenchModel(const std::string& preset, const std::string& path, WeightFormat format,
                         size_t num_threads, size_t min_context = 0);

std::vector<int32_t> RandomTokens(const ModelConfig& config, size_t count, uint64_t seed);

// Draws the most likely token of each session and appends them together. `drawn` and `parts` have an entry
// per session.
Status DecodeStep(InferenceEngine& engine, std::span<const std::unique_ptr<Session>> sessions,
                  std::vector<int32_t>& drawn, std::vector<SessionTokens>& parts);

Status RunInferenceBench(const InferenceBenchFlags& flags);

}  // namespace qwen25
