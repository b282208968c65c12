#include "serve/calls/infill_prompt.h"

#include <array>
#include <optional>

namespace qwen25 {

Result<std::vector<int32_t>> InfillPrompt(const Tokenizer& tokenizer, std::string_view prefix,
                                          std::string_view suffix) {
  // Names of the tokens before the prefix, the suffix and the middle, by family of models.
  static constexpr std::array<std::string_view, 3> kFamilies[] = {
      {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},  // Qwen2.5, CodeGemma
      {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},        // StarCoder, SmolLM
      {"<fim-prefix>", "<fim-suffix>", "<fim-middle>"},        // SantaCoder
      {"\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>"},           // CodeLlama
  };
  for (const auto& [before_prefix, before_suffix, before_middle] : kFamilies) {
    const std::optional<int32_t> first = tokenizer.TokenId(before_prefix),
                                 second = tokenizer.TokenId(before_suffix),
                                 third = tokenizer.TokenId(before_middle);
    if (!first || !second || !third) continue;
    std::vector<int32_t> tokens = {*first};
    tokenizer.Encode(prefix, tokens, SpecialTokens::kAsText);
    tokens.push_back(*second);
    tokenizer.Encode(suffix, tokens, SpecialTokens::kAsText);
    tokens.push_back(*third);
    return tokens;
  }
  return Unsupported(
      "this model was not made to fill in texts: its vocabulary has no token such as <|fim_middle|>");
}

}  // namespace qwen25
