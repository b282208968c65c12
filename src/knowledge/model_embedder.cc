#include "knowledge/model_embedder.h"

namespace qwen25 {

ModelEmbedder::ModelEmbedder(InferenceEngine& engine, const Tokenizer& tokenizer,
                             const ModelEmbedderOptions& options)
    : engine_(engine),
      tokenizer_(tokenizer),
      options_(options),
      id_{"model", engine.model().config().hidden_size,
          fmt::format("{:016x} {} {}", WeightsFingerprint(engine.model()), EmbedPoolingName(options.pooling),
                      options.max_tokens)} {}

Status ModelEmbedder::Embed(EmbedKind, std::span<const std::string> texts, std::span<float> out) {
  std::vector<std::vector<int32_t>> sequences(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    tokenizer_.Encode(texts[i], sequences[i], EncodeOptions{.special = SpecialTokens::kAsText});
  }
  return EmbedTokens(engine_, options_.pooling, options_.max_tokens, sequences, out);
}

}  // namespace qwen25
