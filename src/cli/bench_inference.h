// qwen25 bench inference: prompt and generation speed by weight format, depth and batch, beside the floors.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "model/model.h"

namespace qwen25 {

struct InferenceBenchFlags {
  std::string preset = "0.5b";  // shape, with random weights; or
  std::string model;            // a model folder
  std::vector<std::string> weights = {"int8", "int4"};
  std::vector<uint32_t> depths = {0}, batches = {1};
  std::string kv = "float16";
  uint32_t prompt_tokens = 512, new_tokens = 64, rounds = 3, num_threads = 0;
  bool json = false, markdown = false;
};

// The model in `path`, or where that is empty one of the preset's shape with random weights, the same in
// every format. `num_threads` 0: all.
Result<Model> BenchModel(const std::string& preset, const std::string& path, WeightFormat format,
                         size_t num_threads);

Status RunInferenceBench(const InferenceBenchFlags& flags);

}  // namespace qwen25
