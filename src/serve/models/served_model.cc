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
  served->model_.engine->SetStore(options.store);
  served->grammars_ = std::make_unique<GrammarCache>(served->model_.tokenizer);
  served->scheduler_ =
      std::make_unique<Scheduler>(*served->model_.engine, served->model_.tokenizer, options.scheduler);
  served->scheduler_->Start();
  return served;
}

}  // namespace qwen25
