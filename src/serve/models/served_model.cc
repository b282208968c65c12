#include "serve/models/served_model.h"

#include <utility>

namespace qwen25 {

Result<std::unique_ptr<ServedModel>> ServedModel::Load(const std::string& name, const ModelSource& source,
                                                       const ServedModelOptions& options) {
  ModelSource wanted = source;
  wanted.num_sessions = options.scheduler.num_streams;
  wanted.kv_bytes = options.kv_bytes;
  QWEN25_TRY(LoadedModel model, LoadModel(wanted));
  auto served = std::unique_ptr<ServedModel>(new ServedModel(name, std::move(model)));
  if (!options.memory.off) {
    Result<std::unique_ptr<BlockStore>> store = OpenBlockStore(options.memory);
    if (store.ok()) {
      served->store_ = std::move(*store);
      served->model_.engine->SetStore(served->store_.get());
    } else {
      served->model_.remarks.push_back(
          fmt::format("going on without memory of keys and values: {}", store.status().message()));
    }
  }
  served->grammars_ = std::make_unique<GrammarCache>(served->model_.tokenizer);
  served->scheduler_ =
      std::make_unique<Scheduler>(*served->model_.engine, served->model_.tokenizer, options.scheduler);
  served->scheduler_->Start();
  return served;
}

}  // namespace qwen25
