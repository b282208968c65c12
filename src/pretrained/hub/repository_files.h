// Which files of a repository make up a model that this program can run.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace qwen25 {

// A file as a hub lists it.
struct RepositoryFile {
  std::string path;    // relative, with slashes
  uint64_t size = 0;   // bytes
  std::string digest;  // 64 hexadecimal digits: SHA-256 of the content; 40: SHA-1 of its git blob
};

// A GGUF model among files: one file, or all parts of a split one.
struct GgufModel {
  std::string format;              // "Q4_K_M", in capitals; empty if the name does not tell
  std::vector<std::string> paths;  // in order: the first one is what programs open
  uint32_t num_parts = 1;          // that the names speak of
  bool complete() const { return paths.size() == num_parts; }
};

// All GGUF models among these paths, in the order of the paths when sorted. Not those that are parts of other
// models: projectors of images, importance matrices, heads for speculation.
std::vector<GgufModel> GgufModelsIn(std::vector<std::string> paths);

// The model in this format, with the rules of llama.cpp: FORMAT followed by '-' or '.' stands somewhere in
// the path, in any case; without a format Q4_K_M, then Q8_0, then the first model. Among several matches, one
// where FORMAT is not the end of a longer word ("Q4_XS" is not "IQ4_XS") comes first. Null: there is none.
const GgufModel* FindGguf(std::span<const GgufModel> models, std::string_view format);

// The files to fetch. With `patterns` (as in file names: * and ?), those that match one of them, and nothing
// else. Otherwise configuration and tokenizer with the weights as safetensors, or, if `format` is a GGUF
// format or there are no safetensors, the files of one GGUF model. `format` "safetensors" asks for those.
// kUnsupported if there are only pickled weights; kNotFound with a list of what is there, with sizes, if
// nothing fits. `origin` names the repository in messages.
Result<std::vector<RepositoryFile>> ChooseFiles(std::span<const RepositoryFile> files,
                                                std::string_view format,
                                                std::span<const std::string> patterns,
                                                const std::string& origin);

// Whether `path` ends in "-00001-of-00003.EXTENSION" with any numbers.
bool IsPartName(std::string_view path, std::string_view extension);

}  // namespace qwen25
