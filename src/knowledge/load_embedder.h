// Embedders by what a user calls them.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "infer/load_model.h"
#include "knowledge/embedder.h"

namespace qwen25 {

struct EmbedderChoice {
  std::string embedder;  // "" (hashed), "hashed", "none", "model:FOLDER", "command:PROGRAM"
  // Of a model:
  std::string pooling = "bidirectional-mean";
  std::string weights = "stored";  // or a WeightFormatName
  uint32_t window = 512;
};

// An embedder with what it needs to live. `embedder` is null for "none".
struct LoadedEmbedder {
  std::unique_ptr<LoadedModel> model;
  std::unique_ptr<Embedder> embedder;

  // What a user should know of the model, a sentence each.
  std::span<const std::string> remarks() const {
    return model ? std::span<const std::string>(model->remarks) : std::span<const std::string>();
  }
};
Result<LoadedEmbedder> LoadEmbedder(const EmbedderChoice& choice);

// "hashed", or "causal-mean 512 stored model:/absolute/path": enough for a later run to load the same. Empty
// for programs, which are never started because a file says so.
std::string EmbedderSetting(const EmbedderChoice& choice);
// The choice again. False: EmbedderSetting did not give it.
bool EmbedderFromSetting(const std::string& setting, EmbedderChoice& choice);

}  // namespace qwen25
