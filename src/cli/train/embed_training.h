// Training of embeddings: pairs out of text, and a model that learns to bring the texts of a pair together.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace qwen25 {

// Writes one {"query": ..., "passage": ...} per line, made of the files and folders `inputs` (text, or
// documents as JSON lines) by the inverse cloze task (knowledge/pair_maker.h).
Status WritePairs(const std::vector<std::string>& inputs, const std::string& output, uint64_t seed);

struct EmbedTrainingFlags {
  std::string pairs;             // a file as WritePairs makes it
  std::string validation_pairs;  // another one; empty: one in twenty of `pairs` is held out
  std::string model;             // folder with the weights to start from
  std::string output;
  std::string pooling = "bidirectional-mean";  // or causal-mean
  uint64_t max_steps = 0;
  double max_minutes = 0;
  std::vector<std::string> settings;  // "key=value" of a recipe, on top
  bool resume = false;
  uint32_t num_threads = 0;
};
Status TrainEmbeddings(const EmbedTrainingFlags& flags);

}  // namespace qwen25
