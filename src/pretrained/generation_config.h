// generation_config.json of a model folder: the publisher's sampling options and end tokens.
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
  // Greedy unless "do_sample" is true in the file.
  SamplingOptions sampling = {.temperature = 0, .top_k = 0, .top_p = 1};
  std::vector<int32_t> eos_token_ids;

  // Errors name `origin`, the field, its value and what was expected. Unknown keys are ignored: they control
  // kinds of generation that this program does not have.
  static Result<GenerationConfig> FromJson(const Json& json, std::string_view origin);
  // The defaults if there is no such file.
  static Result<GenerationConfig> Load(const std::filesystem::path& path);
};

}  // namespace qwen25
