// Embedders by the names that users give them.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "infer/load_model.h"
#include "knowledge/embedder.h"
#include "knowledge/encoder_embedder.h"

namespace qwen25 {

struct EmbedderChoice {
  std::string embedder;  // "" (hashed), "hashed", "none", "model:MODEL" (ResolveModel), "command:PROGRAM"
  // For a model only:
  std::string pooling =
      "auto";  // what the model states, otherwise bidirectional-mean; or an EmbedPoolingName
  std::string weights = "stored";  // or a WeightFormatName
  uint32_t window = 512;
  EmbedPrompts prompts = {};  // where they are not those of the model
};

// An embedder with the language model that it runs on, if any. `embedder` is null for "none".
struct LoadedEmbedder {
  std::unique_ptr<LoadedModel> model;  // a language model, which may serve others, too
  std::unique_ptr<Embedder> embedder;
  std::vector<std::string> notes;  // of remarks()

  // What a user should know about the model, one sentence each.
  std::span<const std::string> remarks() const { return notes; }
};
// A model is a sentence encoder or a language model, whichever the folder or file holds. kInvalidArgument for
// an unknown name; errors of SentenceEncoder::Load, LoadModel and CommandEmbedder::Start.
Result<LoadedEmbedder> LoadEmbedder(const EmbedderChoice& choice);

// The choice as text, from which a later run loads the same embedder: "hashed", "causal-mean 512 stored
// model:/absolute/path" or "... model:ORGANISATION/NAME", or, with prompts, a JSON object. Empty for a
// program: none is started just because a file names it.
std::string EmbedderSetting(const EmbedderChoice& choice);
// Reads the text back. False if EmbedderSetting did not write it.
bool EmbedderFromSetting(const std::string& setting, EmbedderChoice& choice);

}  // namespace qwen25
