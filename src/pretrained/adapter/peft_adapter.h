// Adapters in the folders that PEFT saves: adapter_config.json and adapter_model.safetensors.
#pragma once

#include <filesystem>

#include "base/status.h"
#include "model/adapter/adapter.h"
#include "model/config.h"

namespace qwen25 {

// Reads the folder for a model of that configuration; `scale` multiplies the whole change. Errors of
// PeftConfig::FromJson and SafetensorsReader::Open; kInvalidArgument, with wanted and found, if the adapter
// does not fit the model; kUnsupported names a tensor of another kind.
Result<Adapter> ReadPeftAdapter(const std::filesystem::path& folder, double scale, const ModelConfig& config);

}  // namespace qwen25
