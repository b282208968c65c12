#include "pretrained/tokenizer_fit.h"

#include <algorithm>

namespace qwen25 {

Status CheckTokenizerFits(const Tokenizer& tokenizer, const ModelConfig& config, std::string_view origin) {
  const size_t ordinary = tokenizer.spec().tokens.size();
  if (ordinary <= config.vocab_size) return {};
  return InvalidArgument(
      "{}: the tokenizer has {} entries, but the model has only {} embedding rows; they do not belong "
      "together: use the tokenizer published with the model",
      origin, ordinary, config.vocab_size);
}

Status CheckTokensFit(std::span<const int32_t> tokens, const Tokenizer& tokenizer,
                      const ModelConfig& config) {
  const auto found = std::ranges::find_if(
      tokens, [&](int32_t token) { return token < 0 || static_cast<uint32_t>(token) >= config.vocab_size; });
  if (found == tokens.end()) return {};
  return InvalidArgument(
      "the text holds the token {} (\"{}\"), but the model has only {} embedding rows: it was not trained "
      "with it",
      *found, tokenizer.TokenBytes(*found), config.vocab_size);
}

std::optional<int32_t> FirstDifferentToken(const Tokenizer& a, const Tokenizer& b) {
  const auto count = static_cast<int32_t>(std::max(a.vocab_size(), b.vocab_size()));
  for (int32_t id = 0; id < count; ++id) {
    if (a.TokenBytes(id) != b.TokenBytes(id) || a.IsSpecial(id) != b.IsSpecial(id)) return id;
  }
  return std::nullopt;
}

}  // namespace qwen25
