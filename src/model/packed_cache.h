// Packed weights in a file beside the model, so that the next start maps them instead of packing again.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "base/status.h"
#include "quant/packed_weight.h"

namespace qwen25 {

// <folder>/qwen25-<format>.packed, beside a GGUF file <file>.qwen25-<format>.packed: a safetensors file with
// the tensors "matrices" (U8, as packed) and "vectors" (F32), and in its metadata the formats of the matrices
// and what it was made from. The name has the format of most matrices.
std::filesystem::path PackedCachePath(const std::filesystem::path& model_path,
                                      std::span<const WeightFormat> formats);

// The formats of all matrices as text.
std::string PackedCacheFormats(std::span<const WeightFormat> formats);

// Changes when the configuration or the weights do: names, sizes and times of change of a folder's files, or
// of all parts of a GGUF file.
Result<std::string> PackedCacheSource(const std::filesystem::path& model_path);

}  // namespace qwen25
