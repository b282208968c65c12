// Which model a verb uses, and how it runs, as flags.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <span>
#include <string>

#include "cli/flags/adapter_flags.h"
#include "infer/load_model.h"

namespace qwen25 {

struct ModelFlags {
  std::string directory;      // or a .gguf file, or a name (ResolveModel)
  std::string chat_template;  // no flag: ModelSource::chat_template
  uint32_t num_threads = 0;
  uint32_t max_context = 0;
  std::string weights = "stored";  // or a WeightFormatName
  AdapterFlags adapters;
  bool cache_weights = false;    // write the packed weights beside the model
  std::optional<KvFormat> kv;    // none: float16 unless the weights are float32
  std::string routing = "auto";  // or RoutingPolicy::Parse; auto: the model's own
  bool keep_summaries = false;   // no flag: InferenceEngine::Options
  uint32_t recall_window = 0;    // the same, with flags
  uint32_t history_gib = 16;
  uint32_t working_mib = 256;
  std::string spill_directory;

  // The same, parsed.
  Result<ModelSource> Source() const;
};
void AddModelFlags(CLI::App& verb, ModelFlags& flags, bool required = true);

// Loads the model that the flags name, and prints what a user should know to standard error.
Result<LoadedModel> LoadModel(const ModelFlags& flags);
// Each as a line "note: ..." on standard error.
void PrintNotes(std::span<const std::string> remarks);

// The policy that a flag names; none for "auto".
Result<std::optional<RoutingPolicy>> ParseRoutingFlag(const std::string& text);
void AddRoutingFlag(CLI::App& verb, std::string& routing);

// --kv: a format, `format` itself where none is given; or one, or the default `otherwise`, which stands for
// none.
void AddKvFlag(CLI::App& verb, KvFormat& format);
void AddKvFlag(CLI::App& verb, std::optional<KvFormat>& format, const std::string& otherwise,
               const std::string& help);

}  // namespace qwen25
