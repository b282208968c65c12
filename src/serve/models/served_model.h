// A model that serves requests.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "infer/load_model.h"
#include "infer/scheduler/scheduler.h"
#include "memory/block_store.h"
#include "serve/models/grammar_cache.h"

namespace qwen25 {

struct ServedModelOptions {
  Scheduler::Options scheduler;
  // Bytes of keys and values of all streams together; 0: half of the memory that is free once the weights are
  // loaded. Never more than all streams can use, nor less than one needs.
  uint64_t kv_bytes = 0;
  BlockStore* store = nullptr;  // whose stored keys and values prompts may begin with; null: none
};

// A loaded model with its scheduler, which runs.
class ServedModel {
 public:
  // The options' store must outlive it. Errors of LoadModel.
  static Result<std::unique_ptr<ServedModel>> Load(const std::string& name, const ModelSource& source,
                                                   const ServedModelOptions& options);

  const std::string& name() const { return name_; }
  const LoadedModel& model() const { return model_; }
  Scheduler& scheduler() const { return *scheduler_; }
  GrammarCache& grammars() const { return *grammars_; }
  size_t max_context_tokens() const { return model_.engine->max_context_tokens(); }

 private:
  ServedModel(std::string name, LoadedModel model) : name_(std::move(name)), model_(std::move(model)) {}

  std::string name_;
  LoadedModel model_;
  std::unique_ptr<GrammarCache> grammars_;
  std::unique_ptr<Scheduler> scheduler_;  // goes first
};

}  // namespace qwen25
