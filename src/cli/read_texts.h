// The texts that the verbs that score models are given.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace qwen25 {

// Texts of a file: the documents of a .jsonl, or the whole file.
Result<std::vector<std::string>> ReadTexts(const std::string& path);

}  // namespace qwen25
