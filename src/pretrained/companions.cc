#include "pretrained/companions.h"

#include "base/file.h"
#include "model/weights_reader.h"
#include "pretrained/load_tokenizer.h"
#include "pretrained/tokenizer_fit.h"

namespace qwen25 {
namespace {

// The model's own chat templates; kNotFound if there are none.
Result<ChatTemplateSources> ReadSources(const std::filesystem::path& path, const Tokenizer& tokenizer) {
  if (!IsGgufPath(path)) return ReadChatTemplateSources(path);
  return ChatTemplateSourcesOf(tokenizer.spec(), path.string() + ": tokenizer.chat_template");
}

Status LoadChatTemplate(const std::filesystem::path& path, const std::filesystem::path& file,
                        Companions& loaded) {
  Result<ChatTemplateSources> sources = ReadSources(path, loaded.tokenizer);
  if (!file.empty()) {
    QWEN25_TRY(std::string jinja, ReadFile(file));
    if (!sources.ok()) sources = ChatTemplateSources();
    sources->origin = file.string();
    sources->named = {{"default", std::move(jinja)}};
    QWEN25_TRY(loaded.chat_template, ChatTemplate::Compile(std::move(*sources)));
    return {};
  }
  Result<ChatTemplate> compiled =
      sources.ok() ? ChatTemplate::Compile(std::move(*sources)) : Result<ChatTemplate>(sources.status());
  if (compiled.ok()) {
    loaded.chat_template = std::move(*compiled);
  } else if (compiled.status().code() != StatusCode::kNotFound) {
    loaded.remarks.push_back(
        fmt::format("{}. The model only continues text; --chat-template FILE names another template",
                    compiled.status().message()));
  }
  return {};
}

}  // namespace

Result<Companions> LoadCompanions(const std::filesystem::path& path, const ModelConfig& config,
                                  const std::filesystem::path& chat_template_file) {
  QWEN25_TRY(Tokenizer tokenizer, LoadTokenizer(path));
  QWEN25_RETURN_IF_ERROR(CheckTokenizerFits(tokenizer, config, path.string()));
  Companions loaded{.tokenizer = std::move(tokenizer)};
  if (!loaded.tokenizer.spec().remark.empty()) loaded.remarks.push_back(loaded.tokenizer.spec().remark);
  loaded.stop_tokens = config.eos_token_ids;
  if (IsGgufPath(path)) {
    // A GGUF file names one end token, but many models have two, which a folder states in
    // generation_config.json. So every control token that is known to end turns or texts does.
    const std::vector<int32_t> ends = KnownTurnEnds(loaded.tokenizer);
    const std::vector<int32_t>& named = loaded.tokenizer.spec().turn_end_ids;
    loaded.stop_tokens.insert(loaded.stop_tokens.end(), ends.begin(), ends.end());
    loaded.stop_tokens.insert(loaded.stop_tokens.end(), named.begin(), named.end());
  } else {
    QWEN25_TRY(const GenerationConfig generation, GenerationConfig::Load(path / "generation_config.json"));
    loaded.sampling = generation.sampling;
    loaded.stop_tokens.insert(loaded.stop_tokens.end(), generation.eos_token_ids.begin(),
                              generation.eos_token_ids.end());
  }
  if (const auto eos = loaded.tokenizer.eos_id()) loaded.stop_tokens.push_back(*eos);
  QWEN25_RETURN_IF_ERROR(LoadChatTemplate(path, chat_template_file, loaded));
  return loaded;
}

}  // namespace qwen25
