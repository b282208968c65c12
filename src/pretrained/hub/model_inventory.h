// All models on this machine that a user can name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pretrained/hub/hub_settings.h"
#include "pretrained/hub/local_models.h"

namespace qwen25 {

// A model by the name under which ResolveModel finds it.
struct NamedModel {
  std::string name;  // "Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M", "ollama/qwen2.5:0.5b", "runs/demo/model"
  LocalModel model;
};

// What is in a cache and is no model that can be opened.
struct OtherRepository {
  std::string name;
  uint64_t bytes = 0, unfinished_bytes = 0;  // all of it, and of that unfinished downloads
};

// A place where models lie.
struct ModelStore {
  std::filesystem::path folder;
  std::vector<NamedModel> models;
  std::vector<OtherRepository> others;
};

// The caches and the store of Ollama, those without anything left out. Each repository and format once.
std::vector<ModelStore> ModelStores(const HubSettings& settings);
// Model folders and GGUF files in `folder`, and runs/*/model below it. Their names are paths.
ModelStore ModelsNear(const std::filesystem::path& folder);

}  // namespace qwen25
