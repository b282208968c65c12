// Folders whose weights another program has quantized: none of the methods is read, and each is named.
#pragma once

#include <filesystem>
#include <span>

#include "base/json.h"
#include "base/status.h"
#include "store/safetensors.h"

namespace qwen25 {

// Returns kUnsupported, with the name of the method, if this config.json says that the weights are quantized.
// A config.json that names no method, or says that nothing was done, is accepted: the tensors tell the rest.
Status CheckConfigNotQuantized(const Json& config, const std::filesystem::path& directory);

// Returns kUnsupported, with the name of the method, if tensors have names that only such a method gives.
Status CheckTensorsNotQuantized(std::span<const TensorInfo> tensors, const std::filesystem::path& directory);

}  // namespace qwen25
