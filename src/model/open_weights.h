// The weights of a model at a path.
#pragma once

#include <filesystem>
#include <memory>

#include "base/status.h"
#include "model/weights_reader.h"

namespace qwen25 {

// A file called *.gguf, else a folder. What the file or folder describes is checked; its weights are not yet.
Result<std::unique_ptr<WeightsReader>> OpenWeights(const std::filesystem::path& path);

}  // namespace qwen25
