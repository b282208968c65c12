// The configuration of a sentence encoder of the BERT architecture.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"
#include "ops/encoder_ops.h"
#include "store/gguf.h"

namespace qwen25 {

// Post-norm layers with learned positions (arXiv:1810.04805). Field names are those of the official
// config.json.
struct EncoderConfig {
  uint32_t vocab_size = 0;                 // rows of the embedding, padding included
  uint32_t hidden_size = 0;                // width
  uint32_t intermediate_size = 0;          // width of the feed-forward layer
  uint32_t num_hidden_layers = 0;          // 1..256
  uint32_t num_attention_heads = 0;        // divides hidden_size into heads of an even size
  uint32_t max_position_embeddings = 512;  // the longest text, in tokens
  uint32_t type_vocab_size = 2;            // kinds of segments; a text alone is of kind 0
  float layer_norm_eps = 1e-12f;
  Gelu activation = Gelu::kErf;

  // Reads an official config.json. kUnsupported names an unknown architecture, activation or kind of
  // positions; errors of Validate.
  static Result<EncoderConfig> FromJson(const Json& json, std::string_view origin);
  // Reads a GGUF file's metadata (architecture "bert"). The vocabulary's size follows from the tensors.
  static Result<EncoderConfig> FromGguf(const GgufFiles& files, const std::string& origin);
  // Checks all rules that the program relies on. kInvalidArgument names `origin`, field, value and rule.
  Status Validate(std::string_view origin) const;

  size_t HeadDim() const { return hidden_size / num_attention_heads; }
  // Floating-point operations of one token among `context` others: 2 per weight of a matrix product, plus
  // attention.
  double FlopsPerToken(double context) const;
  // All fields in one line, for fingerprints.
  std::string ToString() const;

  friend bool operator==(const EncoderConfig&, const EncoderConfig&) = default;
};

// Whether `path`, a folder or a .gguf file, holds an encoder, one that this program runs or another of the
// family (XLM-RoBERTa, MPNet, ...), which EncoderConfig refuses by name. False if that cannot be read: the
// loader of decoders then says what is wrong.
bool IsEncoder(const std::filesystem::path& path);

}  // namespace qwen25
