#include "pretrained/hub/resolve_model.h"

#include <string_view>
#include <vector>

#include "pretrained/hub/hub_cache.h"
#include "pretrained/hub/model_name.h"
#include "pretrained/hub/ollama_store.h"

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kOllama = "ollama/";

// Whether it can only be meant as a path: "./x", "/x", "a/b/c", "x.gguf".
bool LooksLikePath(const std::string& argument) {
  const fs::path path = argument;
  const std::string extension = path.extension().string();
  return argument.empty() || argument.front() == '.' || argument.front() == '~' || path.is_absolute() ||
         argument.ends_with('/') || extension == ".gguf" || extension == ".GGUF" || extension == ".json" ||
         extension == ".bin" || extension == ".safetensors";
}

std::string FoldersText(const std::vector<fs::path>& folders) {
  std::string text;
  for (const fs::path& folder : folders) text += (text.empty() ? "" : " or ") + folder.string();
  return text.empty() ? "the cache (which has no folder: HOME is not set)" : text;
}

// Why `name` was not found, although the repository is there.
std::string WhatIsThere(const CachedRepository& repository) {
  std::string formats;
  for (const CachedSnapshot& snapshot : repository.snapshots) {
    for (const LocalModel& model : snapshot.models) {
      formats += fmt::format("{}{}", formats.empty() ? "" : ", ", model.format);
    }
  }
  if (!formats.empty()) return fmt::format("only {} is there", formats);
  return repository.unfinished_bytes > 0 ? "its download was not finished" : "no complete model is there";
}

}  // namespace

Result<fs::path> ResolveModel(const std::string& argument, const HubSettings& settings) {
  std::error_code ignored;
  if (fs::exists(argument, ignored) || LooksLikePath(argument)) return fs::path(argument);
  const std::vector<fs::path> caches = settings.Caches();
  const Result<ModelName> name = ModelName::Parse(argument);
  std::string there;
  if (name.ok()) {
    for (const fs::path& cache : caches) {
      const auto repository = HubCache(cache).Find(name->repository);
      if (!repository) continue;
      if (const auto model = FindModel(*repository, *name)) return model->path;
      if (there.empty()) there = WhatIsThere(*repository);
    }
  }
  if (argument.starts_with(kOllama)) {
    return FindOllamaModel(settings.ollama, std::string_view(argument).substr(kOllama.size()));
  }
  if (!name.ok()) return fs::path(argument);
  if (!there.empty()) {
    return NotFound("{}: {}; get it with: qwen25 pull {}", argument, there, name->Text());
  }
  if (name->repository.find('/') == std::string::npos) {
    return NotFound(
        "{}: there is no such model folder, .gguf file or model in {}; `qwen25 models` lists the models that "
        "are there, `qwen25 pull ORGANISATION/NAME` gets one",
        argument, FoldersText(caches));
  }
  return NotFound("{}: there is no such model folder, and no such model in {}; get it with: qwen25 pull {}",
                  argument, FoldersText(caches), name->Text());
}

Result<fs::path> ResolveModel(const std::string& argument) {
  return ResolveModel(argument, HubSettings::FromEnvironment());
}

}  // namespace qwen25
