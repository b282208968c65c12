#include "pretrained/hub/local_models.h"

#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <set>

#include "base/json.h"
#include "model/encoder_config.h"
#include "pretrained/hub/repository_files.h"

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxDepth = 4;  // of folders below a snapshot

bool IsFile(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

std::string Upper(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return upper;
}

// The weights that an index names; none if it cannot be read.
std::set<std::string> FilesOfIndex(const fs::path& index) {
  std::set<std::string> files;
  const Result<Json> json = ReadJsonFile(index.string());
  if (!json.ok() || !json->is_object()) return files;
  const auto map = json->find("weight_map");
  if (map == json->end() || !map->is_object()) return files;
  for (const auto& [tensor, file] : map->items()) {
    if (file.is_string()) files.insert(file.get<std::string>());
  }
  return files;
}

// The files of a folder's weights; none if one of them is missing.
std::vector<fs::path> WeightsOf(const fs::path& folder) {
  if (IsFile(folder / "model.safetensors")) return {folder / "model.safetensors"};
  std::vector<fs::path> weights;
  const fs::path index = folder / "model.safetensors.index.json";
  if (!IsFile(index)) return weights;
  for (const std::string& name : FilesOfIndex(index)) {
    if (name.find('/') != name.npos || !IsFile(folder / name)) return {};
    weights.push_back(folder / name);
  }
  return weights;
}

void Add(const fs::path& file, LocalModel& model) {
  const FileFacts facts = FactsOf(file);
  model.bytes += facts.bytes;
  model.modified = std::max(model.modified, facts.modified);
}

std::string WeightTypeOf(const Json& config) {
  for (const char* key : {"dtype", "torch_dtype"}) {
    const auto found = config.find(key);
    if (found != config.end() && found->is_string()) return found->get<std::string>();
  }
  return "safetensors";
}

std::string ArchitectureOf(const Json& config) {
  const auto list = config.find("architectures");
  if (list == config.end() || !list->is_array() || list->empty() || !list->front().is_string()) return "";
  return list->front().get<std::string>();
}

std::optional<LocalModel> FolderModel(const fs::path& folder) {
  const fs::path config = folder / "config.json";
  if (!IsFile(config)) return std::nullopt;
  const std::vector<fs::path> weights = WeightsOf(folder);
  if (weights.empty()) return std::nullopt;
  const Result<Json> json = ReadJsonFile(config.string());
  if (!json.ok() || !json->is_object()) return std::nullopt;
  const bool has_modules = IsFile(folder / "modules.json");  // of a sentence encoder, whatever its layers are
  LocalModel model = {.format = WeightTypeOf(*json),
                      .architecture = has_modules ? "SentenceTransformer" : ArchitectureOf(*json),
                      .path = folder};
  for (const fs::path& file : weights) Add(file, model);
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const fs::path& path = entry->path();
    const bool companion = path.extension() == ".json" || path.extension() == ".txt" ||
                           path.extension() == ".jinja" || path.filename() == "tokenizer.model";
    if (companion && IsFile(path)) Add(path, model);
  }
  return model;
}

// The complete GGUF models among paths below `folder`.
void AddGgufs(const fs::path& folder, std::vector<std::string> paths, std::vector<LocalModel>& models) {
  std::erase_if(paths, [&](const std::string& path) { return !IsFile(folder / path); });
  for (const GgufModel& gguf : GgufModelsIn(std::move(paths))) {
    if (!gguf.complete()) continue;
    LocalModel model = {.format = gguf.format, .is_gguf = true, .path = folder / gguf.paths.front()};
    for (const std::string& path : gguf.paths) Add(folder / path, model);
    models.push_back(std::move(model));
  }
}

}  // namespace

FileFacts FactsOf(const fs::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return {};
  return {static_cast<uint64_t>(info.st_size), info.st_mtim.tv_sec};
}

bool MayGenerate(const LocalModel& model) {
  if (model.is_gguf) return !IsEncoder(model.path);
  return model.architecture.empty() || model.architecture.ends_with("ForCausalLM");
}

std::vector<LocalModel> ModelsInFolder(const fs::path& folder) {
  std::vector<LocalModel> models;
  if (auto model = FolderModel(folder)) models.push_back(std::move(*model));
  std::vector<std::string> paths;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry.depth() >= kMaxDepth) entry.disable_recursion_pending();
    paths.push_back(entry->path().lexically_relative(folder).generic_string());
  }
  AddGgufs(folder, paths, models);
  return models;
}

std::vector<LocalModel> GgufFilesIn(const fs::path& folder) {
  std::vector<LocalModel> models;
  std::vector<std::string> paths;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    paths.push_back(entry->path().filename().string());
  }
  AddGgufs(folder, paths, models);
  return models;
}

const LocalModel* FindLocalModel(std::span<const LocalModel> models, std::string_view format) {
  const auto folder = std::ranges::find_if(models, [](const LocalModel& model) { return !model.is_gguf; });
  if (folder != models.end() &&
      (format.empty() || Upper(format) == "SAFETENSORS" || Upper(format) == Upper(folder->format))) {
    return &*folder;
  }
  std::vector<GgufModel> ggufs;
  std::vector<const LocalModel*> choices;
  for (const LocalModel& model : models) {
    if (!model.is_gguf) continue;
    ggufs.push_back({.format = model.format, .paths = {model.path.filename().string()}});
    choices.push_back(&model);
  }
  const GgufModel* found = FindGguf(ggufs, format);
  return found == nullptr ? nullptr : choices[static_cast<size_t>(found - ggufs.data())];
}

}  // namespace qwen25
