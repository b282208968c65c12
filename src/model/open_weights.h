// Opens the weights of a model at a path.
#pragma once

#include <filesystem>
#include <memory>

#include "base/status.h"
#include "model/weights_reader.h"

namespace qwen25 {

// `path` is a file *.gguf, otherwise a folder. Checks the configuration; WeightsReader::Check checks the
// weights. Errors name the file and the cause.
Result<std::unique_ptr<WeightsReader>> OpenWeights(const std::filesystem::path& path);

}  // namespace qwen25
