// Embeddings from a sentence encoder of the BERT family.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "infer/sentence_encoder.h"
#include "knowledge/embedder.h"

namespace qwen25 {

// What is put before a text, where it is not what the model states.
struct EmbedPrompts {
  std::optional<std::string> query, passage;
};

class EncoderEmbedder : public Embedder {
 public:
  EncoderEmbedder(std::unique_ptr<SentenceEncoder> encoder, const EmbedPrompts& prompts);

  const EmbedderId& id() const override { return id_; }
  Status Embed(EmbedKind kind, std::span<const std::string> texts, std::span<float> out) override;

 private:
  const std::unique_ptr<SentenceEncoder> encoder_;
  const std::string query_prompt_, passage_prompt_;
  EmbedderId id_;
};

// What a fingerprint says of prompts: nothing if there are none.
std::string PromptsFingerprint(std::string_view query_prompt, std::string_view passage_prompt);

}  // namespace qwen25
