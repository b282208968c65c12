#include "cli/flags/embedder_flags.h"

#include <cstdlib>
#include <sstream>

#include "cli/flags/model_flags.h"
#include "knowledge/command_embedder.h"
#include "knowledge/hashed_embedder.h"
#include "knowledge/model_embedder.h"

namespace qwen25 {

void AddEmbedderFlags(CLI::App& verb, EmbedderFlags& flags) {
  verb.add_option("--embedder", flags.embedder,
                  "hashed (words and letter groups, no model); model:FOLDER; command:PROGRAM (JSON lines, "
                  "docs/memory.md); none");
  verb.add_option(
          "--pooling", flags.pooling,
          "Of a model: bidirectional-mean, causal-mean or causal-last (docs/benchmarks.md compares them)")
      ->capture_default_str();
  verb.add_option("--embed-weights", flags.weights, "Of a model: stored, int8, ... as --weights of chat")
      ->capture_default_str();
  verb.add_option("--window", flags.window, "Of a model: tokens read at a time; longer texts are averaged")
      ->capture_default_str()
      ->check(CLI::Range(1u, 1u << 20));
}

Result<LoadedEmbedder> LoadEmbedder(const EmbedderFlags& flags) {
  LoadedEmbedder loaded;
  const std::string& spec = flags.embedder;
  if (spec == "none") return loaded;
  if (spec.empty() || spec == "hashed") {
    loaded.embedder = std::make_unique<HashedEmbedder>();
  } else if (spec.starts_with("command:")) {
    QWEN25_TRY(loaded.embedder, CommandEmbedder::Start(spec.substr(8)));
  } else if (spec.starts_with("model:")) {
    ModelEmbedderOptions options;
    QWEN25_TRY(options.pooling, ParseEmbedPooling(flags.pooling));
    options.max_tokens = flags.window;
    ModelFlags model;
    model.directory = spec.substr(6);
    model.weights = flags.weights;
    QWEN25_TRY(LoadedModel loaded_model, LoadModel(model));
    loaded.model = std::make_unique<LoadedModel>(std::move(loaded_model));
    loaded.embedder =
        std::make_unique<ModelEmbedder>(*loaded.model->engine, loaded.model->tokenizer, options);
  } else {
    return InvalidArgument("--embedder is \"{}\"; there are hashed, model:FOLDER, command:PROGRAM and none",
                           spec);
  }
  return loaded;
}

std::string EmbedderSetting(const EmbedderFlags& flags) {
  if (!flags.embedder.starts_with("model:")) {
    return flags.embedder.starts_with("command:") ? "" : (flags.embedder.empty() ? "hashed" : flags.embedder);
  }
  std::error_code ignored;
  const std::filesystem::path path = std::filesystem::absolute(flags.embedder.substr(6), ignored);
  return fmt::format("{} {} {} model:{}", flags.pooling, flags.window, flags.weights, path.string());
}

namespace {

// Fills `flags` from what EmbedderSetting gave. False where the setting is none of its.
bool FromSetting(const std::string& setting, EmbedderFlags& flags) {
  if (setting == "hashed") {
    flags.embedder = setting;
    return true;
  }
  std::istringstream words(setting);
  if (!(words >> flags.pooling >> flags.window >> flags.weights) || flags.window == 0) return false;
  words.get();
  std::getline(words, flags.embedder);
  return flags.embedder.starts_with("model:");
}

}  // namespace

Result<LoadedNotes> OpenNotes(const std::filesystem::path& directory, EmbedderFlags flags, bool need_vectors,
                              const NoteStoreOptions& options) {
  const bool asked = !flags.embedder.empty();
  if (!asked && !need_vectors) flags.embedder = "none";
  if (!asked && need_vectors && NoteStore::Exists(directory)) {
    QWEN25_TRY(const auto store, NoteStore::Open(directory, nullptr, options));
    QWEN25_TRY(const std::optional<EmbedderId> stored, store->StoredEmbedder());
    QWEN25_TRY(const std::string setting, store->GetSetting("embedder_flags"));
    if (stored && !FromSetting(setting, flags)) {
      return InvalidArgument(
          "{}: its vectors were made by {}; say with --embedder which one that is, or none",
          directory.string(), stored->ToString());
    }
  }
  LoadedNotes notes;
  QWEN25_TRY(notes.embedder, LoadEmbedder(flags));
  QWEN25_TRY(notes.store, NoteStore::Open(directory, notes.embedder.embedder.get(), options));
  if (notes.embedder.embedder != nullptr && !notes.store->read_only()) {
    QWEN25_TRY(const std::string setting, notes.store->GetSetting("embedder_flags"));
    if (setting != EmbedderSetting(flags)) {
      QWEN25_RETURN_IF_ERROR(notes.store->SetSetting("embedder_flags", EmbedderSetting(flags)));
    }
  }
  return notes;
}

std::string DefaultMemoryDirectory() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  if (std::string own = variable("QWEN25_MEMORY"); !own.empty()) return own;
  // What is not an absolute path is ignored, as the specification has it: a memory must not depend on the
  // folder that a program happens to be started in.
  if (const std::string data = variable("XDG_DATA_HOME"); data.starts_with('/'))
    return data + "/qwen25/memory";
  const std::string home = variable("HOME");
  return home.starts_with('/') ? home + "/.local/share/qwen25/memory" : "";
}

}  // namespace qwen25
