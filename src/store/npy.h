// NumPy's files of arrays (.npy).
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "base/status.h"

namespace qwen25 {

// Writes a float32 matrix [rows, cols], row by row (C order), in format 1.0; atomically.
// numpy.org/doc/stable/reference/generated/numpy.lib.format.html
Status WriteNpy(const std::filesystem::path& path, std::span<const float> values, size_t rows, size_t cols);

}  // namespace qwen25
