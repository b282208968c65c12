// Packed weights in a file beside the model, so that the next start maps them instead of packing again.
#pragma once

#include <filesystem>
#include <string>

#include "base/status.h"
#include "quant/packed_weight.h"

namespace qwen25 {

// <folder>/qwen25-<format>.packed: a safetensors file with the tensors "matrices" (U8, as packed) and
// "vectors" (F32), and in its metadata the format and what it was made from.
std::filesystem::path PackedCachePath(const std::filesystem::path& directory, WeightFormat format);

// Changes when config.json or the weights of a folder do: names, sizes and times of change of the files.
Result<std::string> PackedCacheSource(const std::filesystem::path& directory);

}  // namespace qwen25
