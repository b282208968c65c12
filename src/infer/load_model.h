// Loads a model folder or file for generation.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "infer/engine.h"
#include "pretrained/adapter/read_adapter.h"
#include "pretrained/companions.h"

namespace qwen25 {

// Which model is loaded, and how it runs.
struct ModelSource {
  std::filesystem::path path;                // a folder, a .gguf file, or a name (ResolveModel)
  std::filesystem::path chat_template = {};  // a file that takes the place of the model's own; empty: none
  std::optional<WeightFormat> format;        // none: as stored
  // The default of sessions, together: applied apart from the weights, or merged into them.
  std::vector<AdapterSource> adapters = {};
  bool merge_adapters = false;  // not with cache_weights
  bool cache_weights = false;  // map the packed weights kept beside the model, or write them (packed_cache.h)
  uint32_t num_threads = 0;    // 0: all cores that this process may use
  std::optional<KvFormat> kv;  // none: float32 if the weights are float32, otherwise float16
  // As in InferenceEngine::Options.
  uint32_t max_context_tokens = 0;
  // So many sessions are used at a time, and may hold so many bytes of keys and values together. 0 bytes:
  // half of the memory that is available once the weights are loaded. One session may always hold a whole
  // context.
  size_t num_sessions = 1;
  uint64_t kv_bytes = 0;
  std::optional<RoutingPolicy>
      routing;  // none: as calibrated (pretrained/calibrated_routing.h), or the model's own
  bool keep_summaries = false;
  uint32_t recall_window = 0;
  uint64_t history_bytes = uint64_t{16} << 30;
  size_t working_bytes = size_t{256} << 20;
  std::string spill_directory;
};

// A model with the files beside its weights; companions.h describes the fields.
struct LoadedModel {
  std::unique_ptr<InferenceEngine> engine;
  Tokenizer tokenizer;
  std::optional<ChatTemplate> chat_template = {};
  SamplingOptions sampling;
  std::vector<int32_t> stop_tokens;
  std::vector<std::string> remarks;  // for the user, one sentence each
};
// Errors name the file and say what to do. `threads`: those of another engine; null: threads of its own.
Result<LoadedModel> LoadModel(const ModelSource& source, std::shared_ptr<ThreadPool> threads = nullptr);

// Loads the engine alone, without a tokenizer. Adds to `remarks`.
Result<std::unique_ptr<InferenceEngine>> LoadEngine(const ModelSource& source,
                                                    std::vector<std::string>& remarks,
                                                    std::shared_ptr<ThreadPool> threads = nullptr);

}  // namespace qwen25
