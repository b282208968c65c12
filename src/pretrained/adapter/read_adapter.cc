#include "pretrained/adapter/read_adapter.h"

#include <charconv>
#include <cmath>
#include <utility>

#include "model/adapter/gguf_adapter.h"
#include "model/adapter/merged_weights.h"
#include "model/open_weights.h"
#include "pretrained/adapter/peft_adapter.h"

namespace qwen25 {

Result<AdapterSource> ParseAdapterSource(std::string_view text) {
  AdapterSource source = {.path = std::filesystem::path(text)};
  std::error_code ignored;
  const size_t equals = text.rfind('=');
  if (equals != text.npos && !std::filesystem::exists(source.path, ignored)) {
    const std::string_view tail = text.substr(equals + 1);
    const auto [end, error] = std::from_chars(tail.data(), tail.data() + tail.size(), source.scale);
    if (error != std::errc() || end != tail.data() + tail.size() || !std::isfinite(source.scale)) {
      return InvalidArgument(
          "adapter {}: there is no such path, and \"{}\" is not a scale, expected a finite number, as in "
          "PATH=0.5",
          text, tail);
    }
    source.path = std::filesystem::path(text.substr(0, equals));
  }
  if (source.path.empty()) return InvalidArgument("adapter \"{}\": the path is empty", text);
  return source;
}

Result<Adapter> ReadAdapter(const AdapterSource& source, const ModelConfig& config) {
  std::error_code ignored;
  if (IsGgufPath(source.path)) return ReadGgufAdapter(source.path, source.scale, config);
  if (std::filesystem::is_directory(source.path, ignored)) {
    return ReadPeftAdapter(source.path, source.scale, config);
  }
  return NotFound(
      "{}: there is no such adapter; expected a folder with adapter_config.json and "
      "adapter_model.safetensors, or a .gguf file",
      source.path.string());
}

Result<std::vector<Adapter>> ReadAdapters(std::span<const AdapterSource> sources, const ModelConfig& config) {
  std::vector<Adapter> adapters;
  for (const AdapterSource& source : sources) {
    QWEN25_TRY(Adapter adapter, ReadAdapter(source, config));
    adapters.push_back(std::move(adapter));
  }
  return adapters;
}

Result<std::shared_ptr<const AdapterSet>> LoadAdapterSet(std::span<const AdapterSource> sources,
                                                         const ModelConfig& config, ThreadPool& threads) {
  if (sources.empty()) return std::shared_ptr<const AdapterSet>();
  QWEN25_TRY(const std::vector<Adapter> adapters, ReadAdapters(sources, config));
  return AdapterSet::Make(config, adapters, threads);
}

Result<std::unique_ptr<WeightsReader>> OpenMergedWeights(const std::filesystem::path& model,
                                                         std::span<const AdapterSource> sources) {
  QWEN25_TRY(std::unique_ptr<WeightsReader> base, OpenWeights(model));
  if (sources.empty()) return base;
  QWEN25_TRY(std::vector<Adapter> adapters, ReadAdapters(sources, base->config()));
  return MergedWeights::Make(std::move(base), std::move(adapters));
}

}  // namespace qwen25
