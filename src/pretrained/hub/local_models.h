// Models among the files of a folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace qwen25 {

// A model that can be opened.
struct LocalModel {
  std::string format;  // "Q4_K_M", or the type of the weights: "bfloat16"; "safetensors" if it is not known
  bool is_gguf = false;
  // That config.json names: "Qwen2ForCausalLM"; "SentenceTransformer" beside modules.json; empty: not known.
  std::string architecture;
  std::filesystem::path path;  // the folder, or the first .gguf file
  uint64_t bytes = 0;          // of its files
  int64_t modified = 0;        // of the newest, in seconds since 1970
};

// The complete models in a folder: the folder itself, if configuration and all weights are there, then GGUF
// files in it and in the folders below, of which all parts are there. Links count as what they lead to; one
// that leads nowhere is no file.
std::vector<LocalModel> ModelsInFolder(const std::filesystem::path& folder);

// The GGUF models whose files lie in `folder` itself.
std::vector<LocalModel> GgufFilesIn(const std::filesystem::path& folder);

// The one in `format`: "safetensors" or a type of weights means the folder; a GGUF format what FindGguf
// finds; none the folder, or else FindGguf's choice. Null: there is none.
const LocalModel* FindLocalModel(std::span<const LocalModel> models, std::string_view format);

// Whether the model may write text: false for those that are made for something else, such as encoders.
bool MayGenerate(const LocalModel& model);

// Seconds since 1970 of a file's last change, and its bytes; both 0 if it cannot be read.
struct FileFacts {
  uint64_t bytes = 0;
  int64_t modified = 0;
};
FileFacts FactsOf(const std::filesystem::path& path);

}  // namespace qwen25
