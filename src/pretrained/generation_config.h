// generation_config.json of a model folder: how its publisher wants it to be sampled, and what ends an
// answer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "pretrained/sampling_options.h"

namespace qwen25 {

struct GenerationConfig {
  // Greedy unless the file says "do_sample".
  SamplingOptions sampling = {.temperature = 0, .top_k = 0, .top_p = 1};
  std::vector<int32_t> eos_token_ids;

  // Errors name `origin`, the field, what it holds and what was expected. Keys that are not known are
  // ignored: they steer kinds of generation that this program does not have.
  static Result<GenerationConfig> FromJson(const Json& json, std::string_view origin);
  // The file's absence is normal.
  static Result<GenerationConfig> Load(const std::filesystem::path& path);
};

}  // namespace qwen25
