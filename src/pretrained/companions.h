// What stands beside a model's weights: tokenizer, chat template, and how its publisher wants it to generate.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/config.h"
#include "pretrained/generation_config.h"
#include "text/tokenizer.h"

namespace qwen25 {

struct Companions {
  Tokenizer tokenizer;
  std::optional<std::string> default_system = {};  // of its chat template; none: the model has no template
  SamplingOptions sampling = GenerationConfig().sampling;  // generation_config.json, else greedy
  std::vector<int32_t> stop_tokens = {};  // end-of-text tokens of config, generation config and tokenizer
  std::vector<std::string> remarks = {};  // what a user should know, a sentence each
};

// Of the model with this configuration at `path`, a folder or a GGUF file. Errors name the file and what to
// do. The tokenizer must not have more entries than the model has rows.
Result<Companions> LoadCompanions(const std::filesystem::path& path, const ModelConfig& config);

}  // namespace qwen25
