// Vectors for texts from a decoder's final hidden states.
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
  kBidirectionalMean,  // every token sees every other; mean of the final hidden states
  kCausalMean,         // as the model was trained to read; mean
  kCausalLast,         // the last token's state, which has seen everything
};
std::string_view EmbedPoolingName(EmbedPooling pooling);
// "bidirectional-mean", "causal-mean", "causal-last"; kInvalidArgument lists them.
Result<EmbedPooling> ParseEmbedPooling(std::string_view name);

// Fills out [sequences, hidden] with one vector of length one per token sequence; an empty sequence gives
// zeros. Sequences of any length: a longer one than `max_tokens` is read in equal windows, whose vectors are
// averaged by their tokens. Several sequences share a forward pass, ragged, never padded; a vector does not
// depend on which. Ids outside the vocabulary are kInvalidArgument; numbers of the model that are not finite
// are kCorrupt.
Status EmbedTokens(InferenceEngine& engine, EmbedPooling pooling, size_t max_tokens,
                   std::span<const std::vector<int32_t>> sequences, std::span<float> out);

// A hash of everything in `model` that decides its hidden states: the settings of its configuration, weights
// and their formats.
uint64_t WeightsFingerprint(const Model& model);

}  // namespace qwen25
