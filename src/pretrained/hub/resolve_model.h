// What a user names as a model: a folder, a file, or the name of a model that was fetched. All verbs use it.
#pragma once

#include <filesystem>
#include <string>

#include "base/status.h"
#include "pretrained/hub/hub_settings.h"

namespace qwen25 {

// The folder or GGUF file that `argument` means:
//   1. a path that exists is itself;
//   2. ORGANISATION/NAME[:FORMAT][@REVISION] is looked up in the caches of `settings` (hub_cache.h);
//   3. ollama/MODEL[:TAG] in the store of Ollama.
// The network is never asked. kNotFound, with the command that fetches it, if a name is not there; what can
// only be a path is returned as it is, for whoever opens it to report.
Result<std::filesystem::path> ResolveModel(const std::string& argument, const HubSettings& settings);
// With the settings of the environment.
Result<std::filesystem::path> ResolveModel(const std::string& argument);

}  // namespace qwen25
