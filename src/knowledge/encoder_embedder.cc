#include "knowledge/encoder_embedder.h"

#include "base/hash.h"

namespace qwen25 {

std::string PromptsFingerprint(std::string_view query_prompt, std::string_view passage_prompt) {
  if (query_prompt.empty() && passage_prompt.empty()) return "";
  const std::string text = fmt::format("{} {}{}", query_prompt.size(), query_prompt, passage_prompt);
  return fmt::format(" {:016x}", Hash64(std::as_bytes(std::span(text))));
}

EncoderEmbedder::EncoderEmbedder(std::unique_ptr<SentenceEncoder> encoder, const EmbedPrompts& prompts)
    : encoder_(std::move(encoder)),
      query_prompt_(prompts.query.value_or(encoder_->settings().query_prompt)),
      passage_prompt_(prompts.passage.value_or(encoder_->settings().passage_prompt)),
      id_{"model", static_cast<uint32_t>(encoder_->dimension()),
          encoder_->Fingerprint() + PromptsFingerprint(query_prompt_, passage_prompt_)} {}

Status EncoderEmbedder::Embed(EmbedKind kind, std::span<const std::string> texts, std::span<float> out) {
  return encoder_->Embed(kind == EmbedKind::kQuery ? query_prompt_ : passage_prompt_, texts, out);
}

}  // namespace qwen25
