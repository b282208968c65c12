// Folders of models in the layout of huggingface_hub, which transformers and llama.cpp share:
//   models--ORGANISATION--NAME/blobs/DIGEST            contents, by their digests
//   models--ORGANISATION--NAME/snapshots/COMMIT/PATH   relative links to them
//   models--ORGANISATION--NAME/refs/REVISION           the commit of a branch or tag, without a line end
//   .locks/models--ORGANISATION--NAME/DIGEST.lock      flock while a blob is written
// Source: huggingface_hub, file_download.py and utils/_cache_manager.py.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "pretrained/hub/local_models.h"
#include "pretrained/hub/model_name.h"

namespace qwen25 {

struct CachedSnapshot {
  std::string commit;
  std::vector<std::string> refs;  // branches and tags that lead to it
  std::filesystem::path folder;
  int64_t modified = 0;
  std::vector<LocalModel> models;
};

struct CachedRepository {
  std::string name;  // "Qwen/Qwen2.5-0.5B-Instruct"
  std::filesystem::path folder;
  std::vector<CachedSnapshot> snapshots;  // the newest first
  uint64_t bytes = 0;                     // of all its files, those of unfinished downloads included
  uint64_t unfinished_bytes = 0;
};

// The name of the lock that a process holds while it fetches a model.
inline constexpr const char* kPullLock = "qwen25-pull";

class HubCache {
 public:
  explicit HubCache(std::filesystem::path root) : root_(std::move(root)) {}

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path Folder(const std::string& repository) const;
  std::filesystem::path Blob(const std::string& repository, const std::string& digest) const;
  std::filesystem::path Snapshot(const std::string& repository, const std::string& commit) const;
  // The lock of a blob, or of another name.
  std::filesystem::path LockFile(const std::string& repository, const std::string& name) const;

  // All repositories, by name. Folders that cannot be read are left out.
  std::vector<CachedRepository> List() const;
  // One of them; null if nothing of it is there.
  std::optional<CachedRepository> Find(const std::string& repository) const;

  // The commit that a branch or tag leads to, as far as is known here.
  std::optional<std::string> ReadRef(const std::string& repository, const std::string& revision) const;
  // Durable when it returns.
  Status WriteRef(const std::string& repository, const std::string& revision,
                  const std::string& commit) const;
  // Makes `path` in the snapshot a link to the blob; durable after SyncDirectory of its folder.
  Status Link(const std::string& repository, const std::string& commit, const std::string& path,
              const std::string& digest) const;

  // Compares all contents that snapshots of a repository link to with the digests that name them. `progress`
  // gets the bytes done; false stops with kCancelled. kCorrupt, naming the first damaged file, if one is.
  // Returns the number of compared files: files that are no links have no digest.
  Result<size_t> Verify(const CachedRepository& repository,
                        const std::function<bool(uint64_t done)>& progress) const;

  // Removes a repository, or what belongs only to the models in `format`, with what this program has written
  // about them. References go first and contents last, so that a kill leaves nothing that looks whole.
  // Returns the bytes that became free. kNotFound if there is no such model; kResourceExhausted while it is
  // fetched.
  Result<uint64_t> Remove(const std::string& repository, const std::string& format) const;

 private:
  Result<uint64_t> RemoveFormat(const CachedRepository& repository, const std::string& format) const;

  std::filesystem::path root_;
};

// The model that `name` means among what is there: of its revision; otherwise of refs/main; otherwise, or if
// that has no complete model in this format, of the newest snapshot that has one. Null: there is none.
std::optional<LocalModel> FindModel(const CachedRepository& repository, const ModelName& name);

// "models--Qwen--Qwen2.5-0.5B-Instruct", and back; empty if `folder` is no such name.
std::string RepositoryFolderName(const std::string& repository);
std::string RepositoryOfFolderName(const std::string& folder);

}  // namespace qwen25
