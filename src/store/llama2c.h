// Checkpoints of llama2.c: the Llama decoder in a flat file of float32, made into a Hugging Face folder.
// Formats: legacy (7 int32: dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len; a negative
// vocab_size means an output projection of its own) and version 1 (magic "ak42", version, the same 7 numbers
// with a positive vocab_size, a byte that tells whether the output projection is shared, padded to 256
// bytes). Source: export.py and run.c of karpathy/llama2.c.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "base/status.h"

namespace qwen25 {

// Writes config.json and model.safetensors (float32) into `output`. Rows of q and k change from llama2.c's
// rotary order (pairs side by side) to Hugging Face's (first halves, then second halves). Errors name the
// file, what it holds and what is expected.
Status ConvertLlama2cWeights(const std::filesystem::path& checkpoint, const std::filesystem::path& output);

// Reorders the rows of a q or k projection [num_heads * head_dim, width]: row 2 i of a head goes to i, row 2
// i + 1 to head_dim / 2 + i.
std::vector<float> InterleavedToHalfSplit(std::span<const float> weight, size_t num_heads, size_t head_dim,
                                          size_t width);

}  // namespace qwen25
