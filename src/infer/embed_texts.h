// Embedding vectors of texts, from a decoder's final hidden states.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "infer/engine.h"

namespace qwen25 {

// How a sequence of tokens becomes one vector.
enum class EmbedPooling {
  kBidirectionalMean,  // mean of the final hidden states; every token attends to every other
  kCausalMean,         // mean of the final hidden states, with causal attention
  kCausalLast,         // the last token's final hidden state, with causal attention
};
std::string_view EmbedPoolingName(EmbedPooling pooling);
// Accepts "bidirectional-mean", "causal-mean" and "causal-last"; kInvalidArgument lists them.
Result<EmbedPooling> ParseEmbedPooling(std::string_view name);

// Fills `out` [sequences, hidden] with one unit vector per token sequence; an empty sequence gives zeros. A
// sequence of more than `max_tokens` (at least 1) tokens, or of more than the model has positions, is read in
// windows of nearly equal size, whose vectors are averaged with weights proportional to their tokens. Several
// sequences share a forward pass without padding; a vector does not depend on which ones. kInvalidArgument if
// an id is outside the vocabulary, kCorrupt if a number of the model is not finite.
Status EmbedTokens(InferenceEngine& engine, EmbedPooling pooling, size_t max_tokens,
                   std::span<const std::vector<int32_t>> sequences, std::span<float> out);

// A hash of everything that affects the hidden states: the model's settings, weights and weight formats, and
// the adapters, which may be null.
uint64_t WeightsFingerprint(const Model& model, const AdapterSet* adapters = nullptr);

}  // namespace qwen25
