// What the verbs that use a model share: its folder or file, the sampling flags, a text from a flag, a file
// or a pipe.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>

#include "infer/generate.h"
#include "infer/generation_config.h"
#include "infer/session.h"
#include "text/tokenizer.h"

namespace qwen25 {

struct ModelFlags {
  std::string directory;  // or a .gguf file
  uint32_t num_threads = 0;
  uint32_t max_context = 0;
  std::string weights = "stored";  // or a WeightFormatName
  bool cache_weights = false;      // write the packed weights beside the model
  std::optional<KvFormat> kv;      // none: float16 unless the weights are float32
  std::string routing = "auto";    // or RoutingPolicy::Parse; auto: the model's own
  bool keep_summaries = false;     // no flag: InferenceEngine::Options
  uint32_t recall_window = 0;      // the same, with flags
  uint32_t history_gib = 16;
  uint32_t working_mib = 256;
  std::string spill_directory;
};
void AddModelFlags(CLI::App& verb, ModelFlags& flags, bool required = true);

// A model folder or file, ready.
struct LoadedModel {
  std::unique_ptr<InferenceEngine> engine;
  Tokenizer tokenizer;
  std::optional<std::string> default_system;  // of its chat template; none: the model has no template
  SamplingOptions sampling = GenerationConfig().sampling;  // generation_config.json, else greedy
  std::vector<int32_t> stop_tokens;  // end-of-text tokens of config, generation config and tokenizer
};
// Errors name the file and what to do. The tokenizer must not have more entries than the model has rows.
// `threads`: those of another engine, for a draft model; null: its own.
Result<LoadedModel> LoadModel(const ModelFlags& flags, std::shared_ptr<ThreadPool> threads = nullptr);

// The same without a tokenizer.
Result<std::unique_ptr<InferenceEngine>> LoadEngine(const ModelFlags& flags,
                                                    std::shared_ptr<ThreadPool> threads = nullptr);

// The policy that a flag names; none for "auto".
Result<std::optional<RoutingPolicy>> ParseRoutingFlag(const std::string& text);
void AddRoutingFlag(CLI::App& verb, std::string& routing);

// --kv: a format, `format` itself where none is given; or one, or the default `otherwise`, which stands for
// none.
void AddKvFlag(CLI::App& verb, KvFormat& format);
void AddKvFlag(CLI::App& verb, std::optional<KvFormat>& format, const std::string& otherwise,
               const std::string& help);

// The first token that two tokenizers do not share. Embeddings may have more rows than tokens, in different
// numbers.
std::optional<int32_t> FirstDifferentToken(const Tokenizer& a, const Tokenizer& b);

// Sampling flags; those that were not given keep what the model's generation_config.json says.
struct SamplingFlags {
  std::optional<float> temperature, top_p, min_p, repetition_penalty;
  std::optional<uint32_t> top_k;
  std::optional<uint64_t> seed;

  SamplingOptions Over(const SamplingOptions& defaults) const;
};
void AddSamplingFlags(CLI::App& verb, SamplingFlags& flags);

// The text itself, the content of the file, or standard input for a file called "-". kInvalidArgument when
// neither or both are given.
Result<std::string> ReadTextFlag(const std::optional<std::string>& text, const std::string& file,
                                 const char* what);

}  // namespace qwen25
