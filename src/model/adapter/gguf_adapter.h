// Adapters in GGUF files, as llama.cpp's convert_lora_to_gguf.py writes them.
#pragma once

#include <filesystem>

#include "base/status.h"
#include "model/adapter/adapter.h"
#include "model/config.h"

namespace qwen25 {

// Reads the file for a model of that configuration; `scale` multiplies the whole change. kUnsupported for
// other kinds of adapters; kInvalidArgument, with wanted and found, if it does not fit the model; errors of
// GgufReader::Open.
Result<Adapter> ReadGgufAdapter(const std::filesystem::path& path, double scale, const ModelConfig& config);

}  // namespace qwen25
