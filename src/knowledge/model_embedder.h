// Embeddings from the language model itself.
#pragma once

#include "infer/embed_texts.h"
#include "infer/session.h"
#include "knowledge/embedder.h"
#include "text/tokenizer.h"

namespace qwen25 {

struct ModelEmbedderOptions {
  EmbedPooling pooling = EmbedPooling::kBidirectionalMean;
  size_t max_tokens = 512;                   // of one window; longer texts are averaged over windows
  std::string query_prompt, passage_prompt;  // put before texts
  // The model's files say how it embeds (Qwen3-Embedding): texts get the tokens around them that the
  // tokenizer's template states, and its vectors count as much as words.
  bool trained_to_embed = false;
};

// The engine and tokenizer must outlive it; between calls others may use the engine.
class ModelEmbedder : public Embedder {
 public:
  ModelEmbedder(InferenceEngine& engine, const Tokenizer& tokenizer, const ModelEmbedderOptions& options);

  const EmbedderId& id() const override { return id_; }
  // A language model that was not trained to embed ranks almost at random, and few trained ones rank as well
  // as words. With the weight of words they would drown those (docs/benchmarks.md).
  double fusion_weight() const override { return options_.trained_to_embed ? 0.5 : 0.1; }
  Status Embed(EmbedKind kind, std::span<const std::string> texts, std::span<float> out) override;

 private:
  InferenceEngine& engine_;
  const Tokenizer& tokenizer_;
  const ModelEmbedderOptions options_;
  EmbedderId id_;
};

}  // namespace qwen25
