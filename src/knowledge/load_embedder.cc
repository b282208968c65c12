#include "knowledge/load_embedder.h"

#include <sstream>

#include "knowledge/command_embedder.h"
#include "knowledge/hashed_embedder.h"
#include "knowledge/model_embedder.h"

namespace qwen25 {

Result<LoadedEmbedder> LoadEmbedder(const EmbedderChoice& choice) {
  LoadedEmbedder loaded;
  const std::string& name = choice.embedder;
  if (name == "none") return loaded;
  if (name.empty() || name == "hashed") {
    loaded.embedder = std::make_unique<HashedEmbedder>();
  } else if (name.starts_with("command:")) {
    QWEN25_TRY(loaded.embedder, CommandEmbedder::Start(name.substr(8)));
  } else if (name.starts_with("model:")) {
    ModelEmbedderOptions options;
    QWEN25_TRY(options.pooling, ParseEmbedPooling(choice.pooling));
    options.max_tokens = choice.window;
    ModelSource source = {.path = name.substr(6)};
    if (choice.weights != "stored") {
      QWEN25_TRY(source.format, ParseWeightFormat(choice.weights));
    }
    QWEN25_TRY(LoadedModel model, LoadModel(source));
    loaded.model = std::make_unique<LoadedModel>(std::move(model));
    loaded.embedder =
        std::make_unique<ModelEmbedder>(*loaded.model->engine, loaded.model->tokenizer, options);
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
  return fmt::format("{} {} {} model:{}", choice.pooling, choice.window, choice.weights, path.string());
}

bool EmbedderFromSetting(const std::string& setting, EmbedderChoice& choice) {
  if (setting == "hashed") {
    choice.embedder = setting;
    return true;
  }
  std::istringstream words(setting);
  if (!(words >> choice.pooling >> choice.window >> choice.weights) || choice.window == 0) return false;
  words.get();
  std::getline(words, choice.embedder);
  return choice.embedder.starts_with("model:");
}

}  // namespace qwen25
