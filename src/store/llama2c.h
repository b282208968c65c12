// Converts checkpoints of llama2.c, which are flat float32 files of a Llama decoder, to Hugging Face folders.
// Two formats. Legacy: a header of 7 int32 (dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size,
// seq_len); a negative vocab_size means that the output projection is not shared with the embedding. Version
// 1: a header of 256 bytes (magic "ak42", version, the same 7 numbers with a positive vocab_size, one byte
// that says whether the output projection is shared, zeros). Source: export.py and run.c of
// karpathy/llama2.c.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "base/status.h"

namespace qwen25 {

// Writes config.json and model.safetensors (float32) into `output`. Rows of q and k are reordered from
// llama2.c's rotary order (the two rows of a pair adjacent) to Hugging Face's (all first rows, then all
// second rows). kCorrupt, kUnsupported (another version), or an error of reading or writing.
Status ConvertLlama2cWeights(const std::filesystem::path& checkpoint, const std::filesystem::path& output);

// Reorders the rows of a q or k projection [num_heads * head_dim, width], `head_dim` even: in each head, row
// 2 i moves to row i, and row 2 i + 1 to row head_dim / 2 + i.
std::vector<float> InterleavedToHalfSplit(std::span<const float> weight, size_t num_heads, size_t head_dim,
                                          size_t width);

}  // namespace qwen25
