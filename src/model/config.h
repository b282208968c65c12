// The configuration of a model, as in config.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "model/rope_scaling.h"
#include "ops/attention/kv_format.h"
#include "ops/routing/head_gate.h"
#include "ops/routing/routing_policy.h"

namespace qwen25 {

// The max_position_embeddings that transformers uses if the config.json of a llama model states none.
inline constexpr uint32_t kLlamaPositions = 2048;
inline constexpr uint32_t kMistralPositions = 131072;  // the same of mistral and ministral models

// The architectures that this program runs, by their names in config.json and in GGUF files, for messages.
inline constexpr std::string_view kHandledModelTypes =
    "\"qwen2\" (Qwen2 and Qwen2.5), \"qwen3\", \"llama\", \"mistral\" and \"ministral\"";
inline constexpr std::string_view kHandledGgufArchitectures =
    "\"qwen2\" (Qwen2 and Qwen2.5), \"qwen3\" and \"llama\" (Llama and Mistral)";

// A decoder of the Qwen2, Qwen3, Llama or Mistral architecture. Field names are those of the official
// config.json. Settings of this program alone are under the key "qwen25", which other programs ignore.
struct ModelConfig {
  // "qwen2" (biases on q, k and v), "qwen3" (norms of query and key heads), "llama", "mistral" (a window in
  // all layers or in none) or "ministral" (in some).
  std::string model_type = "qwen2";
  uint32_t vocab_size = 0;                   // rows of the embedding, padding included
  uint32_t hidden_size = 0;                  // width of the residual stream
  uint32_t intermediate_size = 0;            // width of the feed-forward layer
  uint32_t num_hidden_layers = 0;            // 1..256
  uint32_t num_attention_heads = 0;          // query heads
  uint32_t num_key_value_heads = 0;          // divides num_attention_heads
  uint32_t head_dim = 0;                     // even; in a file, 0 means hidden_size / num_attention_heads
  uint32_t max_position_embeddings = 32768;  // see MaxContext
  float rms_norm_eps = 1e-6f;
  double rope_theta = 1e6;
  std::optional<RopeScaling> rope_scaling;
  bool tie_word_embeddings = true;     // the output projection is the embedding
  bool attention_bias = true;          // on q, k and v
  bool attention_output_bias = false;  // on o, too; only with attention_bias
  // Tokens that a token sees in the layers that slide, itself included; 0: no layer slides.
  uint32_t sliding_window = 0;
  std::vector<bool> sliding_layers;  // [num_hidden_layers], or empty if no layer slides
  double initializer_range = 0.02;   // standard deviation of initial matrices
  std::optional<int32_t> bos_token_id;
  std::vector<int32_t> eos_token_ids;  // generation stops at any of them
  RoutingPolicy routing;               // used in training; in files "qwen25": {"routing": ToString()}
  // Gates that choose query heads. In files "qwen25": {"head_routing": {"shared_groups", "top_k",
  // "balance_loss"}}; model_type then ends in "_head_routing", so that other programs refuse the file.
  std::optional<HeadRouting> head_routing = {};

  // Reads an official config.json. kUnsupported names an unknown architecture, activation or kind of rotary
  // scaling; errors of Validate.
  static Result<ModelConfig> FromJson(const Json& json, std::string_view origin);
  static Result<ModelConfig> Load(const std::filesystem::path& config_json);
  Json ToJson() const;
  // Checks all rules that the program relies on. kInvalidArgument and kUnsupported name `origin`, field,
  // value and rule.
  Status Validate(std::string_view origin) const;

  // The longest context, in tokens: the greater of max_position_embeddings and, with YaRN, the stretched
  // trained length. (In official files of 128k models, max_position_embeddings is one or the other.)
  size_t MaxContext() const;
  // The window of a layer in tokens; 0: it sees everything before.
  size_t WindowOf(size_t layer) const {
    return !sliding_layers.empty() && sliding_layers[layer] ? sliding_window : 0;
  }
  // Whether each query head and each key head is normalised before its rotation.
  bool has_head_norms() const { return model_type == "qwen3"; }
  size_t QueryDim() const { return size_t{num_attention_heads} * head_dim; }
  size_t KeyValueDim() const { return size_t{num_key_value_heads} * head_dim; }
  size_t QkvDim() const { return QueryDim() + 2 * KeyValueDim(); }
  // Parameters in total, and without embedding and output projection.
  uint64_t NumParameters() const;
  uint64_t NumNonEmbeddingParameters() const;
  // Floating-point operations of one token: 2 per weight of a matrix product, plus attention over `context`
  // tokens (scores and outputs). Training costs three times the forward pass (arXiv:2001.08361).
  double ForwardFlopsPerToken(double context) const;
  // Bytes of the keys and values of one token in all layers.
  uint64_t KvBytesPerToken(KvFormat format) const;

  bool operator==(const ModelConfig&) const = default;
};

// Source: arXiv:2309.00071, as transformers computes it.
struct RotaryFrequencies {
  std::vector<double> inverse_frequencies;  // [head_dim / 2] with rope_scaling applied
  double score_factor = 1.0;                // on attention scores: the attention factor squared
};
RotaryFrequencies ComputeRotaryFrequencies(const ModelConfig& config);

// A named configuration: "nano", "small", "flagship", "0.5b", ... (docs/design.md lists them).
struct Preset {
  std::string_view name;
  std::string_view description;
  ModelConfig config;
};
const std::vector<Preset>& Presets();
// kNotFound lists the known names.
Result<ModelConfig> FindPreset(std::string_view name);

}  // namespace qwen25
