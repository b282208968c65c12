// The texts that the verbs that score models are given.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/status.h"

namespace qwen25 {

// Texts of a file: the documents of a .jsonl, or the whole file.
Result<std::vector<std::string>> ReadTexts(const std::string& path);

// The files that `path` names: itself, or the text files (.txt, .md, .rst, .org, .tex) of the folder and of
// those below it, sorted.
Result<std::vector<std::filesystem::path>> TextFilesIn(const std::filesystem::path& path);
bool IsTextFile(const std::filesystem::path& path);

}  // namespace qwen25
