// Embedders by the names that users give them.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "infer/load_model.h"
#include "knowledge/embedder.h"

namespace qwen25 {

struct EmbedderChoice {
  std::string embedder;  // "" (hashed), "hashed", "none", "model:MODEL" (ResolveModel), "command:PROGRAM"
  // For a model only:
  std::string pooling = "bidirectional-mean";
  std::string weights = "stored";  // or a WeightFormatName
  uint32_t window = 512;
};

// An embedder with the model that it runs on, if any. `embedder` is null for "none".
struct LoadedEmbedder {
  std::unique_ptr<LoadedModel> model;
  std::unique_ptr<Embedder> embedder;

  // What a user should know about the model, one sentence each.
  std::span<const std::string> remarks() const {
    return model ? std::span<const std::string>(model->remarks) : std::span<const std::string>();
  }
};
// kInvalidArgument for an unknown name; errors of LoadModel and CommandEmbedder::Start.
Result<LoadedEmbedder> LoadEmbedder(const EmbedderChoice& choice);

// The choice as text, from which a later run loads the same embedder: "hashed", or "causal-mean 512 stored
// model:/absolute/path" or "... model:ORGANISATION/NAME". Empty for a program: none is started just because a
// file names it.
std::string EmbedderSetting(const EmbedderChoice& choice);
// Reads the text back. False if EmbedderSetting did not write it.
bool EmbedderFromSetting(const std::string& setting, EmbedderChoice& choice);

}  // namespace qwen25
