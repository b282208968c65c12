// Fetches a model by name into the cache.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "pretrained/hub/download.h"
#include "pretrained/hub/hub_cache.h"
#include "pretrained/hub/hub_settings.h"
#include "pretrained/hub/model_name.h"
#include "pretrained/hub/repository_files.h"
#include "pretrained/hub/retry.h"

namespace qwen25 {

struct PullRequest {
  ModelName name;
  HubSettings hub;
  std::vector<std::string> patterns;  // of files; none: those of a model (repository_files.h)
  size_t num_connections = 4;         // files at a time
};

// What a pull will do.
struct PullPlan {
  std::string commit;
  std::vector<RepositoryFile> files;    // of the model
  std::vector<RepositoryFile> missing;  // whose contents are not there, without two of one digest
  uint64_t bytes = 0;                   // of all files
  uint64_t missing_bytes = 0;           // to fetch, less what unfinished files hold
};

// Asks the hub; writes nothing. kInvalidArgument if the hub is not to be asked (offline).
Result<PullPlan> PlanPull(const PullRequest& request, const std::function<bool()>& cancelled,
                          const OnWait& on_wait);

// Does it: waits until no other process pulls the same model, checks that the disk has room, fetches the
// missing files, and then makes the links of the snapshot, config.json last, and the reference. So whatever
// ends it, no half of a model is ever found. Returns the model's path: the folder of the snapshot, or the
// first GGUF file.
Result<std::filesystem::path> RunPull(const PullRequest& request, const PullPlan& plan,
                                      const DownloadProgress& progress);

}  // namespace qwen25
