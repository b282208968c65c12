#include "pretrained/hub/ollama_store.h"

#include <algorithm>

#include "base/file.h"
#include "base/json.h"
#include "pretrained/hub/content_digest.h"
#include "pretrained/hub/model_name.h"

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kHost = "registry.ollama.ai", kNamespace = "library", kTag = "latest";
constexpr std::string_view kLayer = "application/vnd.ollama.image.";

// The file of the layer with the weights.
Result<fs::path> WeightsOf(const fs::path& store, const fs::path& manifest) {
  const std::string origin = manifest.string();
  QWEN25_TRY(const std::string text, ReadFile(manifest));
  QWEN25_TRY(const Json json, ParseJson(text, origin));
  const auto layers = json.is_object() ? json.find("layers") : json.end();
  if (layers == json.end() || !layers->is_array()) return Corrupt("{}: expected \"layers\"", origin);
  std::string digest;
  for (const Json& layer : *layers) {
    std::string type;
    if (!layer.is_object()) return Corrupt("{}: expected objects in \"layers\"", origin);
    QWEN25_RETURN_IF_ERROR(ReadField(layer, "mediaType", origin, type));
    if (type == std::string(kLayer) + "adapter") {
      return Unsupported("{}: the model has an adapter, which this program does not apply", origin);
    }
    if (type == std::string(kLayer) + "model") {
      QWEN25_RETURN_IF_ERROR(ReadField(layer, "digest", origin, digest));
    }
  }
  constexpr std::string_view kPrefix = "sha256:";
  if (!digest.starts_with(kPrefix) || digest.size() != kPrefix.size() + 64 ||
      !ContentDigest::IsDigest(std::string_view(digest).substr(kPrefix.size()))) {
    return NotFound("{}: names no weights (a layer {}model)", origin, kLayer);
  }
  const fs::path file = store / "blobs" / ("sha256-" + digest.substr(kPrefix.size()));
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) return NotFound("{}: the weights are missing", file.string());
  return file;
}

}  // namespace

std::vector<OllamaModel> ListOllamaModels(const fs::path& store) {
  std::vector<OllamaModel> models;
  const fs::path folder = store / "manifests";
  std::error_code error, ignored;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry.depth() != 3 || !entry->is_regular_file(ignored)) continue;
    const fs::path path = entry->path().lexically_relative(folder);  // HOST/NAMESPACE/MODEL/TAG
    const std::vector<fs::path> parts(path.begin(), path.end());
    const Result<fs::path> weights = WeightsOf(store, entry->path());
    if (!weights.ok() || parts.size() != 4) continue;
    std::string name = "ollama/";
    if (parts[0] != kHost) name += parts[0].string() + "/";
    if (parts[0] != kHost || parts[1] != kNamespace) name += parts[1].string() + "/";
    name += fmt::format("{}:{}", parts[2].string(), parts[3].string());
    const FileFacts facts = FactsOf(*weights);
    models.push_back({.name = std::move(name),
                      .model = {.format = parts[3].string(),
                                .is_gguf = true,
                                .path = *weights,
                                .bytes = facts.bytes,
                                .modified = facts.modified}});
  }
  std::ranges::sort(models, {}, &OllamaModel::name);
  return models;
}

Result<fs::path> FindOllamaModel(const fs::path& store, std::string_view name) {
  std::string tag(kTag), path(name);
  const size_t slash = path.rfind('/'), colon = path.rfind(':');
  if (colon != path.npos && (slash == path.npos || colon > slash)) {  // not that of a port
    tag = path.substr(colon + 1);
    path.resize(colon);
  }
  const auto slashes = std::ranges::count(path, '/');
  if (slashes == 0) path = fmt::format("{}/{}", kNamespace, path);
  if (slashes <= 1) path = fmt::format("{}/{}", kHost, path);
  path += "/" + tag;
  if (slashes > 2 || !IsSafeRelativePath(path)) {
    return InvalidArgument(
        "\"ollama/{}\" names no model of Ollama; expected ollama/[[HOST/]NAMESPACE/]MODEL[:TAG]", name);
  }
  const fs::path manifest = store / "manifests" / path;
  std::error_code ignored;
  if (store.empty() || !fs::is_regular_file(manifest, ignored)) {
    return NotFound("ollama/{}: Ollama has no such model (there is no {})", name, manifest.string());
  }
  return WeightsOf(store, manifest);
}

}  // namespace qwen25
