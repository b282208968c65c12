#include "pretrained/companions.h"

#include "model/weights_reader.h"
#include "pretrained/load_tokenizer.h"
#include "pretrained/tokenizer_fit.h"
#include "text/chat_template_jinja.h"

namespace qwen25 {
namespace {

// A GGUF file names one end token, but Qwen2.5 models have two, which a folder states in
// generation_config.json. So either token ends a text if the vocabulary marks it as a control token.
void AddTurnEnds(const Tokenizer& tokenizer, std::vector<int32_t>& stop_tokens) {
  for (const char* text : {"<|im_end|>", "<|endoftext|>"}) {
    const std::optional<int32_t> id = tokenizer.TokenId(text);
    if (id && tokenizer.IsSpecial(*id)) stop_tokens.push_back(*id);
  }
}

// The format of a model's chat template; kNotFound if there is no template.
Result<ChatFormat> ReadFormat(const std::filesystem::path& path, const Tokenizer& tokenizer) {
  if (!IsGgufPath(path)) return ReadChatFormat(path);
  const std::string& jinja = tokenizer.spec().chat_template;
  if (jinja.empty()) return NotFound("{}: has no chat template", path.string());
  return RecogniseChatFormat(jinja, path.string() + ": tokenizer.chat_template");
}

}  // namespace

Result<Companions> LoadCompanions(const std::filesystem::path& path, const ModelConfig& config) {
  QWEN25_TRY(Tokenizer tokenizer, LoadTokenizer(path));
  QWEN25_RETURN_IF_ERROR(CheckTokenizerFits(tokenizer, config, path.string()));
  Companions loaded{.tokenizer = std::move(tokenizer)};
  loaded.stop_tokens = config.eos_token_ids;
  if (IsGgufPath(path)) {
    AddTurnEnds(loaded.tokenizer, loaded.stop_tokens);
  } else {
    QWEN25_TRY(const GenerationConfig generation, GenerationConfig::Load(path / "generation_config.json"));
    loaded.sampling = generation.sampling;
    loaded.stop_tokens.insert(loaded.stop_tokens.end(), generation.eos_token_ids.begin(),
                              generation.eos_token_ids.end());
  }
  if (const auto eos = loaded.tokenizer.eos_id()) loaded.stop_tokens.push_back(*eos);
  const Result<ChatFormat> format = ReadFormat(path, loaded.tokenizer);
  if (format.ok()) {
    loaded.default_system = format->default_system;
    loaded.chat_format = *format;
  } else if (format.status().code() != StatusCode::kNotFound) {
    loaded.remarks.push_back(format.status().message());
  }
  return loaded;
}

}  // namespace qwen25
