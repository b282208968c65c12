// Folders whose weights another program has quantized: none of the methods is read, and each is named.
#pragma once

#include <filesystem>
#include <span>

#include "base/json.h"
#include "base/status.h"
#include "store/safetensors.h"

namespace qwen25 {

// kUnsupported, by the name of the method, where this config.json says that the weights are quantized. What
// names no method, or says that nothing was done, is no obstacle: the tensors tell.
Status CheckConfigNotQuantized(const Json& config, const std::filesystem::path& directory);

// kUnsupported, by the name of the method, where tensors have names that only such a method gives.
Status CheckTensorsNotQuantized(std::span<const TensorInfo> tensors, const std::filesystem::path& directory);

}  // namespace qwen25
