// Reads adapters from disk.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/adapter/adapter.h"
#include "model/adapter/adapter_set.h"
#include "model/config.h"
#include "model/weights_reader.h"

namespace qwen25 {

// Which adapter is used, and how much of it.
struct AdapterSource {
  std::filesystem::path path;  // a folder that PEFT saved, or a .gguf file
  double scale = 1;            // finite; multiplies the change of the weights
};

// "PATH", or "PATH=SCALE". kInvalidArgument if the path is empty or the scale is not finite.
Result<AdapterSource> ParseAdapterSource(std::string_view text);

// Reads an adapter for a model of that configuration. Errors say what does not fit, with wanted and found, or
// what is not handled.
Result<Adapter> ReadAdapter(const AdapterSource& source, const ModelConfig& config);
Result<std::vector<Adapter>> ReadAdapters(std::span<const AdapterSource> sources, const ModelConfig& config);

// Those adapters together, to be applied apart from the weights; null if there are none.
Result<std::shared_ptr<const AdapterSet>> LoadAdapterSet(std::span<const AdapterSource> sources,
                                                         const ModelConfig& config, ThreadPool& threads);

// Opens a model's weights (model/open_weights.h) with the adapters merged into them.
Result<std::unique_ptr<WeightsReader>> OpenMergedWeights(const std::filesystem::path& model,
                                                         std::span<const AdapterSource> sources);

}  // namespace qwen25
