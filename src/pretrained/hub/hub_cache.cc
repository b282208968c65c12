#include "pretrained/hub/hub_cache.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "base/file.h"
#include "model/packed_cache.h"
#include "pretrained/hub/content_digest.h"
#include "pretrained/hub/file_lock.h"
#include "pretrained/hub/repository_files.h"

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "models--";

std::vector<fs::path> EntriesOf(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    entries.push_back(entry->path());
  }
  std::ranges::sort(entries);
  return entries;
}

bool IsFolder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

// Branches and tags with their commits.
std::vector<std::pair<std::string, std::string>> ReadRefs(const fs::path& repository) {
  std::vector<std::pair<std::string, std::string>> refs;
  const fs::path folder = repository / "refs";
  std::error_code error, ignored;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (!entry->is_regular_file(ignored)) continue;
    const Result<std::string> commit = ReadFile(entry->path());
    if (commit.ok()) refs.emplace_back(entry->path().lexically_relative(folder).generic_string(), *commit);
  }
  std::ranges::sort(refs);
  return refs;
}

CachedRepository ReadRepository(const fs::path& folder, std::string name) {
  CachedRepository repository = {.name = std::move(name), .folder = folder};
  const auto refs = ReadRefs(folder);
  for (const fs::path& path : EntriesOf(folder / "snapshots")) {
    if (!IsFolder(path)) continue;
    CachedSnapshot snapshot = {.commit = path.filename().string(), .folder = path};
    for (const auto& [ref, commit] : refs) {
      if (commit == snapshot.commit) snapshot.refs.push_back(ref);
    }
    snapshot.modified = FactsOf(path).modified;
    snapshot.models = ModelsInFolder(path);
    for (const LocalModel& model : snapshot.models) {
      snapshot.modified = std::max(snapshot.modified, model.modified);
    }
    repository.snapshots.push_back(std::move(snapshot));
  }
  std::ranges::stable_sort(repository.snapshots, std::greater<>(), &CachedSnapshot::modified);
  for (const fs::path& blob : EntriesOf(folder / "blobs")) {
    const uint64_t bytes = FactsOf(blob).bytes;
    repository.bytes += bytes;
    if (blob.extension() == ".incomplete") repository.unfinished_bytes += bytes;
  }
  return repository;
}

Status RemoveTree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  return error ? ErrnoStatus(error.value(), "remove", path) : Status();
}

Status RemoveFile(const fs::path& path) {
  std::error_code error;
  fs::remove(path, error);
  return error ? ErrnoStatus(error.value(), "remove", path) : Status();
}

// Where the link leads to, if it is one.
std::optional<fs::path> TargetOf(const fs::path& link) {
  std::error_code error;
  const fs::path target = fs::read_symlink(link, error);
  if (error) return std::nullopt;
  return (link.parent_path() / target).lexically_normal();
}

// Packed weights that were made of this model, or of all models below `path`.
void RemovePackedWeights(const fs::path& path) {
  if (const fs::path packed = PackedCacheFolder(path); !packed.empty()) (void)RemoveTree(packed);
}

// All files and links.
std::vector<fs::path> FilesBelow(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error, ignored;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->is_symlink(ignored) || !entry->is_directory(ignored)) files.push_back(entry->path());
  }
  return files;
}

// The contents that links below a folder lead to.
std::set<fs::path> BlobsUsedBelow(const fs::path& folder) {
  std::set<fs::path> blobs;
  for (const fs::path& file : FilesBelow(folder)) {
    if (const auto target = TargetOf(file)) blobs.insert(*target);
  }
  return blobs;
}

// The files of a model in a snapshot: all parts of a GGUF model, or everything that is no GGUF file.
std::vector<fs::path> FilesOf(const LocalModel& model) {
  std::vector<fs::path> files;
  if (!model.is_gguf) {
    files = FilesBelow(model.path);
    std::erase_if(files, [](const fs::path& path) { return path.extension() == ".gguf"; });
    return files;
  }
  std::vector<std::string> paths;
  for (const fs::path& path : EntriesOf(model.path.parent_path())) paths.push_back(path.string());
  for (const GgufModel& gguf : GgufModelsIn(std::move(paths))) {
    if (gguf.paths.front() == model.path) files.assign(gguf.paths.begin(), gguf.paths.end());
  }
  return files;
}

}  // namespace

std::string RepositoryFolderName(const std::string& repository) {
  std::string name(kPrefix);
  for (const char c : repository) {
    if (c == '/') {
      name += "--";
    } else {
      name += c;
    }
  }
  return name;
}

std::string RepositoryOfFolderName(const std::string& folder) {
  if (!folder.starts_with(kPrefix)) return "";
  std::string name = folder.substr(kPrefix.size());
  if (const size_t dashes = name.find("--"); dashes != name.npos) name.replace(dashes, 2, "/");
  return IsRepositoryName(name) ? name : "";
}

fs::path HubCache::Folder(const std::string& repository) const {
  return root_ / RepositoryFolderName(repository);
}
fs::path HubCache::Blob(const std::string& repository, const std::string& digest) const {
  return Folder(repository) / "blobs" / digest;
}
fs::path HubCache::Snapshot(const std::string& repository, const std::string& commit) const {
  return Folder(repository) / "snapshots" / commit;
}
fs::path HubCache::LockFile(const std::string& repository, const std::string& name) const {
  return root_ / ".locks" / RepositoryFolderName(repository) / (name + ".lock");
}

std::vector<CachedRepository> HubCache::List() const {
  std::vector<CachedRepository> repositories;
  for (const fs::path& path : EntriesOf(root_)) {
    const std::string name = RepositoryOfFolderName(path.filename().string());
    if (!name.empty() && IsFolder(path)) repositories.push_back(ReadRepository(path, name));
  }
  return repositories;
}

std::optional<CachedRepository> HubCache::Find(const std::string& repository) const {
  const fs::path folder = Folder(repository);
  if (root_.empty() || !IsFolder(folder)) return std::nullopt;
  return ReadRepository(folder, repository);
}

std::optional<std::string> HubCache::ReadRef(const std::string& repository,
                                             const std::string& revision) const {
  const Result<std::string> commit = ReadFile(Folder(repository) / "refs" / revision);
  if (!commit.ok() || !IsCommitHash(*commit)) return std::nullopt;
  return *commit;
}

Status HubCache::WriteRef(const std::string& repository, const std::string& revision,
                          const std::string& commit) const {
  if (ReadRef(repository, revision) == commit) return {};
  const fs::path file = Folder(repository) / "refs" / revision;
  QWEN25_RETURN_IF_ERROR(CreateDirectories(file.parent_path()));
  // Written outside of refs: whatever lies there, readers of the cache take for a reference.
  const fs::path temporary = Folder(repository) / fmt::format("ref.{}", ::getpid());
  QWEN25_RETURN_IF_ERROR(WriteFileAtomically(temporary, commit));
  if (::rename(temporary.c_str(), file.c_str()) != 0) return ErrnoStatus(errno, "rename to", file);
  return SyncDirectory(file.parent_path());
}

Status HubCache::Link(const std::string& repository, const std::string& commit, const std::string& path,
                      const std::string& digest) const {
  const fs::path link = Snapshot(repository, commit) / path, blob = Blob(repository, digest);
  QWEN25_RETURN_IF_ERROR(CreateDirectories(link.parent_path()));
  const fs::path target = blob.lexically_relative(link.parent_path());
  std::error_code error;
  if (fs::read_symlink(link, error) == target && !error) return {};
  // Under another name first: whoever looks meanwhile sees the old file or the new one.
  const fs::path temporary = Folder(repository) / fmt::format("link.{}", ::getpid());
  (void)::unlink(temporary.c_str());
  // Relative to the place where it will stand. A file system without links gets a second name of the file.
  if (::symlink(target.c_str(), temporary.c_str()) != 0 && ::link(blob.c_str(), temporary.c_str()) != 0) {
    return ErrnoStatus(errno, "create a link in", link.parent_path());
  }
  if (::rename(temporary.c_str(), link.c_str()) != 0) {
    const int error_number = errno;
    (void)::unlink(temporary.c_str());
    return ErrnoStatus(error_number, "create the link", link);
  }
  return {};
}

Result<size_t> HubCache::Verify(const CachedRepository& repository,
                                const std::function<bool(uint64_t done)>& progress) const {
  uint64_t done = 0;
  size_t num_files = 0;
  for (const fs::path& blob : BlobsUsedBelow(repository.folder / "snapshots")) {
    const std::string digest = blob.filename().string();
    if (!ContentDigest::IsDigest(digest)) continue;
    QWEN25_RETURN_IF_ERROR(
        CheckContent(blob.string(), digest, [&](uint64_t of_file) { return progress(done + of_file); }));
    done += FactsOf(blob).bytes;
    ++num_files;
  }
  return num_files;
}

Result<uint64_t> HubCache::Remove(const std::string& repository, const std::string& format) const {
  const std::optional<CachedRepository> found = Find(repository);
  if (!found) return NotFound("{}: there is no such model in {}", repository, root_.string());
  uint64_t bytes = 0;
  {
    const fs::path lock_file = LockFile(repository, kPullLock);
    const Result<FileLock> lock = FileLock::Acquire(lock_file);
    if (!lock.ok() && lock.status().code() == StatusCode::kResourceExhausted) {
      return ResourceExhausted("{}: another process{} is fetching this model", repository,
                               FileLock::Holder(lock_file));
    }
    QWEN25_RETURN_IF_ERROR(lock.status());
    if (!format.empty()) {
      QWEN25_TRY(bytes, RemoveFormat(*found, format));
    } else {
      bytes = found->bytes;
      RemovePackedWeights(found->folder / "snapshots");
      for (const char* part : {"snapshots", "refs", "blobs", ""}) {
        QWEN25_RETURN_IF_ERROR(RemoveTree(found->folder / part));
      }
    }
  }
  if (format.empty()) QWEN25_RETURN_IF_ERROR(RemoveTree(root_ / ".locks" / RepositoryFolderName(repository)));
  return bytes;
}

Result<uint64_t> HubCache::RemoveFormat(const CachedRepository& repository, const std::string& format) const {
  std::set<fs::path> blobs;  // of what goes
  bool any = false;
  for (const CachedSnapshot& snapshot : repository.snapshots) {
    const LocalModel* model = FindLocalModel(snapshot.models, format);
    if (model == nullptr) continue;
    any = true;
    RemovePackedWeights(model->path);
    for (const fs::path& file : FilesOf(*model)) {
      if (const auto target = TargetOf(file)) blobs.insert(*target);
      QWEN25_RETURN_IF_ERROR(RemoveFile(file));
    }
  }
  if (!any) return NotFound("{}: there is no {} of it in {}", repository.name, format, root_.string());
  const std::set<fs::path> used = BlobsUsedBelow(repository.folder / "snapshots");
  uint64_t bytes = 0;
  for (const fs::path& blob : blobs) {
    if (used.contains(blob)) continue;
    bytes += FactsOf(blob).bytes;
    QWEN25_RETURN_IF_ERROR(RemoveFile(blob));
  }
  if (used.empty()) QWEN25_RETURN_IF_ERROR(RemoveTree(repository.folder));
  return bytes;
}

std::optional<LocalModel> FindModel(const CachedRepository& repository, const ModelName& name) {
  const auto in = [&](const CachedSnapshot& snapshot) -> std::optional<LocalModel> {
    const LocalModel* model = FindLocalModel(snapshot.models, name.format);
    return model == nullptr ? std::nullopt : std::optional(*model);
  };
  for (const CachedSnapshot& snapshot : repository.snapshots) {
    const bool wanted = snapshot.commit == name.revision ||
                        std::ranges::find(snapshot.refs, name.revision_or_main()) != snapshot.refs.end();
    if (!wanted) continue;
    if (auto model = in(snapshot)) return model;
  }
  if (!name.revision.empty()) return std::nullopt;
  for (const CachedSnapshot& snapshot : repository.snapshots) {
    if (auto model = in(snapshot)) return model;
  }
  return std::nullopt;
}

}  // namespace qwen25
