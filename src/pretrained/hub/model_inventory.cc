#include "pretrained/hub/model_inventory.h"

#include <algorithm>
#include <set>

#include "pretrained/hub/hub_cache.h"
#include "pretrained/hub/ollama_store.h"

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

// `names` holds those that are in the list already.
void AddRepository(const CachedRepository& repository, std::set<std::string>& names, ModelStore& store) {
  // That of refs/main first, which is what the name alone means.
  std::vector<const CachedSnapshot*> snapshots;
  for (const CachedSnapshot& snapshot : repository.snapshots) snapshots.push_back(&snapshot);
  std::stable_partition(snapshots.begin(), snapshots.end(), [](const CachedSnapshot* snapshot) {
    return std::ranges::find(snapshot->refs, "main") != snapshot->refs.end();
  });
  bool any = false;
  for (const CachedSnapshot* snapshot : snapshots) {
    for (const LocalModel& model : snapshot->models) {
      any = true;
      std::string name = repository.name;
      if (model.is_gguf && !model.format.empty()) name += ":" + model.format;
      if (names.insert(name).second) store.models.push_back({std::move(name), model});
    }
  }
  if (!any || repository.unfinished_bytes > 0) {
    store.others.push_back({repository.name, repository.bytes, repository.unfinished_bytes});
  }
}

std::vector<fs::path> EntriesOf(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    paths.push_back(entry->path());
  }
  std::ranges::sort(paths);
  return paths;
}

// By their paths.
void Add(std::vector<LocalModel> found, ModelStore& store) {
  for (LocalModel& model : found) {
    std::string name = model.path.string();
    if (name.starts_with("./")) name.erase(0, 2);
    store.models.push_back({std::move(name), std::move(model)});
  }
}

bool IsModelFolder(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path / "config.json", ignored);
}

}  // namespace

std::vector<ModelStore> ModelStores(const HubSettings& settings) {
  std::vector<ModelStore> stores;
  std::set<std::string> names;
  for (const fs::path& cache : settings.Caches()) {
    ModelStore store = {.folder = cache};
    for (const CachedRepository& repository : HubCache(cache).List()) {
      AddRepository(repository, names, store);
    }
    if (!store.models.empty() || !store.others.empty()) stores.push_back(std::move(store));
  }
  ModelStore ollama = {.folder = settings.ollama};
  for (OllamaModel& model : ListOllamaModels(settings.ollama)) {
    ollama.models.push_back({std::move(model.name), std::move(model.model)});
  }
  if (!ollama.models.empty()) stores.push_back(std::move(ollama));
  return stores;
}

ModelStore ModelsNear(const fs::path& folder) {
  ModelStore store = {.folder = folder};
  for (const fs::path& path : EntriesOf(folder)) {
    const bool hidden = path.filename().string().starts_with('.');
    if (!hidden && IsModelFolder(path)) Add(ModelsInFolder(path), store);
  }
  Add(GgufFilesIn(folder), store);
  for (const fs::path& run : EntriesOf(folder / "runs")) {
    if (IsModelFolder(run / "model")) Add(ModelsInFolder(run / "model"), store);
  }
  return store;
}

}  // namespace qwen25
