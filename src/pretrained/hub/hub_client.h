// What a hub says about a repository: its commit, and its files with sizes and digests.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "pretrained/hub/hub_settings.h"
#include "pretrained/hub/model_name.h"
#include "pretrained/hub/repository_files.h"
#include "pretrained/hub/retry.h"

namespace qwen25 {

struct RepositoryListing {
  std::string commit;  // 40 hexadecimal digits
  std::vector<RepositoryFile> files;
};

// Asks the hub for the commit that the name's revision leads to, and for the files of this commit (two or
// more requests). Errors of Retry; kCorrupt if an answer is none of a hub.
Result<RepositoryListing> ListRepository(const ModelName& name, const HubSettings& settings,
                                         const std::function<bool()>& cancelled, const OnWait& on_wait);

// The files of one page of a listing (api/models/REPOSITORY/tree). Folders are left out. kCorrupt, with
// `origin`, if a path leads outside of the repository, or size or digest are missing.
Result<std::vector<RepositoryFile>> ParseFileList(std::string_view json, std::string_view origin);

// The address of a file's content.
std::string FileUrl(const HubSettings& settings, const std::string& repository, const std::string& commit,
                    const std::string& path);

}  // namespace qwen25
