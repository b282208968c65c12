#include "knowledge/load_embedder.h"

#include <sstream>

#include "base/json.h"
#include "knowledge/command_embedder.h"
#include "knowledge/hashed_embedder.h"
#include "knowledge/model_embedder.h"

namespace qwen25 {
namespace {

Result<LoadedEmbedder> LoadEncoder(const SentenceEncoderSource& source, const EmbedderChoice& choice) {
  if (choice.pooling != "auto") {
    return InvalidArgument(
        "--pooling is \"{}\", but {} is a sentence encoder, whose files state how its vectors are made; "
        "leave "
        "the flag out",
        choice.pooling, source.path.string());
  }
  LoadedEmbedder loaded;
  QWEN25_TRY(std::unique_ptr<SentenceEncoder> encoder, SentenceEncoder::Load(source));
  loaded.notes = encoder->remarks();
  loaded.embedder = std::make_unique<EncoderEmbedder>(std::move(encoder), choice.prompts);
  return loaded;
}

// How a language model that states `settings` makes vectors.
Result<EmbedPooling> PoolingOf(const SentenceSettings& settings) {
  const std::vector<SentencePooling>& poolings = settings.poolings;
  if (settings.dense.empty() && poolings.size() == 1) {
    if (poolings[0] == SentencePooling::kLast && !settings.causal) {
      return Unsupported(
          "{}: states lasttoken pooling, and in config.json that every token attends to every other "
          "(\"is_causal\": false); with lasttoken, causal attention alone is handled",
          settings.model.string());
    }
    if (poolings[0] == SentencePooling::kLast) return EmbedPooling::kCausalLast;
    if (poolings[0] == SentencePooling::kMean) {
      return settings.causal ? EmbedPooling::kCausalMean : EmbedPooling::kBidirectionalMean;
    }
  }
  return Unsupported(
      "{}: states the pooling \"{}\"{}; of language models, mean and lasttoken alone are handled",
      settings.model.string(), SentencePoolingName(poolings[0]),
      settings.dense.empty() ? "" : " and a Dense module");
}

Result<LoadedEmbedder> LoadLanguageModel(const ModelSource& source, const EmbedderChoice& choice,
                                         const std::optional<SentenceSettings>& settings) {
  ModelEmbedderOptions options = {.max_tokens = choice.window};
  if (choice.pooling != "auto") {
    QWEN25_TRY(options.pooling, ParseEmbedPooling(choice.pooling));
  } else if (settings) {
    QWEN25_TRY(options.pooling, PoolingOf(*settings));
  }
  LoadedEmbedder loaded;
  if (settings) {
    options.trained_to_embed = true;
    options.query_prompt = settings->query_prompt;
    options.passage_prompt = settings->passage_prompt;
    loaded.notes = settings->remarks;
  }
  if (choice.prompts.query) options.query_prompt = *choice.prompts.query;
  if (choice.prompts.passage) options.passage_prompt = *choice.prompts.passage;
  QWEN25_TRY(LoadedModel model, LoadModel(source));
  loaded.model = std::make_unique<LoadedModel>(std::move(model));
  loaded.notes.insert(loaded.notes.end(), loaded.model->remarks.begin(), loaded.model->remarks.end());
  loaded.embedder = std::make_unique<ModelEmbedder>(*loaded.model->engine, loaded.model->tokenizer, options);
  return loaded;
}

Result<LoadedEmbedder> LoadFromModel(const std::string& name, const EmbedderChoice& choice) {
  std::optional<WeightFormat> format;
  if (choice.weights != "stored") {
    QWEN25_TRY(format, ParseWeightFormat(choice.weights));
  }
  QWEN25_TRY(const EmbeddingModel found, FindEmbeddingModel(name));
  if (found.is_encoder) {
    return LoadEncoder({.path = found.path, .format = format, .max_tokens = choice.window}, choice);
  }
  const std::filesystem::path& path = found.settings ? found.settings->model : found.path;
  // Embeddings read every block, whatever the model was calibrated for.
  return LoadLanguageModel({.path = path, .format = format, .routing = RoutingPolicy()}, choice,
                           found.settings);
}

}  // namespace

Result<LoadedEmbedder> LoadEmbedder(const EmbedderChoice& choice) {
  LoadedEmbedder loaded;
  const std::string& name = choice.embedder;
  if (name == "none") return loaded;
  if (name.empty() || name == "hashed") {
    loaded.embedder = std::make_unique<HashedEmbedder>();
  } else if (name.starts_with("command:")) {
    QWEN25_TRY(loaded.embedder, CommandEmbedder::Start(name.substr(8)));
  } else if (name.starts_with("model:")) {
    return LoadFromModel(name.substr(6), choice);
  } else {
    return InvalidArgument("--embedder is \"{}\"; expected hashed, model:FOLDER, command:PROGRAM or none",
                           name);
  }
  return loaded;
}

std::string EmbedderSetting(const EmbedderChoice& choice) {
  if (choice.embedder.starts_with("command:")) return "";
  if (!choice.embedder.starts_with("model:")) return choice.embedder.empty() ? "hashed" : choice.embedder;
  std::error_code ignored;
  std::filesystem::path path = choice.embedder.substr(6);
  // A path must hold wherever the next run starts; a name does.
  if (std::filesystem::exists(path, ignored)) path = std::filesystem::absolute(path, ignored);
  const std::string model = "model:" + path.string();
  if (!choice.prompts.query && !choice.prompts.passage) {
    return fmt::format("{} {} {} {}", choice.pooling, choice.window, choice.weights, model);
  }
  Json json = {{"pooling", choice.pooling},
               {"window", choice.window},
               {"weights", choice.weights},
               {"embedder", model}};
  if (choice.prompts.query) json["query_prompt"] = *choice.prompts.query;
  if (choice.prompts.passage) json["passage_prompt"] = *choice.prompts.passage;
  return DumpJson(json);
}

namespace {

bool FromJson(const std::string& setting, EmbedderChoice& choice) {
  const Result<Json> json = ParseJson(setting, "embedder_flags");
  if (!json.ok() || !json->is_object()) return false;
  const auto read = [&](const char* key, auto& value) { return ReadField(*json, key, "", value).ok(); };
  for (const auto& [key, prompt] :
       {std::pair{"query_prompt", &choice.prompts.query}, {"passage_prompt", &choice.prompts.passage}}) {
    if (json->contains(key) && !read(key, prompt->emplace())) return false;
  }
  return read("pooling", choice.pooling) && read("window", choice.window) &&
         read("weights", choice.weights) && read("embedder", choice.embedder) && choice.window > 0 &&
         choice.embedder.starts_with("model:");
}

}  // namespace

bool EmbedderFromSetting(const std::string& setting, EmbedderChoice& choice) {
  if (setting == "hashed") {
    choice.embedder = setting;
    return true;
  }
  if (setting.starts_with('{')) return FromJson(setting, choice);
  std::istringstream words(setting);
  if (!(words >> choice.pooling >> choice.window >> choice.weights) || choice.window == 0) return false;
  words.get();
  std::getline(words, choice.embedder);
  return choice.embedder.starts_with("model:");
}

}  // namespace qwen25
