// Models that Ollama has fetched: manifests/HOST/NAMESPACE/MODEL/TAG names layers, and the one with the
// weights is a GGUF file blobs/sha256-DIGEST. Source: Ollama, types/model/name.go and manifest/.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "pretrained/hub/local_models.h"

namespace qwen25 {

struct OllamaModel {
  std::string name;  // "ollama/qwen2.5:0.5b", as ResolveModel reads it
  LocalModel model;  // `format` is the tag
};

// All models whose weights are there, by name.
std::vector<OllamaModel> ListOllamaModels(const std::filesystem::path& store);

// The weights of `name`, "MODEL[:TAG]", "NAMESPACE/MODEL[:TAG]" or "HOST/NAMESPACE/MODEL[:TAG]"; without a
// tag "latest", without a host registry.ollama.ai, without a namespace library. kNotFound if there is no such
// model; kUnsupported if it consists of more than weights (an adapter); kCorrupt for a manifest that is none.
Result<std::filesystem::path> FindOllamaModel(const std::filesystem::path& store, std::string_view name);

}  // namespace qwen25
