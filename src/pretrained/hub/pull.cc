#include "pretrained/hub/pull.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <set>

#include "base/file.h"
#include "base/format.h"
#include "pretrained/hub/file_lock.h"
#include "pretrained/hub/hub_client.h"

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

// Fills in what is missing.
void FindMissing(const HubCache& cache, const std::string& repository, PullPlan& plan) {
  plan.missing.clear();
  plan.bytes = plan.missing_bytes = 0;
  std::set<std::string> digests;
  for (const RepositoryFile& file : plan.files) {
    plan.bytes += file.size;
    if (!digests.insert(file.digest).second) continue;
    const FileFacts facts = FactsOf(cache.Blob(repository, file.digest));
    if (facts.modified != 0 && facts.bytes == file.size) continue;
    plan.missing.push_back(file);
    plan.missing_bytes +=
        file.size - std::min(file.size, FactsOf(UnfinishedBlob(cache, repository, file.digest)).bytes);
  }
  // The largest first: the end is not one long file alone.
  std::ranges::stable_sort(plan.missing, std::greater<>(), &RepositoryFile::size);
}

Status CheckRoom(const fs::path& folder, uint64_t bytes) {
  struct statvfs info {};
  if (::statvfs(folder.c_str(), &info) != 0) return {};  // then writing will tell
  const uint64_t room = uint64_t{info.f_bavail} * info.f_frsize;
  if (room >= bytes) return {};
  return ResourceExhausted(
      "{}: the disk has room for {}, and {} are to be fetched; make room (`qwen25 models`), "
      "or set HF_HOME to a folder on another disk",
      folder.string(), FormatBytes(static_cast<double>(room)), FormatBytes(static_cast<double>(bytes)));
}

// The folders of the cache, as huggingface_hub makes them.
Status MakeFolders(const HubCache& cache, const std::string& repository) {
  QWEN25_RETURN_IF_ERROR(CreateDirectories(cache.Folder(repository) / "blobs"));
  QWEN25_RETURN_IF_ERROR(CreateDirectories(cache.Folder(repository) / "snapshots"));
  const fs::path tag = cache.root() / "CACHEDIR.TAG";  // backups leave such folders out
  std::error_code ignored;
  if (fs::exists(tag, ignored)) return {};
  return WriteFileAtomically(tag, "Signature: 8a477f597d28d172789f06886806bc55\n");
}

// config.json makes a folder a model, and the first part a split GGUF: they come last.
std::vector<RepositoryFile> InOrderOfLinks(std::vector<RepositoryFile> files) {
  const auto rank = [](const RepositoryFile& file) {
    return file.path == "config.json" || file.path.find("-00001-of-") != std::string::npos ? 1 : 0;
  };
  std::ranges::stable_sort(files, {}, rank);
  return files;
}

Status LinkFiles(const HubCache& cache, const std::string& repository, const PullPlan& plan) {
  std::set<fs::path> folders;
  for (const RepositoryFile& file : InOrderOfLinks(plan.files)) {
    QWEN25_RETURN_IF_ERROR(cache.Link(repository, plan.commit, file.path, file.digest));
    folders.insert((cache.Snapshot(repository, plan.commit) / file.path).parent_path());
  }
  for (const fs::path& folder : folders) QWEN25_RETURN_IF_ERROR(SyncDirectory(folder));
  return {};
}

fs::path PathOfModel(const HubCache& cache, const std::string& repository, const PullPlan& plan) {
  const fs::path snapshot = cache.Snapshot(repository, plan.commit);
  std::vector<std::string> paths;
  for (const RepositoryFile& file : plan.files) {
    if (file.path == "config.json") return snapshot;
    paths.push_back(file.path);
  }
  const std::vector<GgufModel> ggufs = GgufModelsIn(std::move(paths));
  return ggufs.size() == 1 ? snapshot / ggufs.front().paths.front() : snapshot;
}

}  // namespace

Result<PullPlan> PlanPull(const PullRequest& request, const std::function<bool()>& cancelled,
                          const OnWait& on_wait) {
  const std::string& repository = request.name.repository;
  if (request.hub.offline) {
    return InvalidArgument("{}: the network is not to be used (--offline or HF_HUB_OFFLINE)",
                           request.name.Text());
  }
  if (request.hub.cache.empty()) {
    return NotFound("there is no folder for models: set HF_HOME to one, or HOME");
  }
  QWEN25_TRY(RepositoryListing listing, ListRepository(request.name, request.hub, cancelled, on_wait));
  PullPlan plan = {.commit = std::move(listing.commit)};
  QWEN25_TRY(plan.files, ChooseFiles(listing.files, request.name.format, request.patterns, repository));
  FindMissing(HubCache(request.hub.cache), repository, plan);
  return plan;
}

Result<fs::path> RunPull(const PullRequest& request, const PullPlan& plan, const DownloadProgress& progress) {
  const HubCache cache(request.hub.cache);
  const std::string& repository = request.name.repository;
  const fs::path lock_file = cache.LockFile(repository, kPullLock);
  const auto wait = [&] {
    return !progress || progress(0, plan.bytes,
                                 fmt::format("another process{} is fetching this model; waiting for it",
                                             FileLock::Holder(lock_file)));
  };
  QWEN25_TRY(const FileLock lock, FileLock::Acquire(lock_file, wait));
  lock.NameHolder();
  QWEN25_RETURN_IF_ERROR(MakeFolders(cache, repository));
  PullPlan now = plan;  // another process may have fetched some of it
  FindMissing(cache, repository, now);
  QWEN25_RETURN_IF_ERROR(CheckRoom(cache.Folder(repository), now.missing_bytes));
  if (!now.missing.empty()) {
    QWEN25_RETURN_IF_ERROR(DownloadBlobs({.cache = cache,
                                          .hub = request.hub,
                                          .repository = repository,
                                          .commit = plan.commit,
                                          .files = now.missing,
                                          .num_connections = request.num_connections,
                                          .progress = progress}));
  }
  QWEN25_RETURN_IF_ERROR(LinkFiles(cache, repository, now));
  if (request.name.revision_or_main() != plan.commit) {
    QWEN25_RETURN_IF_ERROR(cache.WriteRef(repository, request.name.revision_or_main(), plan.commit));
  }
  return PathOfModel(cache, repository, now);
}

}  // namespace qwen25
