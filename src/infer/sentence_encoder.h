// Vectors of texts from a sentence encoder of the BERT family.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "kernels/scratch.h"
#include "model/encoder.h"
#include "pretrained/sentence_settings.h"
#include "tensor/tensor.h"
#include "text/wordpiece.h"

namespace qwen25 {

// A model that vectors are asked of.
struct EmbeddingModel {
  std::filesystem::path path;                // a folder, or a .gguf file
  std::optional<SentenceSettings> settings;  // if its files state how it makes vectors
  bool is_encoder = false;                   // for SentenceEncoder; else a language model, in settings->model
};
// What `name` means (ResolveModel). Errors of that and of ReadSentenceSettings; whether the weights can be
// loaded shows later.
Result<EmbeddingModel> FindEmbeddingModel(const std::string& name);

struct SentenceEncoderSource {
  std::filesystem::path path;          // a folder, or a .gguf file
  std::optional<WeightFormat> format;  // none: as stored
  uint32_t max_tokens = 0;             // of a window, special tokens included; 0: what the model states
  uint32_t num_threads = 0;            // 0: all cores that this process may use
};

// A loaded encoder with its tokenizer and settings. Used by one thread at a time.
class SentenceEncoder {
 public:
  // Errors name the file and say what to do.
  static Result<std::unique_ptr<SentenceEncoder>> Load(const SentenceEncoderSource& source);

  const SentenceSettings& settings() const { return settings_; }
  // Remarks about loading for the user, one sentence each.
  const std::vector<std::string>& remarks() const { return remarks_; }
  const EncoderConfig& config() const { return model_.config(); }
  size_t dimension() const { return dimension_; }
  // Changes with everything that changes the vectors, prompts aside.
  std::string Fingerprint() const;

  // Fills `out` [texts.size(), dimension] with one unit vector per text, with `prompt` before each. A text
  // without tokens gives that of the prompt and the special tokens alone; without a prompt, zeros. A text
  // that is longer than the model reads is read in windows of nearly equal size, whose vectors are averaged
  // with weights proportional to their tokens (sentence-transformers ignores everything after the first).
  // Several texts share a forward pass without padding; a vector does not depend on which ones. kCorrupt if
  // a number of the model is not finite.
  Status Embed(const std::string& prompt, std::span<const std::string> texts, std::span<float> out);

 private:
  struct Window {
    size_t text;
    std::vector<int32_t> ids;  // with prompt and special tokens
    size_t num_own;            // tokens of the text
  };
  SentenceEncoder(EncoderModel model, WordPieceTokenizer tokenizer, SentenceSettings settings,
                  std::shared_ptr<ThreadPool> threads);
  std::vector<Window> WindowsOf(const std::string& prompt, std::span<const std::string> texts) const;
  Status AddWindows(std::span<const Window> windows, std::span<float> out);

  EncoderModel model_;
  WordPieceTokenizer tokenizer_;
  SentenceSettings settings_;
  std::vector<std::string> remarks_;
  size_t dimension_ = 0, max_tokens_ = 0;
  std::shared_ptr<ThreadPool> threads_;
  TensorPool tensors_;
  Scratch scratch_;
  Execution execution_;
};

}  // namespace qwen25
