// The files beside a model's weights: tokenizer, chat template and generation settings.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/config.h"
#include "pretrained/generation_config.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace qwen25 {

struct Companions {
  Tokenizer tokenizer;
  std::optional<ChatTemplate> chat_template = {};          // none: the model only continues text
  SamplingOptions sampling = GenerationConfig().sampling;  // of generation_config.json; greedy without it
  std::vector<int32_t> stop_tokens = {};  // end-of-text tokens of config, generation config and tokenizer
  std::vector<std::string> remarks = {};  // for the user, one sentence each
};

// Loads the companions of the model with configuration `config` at `path`, a folder or a GGUF file. Errors
// name the file and say what to do; errors of CheckTokenizerFits. A chat template of the model's that cannot
// be compiled is only a remark; `chat_template_file`, Jinja source that takes the place of the model's own
// unless it is empty, must be right.
Result<Companions> LoadCompanions(const std::filesystem::path& path, const ModelConfig& config,
                                  const std::filesystem::path& chat_template_file = {});

}  // namespace qwen25
