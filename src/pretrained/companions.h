// The files beside a model's weights: tokenizer, chat template and generation settings.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/config.h"
#include "pretrained/generation_config.h"
#include "text/chat_template_jinja.h"
#include "text/tokenizer.h"

namespace qwen25 {

struct Companions {
  Tokenizer tokenizer;
  std::optional<std::string> default_system = {};  // the chat template's; none if no known template is there
  ChatFormat chat_format = {};                     // what else is known of that template
  SamplingOptions sampling = GenerationConfig().sampling;  // of generation_config.json; greedy without it
  std::vector<int32_t> stop_tokens = {};  // end-of-text tokens of config, generation config and tokenizer
  std::vector<std::string> remarks = {};  // for the user, one sentence each
};

// Loads the companions of the model with configuration `config` at `path`, a folder or a GGUF file. Errors
// name the file and say what to do; errors of CheckTokenizerFits. An unknown chat template is only a remark.
Result<Companions> LoadCompanions(const std::filesystem::path& path, const ModelConfig& config);

}  // namespace qwen25
