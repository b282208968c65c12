#include "serve/calls/use_model.h"

#include <utility>

namespace qwen25 {

void UseModel(const std::shared_ptr<ServerCall>& call, ModelRegistry& models, const std::string& name,
              std::function<void(std::shared_ptr<ServedModel>)> use) {
  models.With(name, [call, name, use = std::move(use)](Result<std::shared_ptr<ServedModel>> model) {
    if (model.ok()) {
      call->SetModel((*model)->name());
      return use(std::move(*model));
    }
    if (model.status().code() == StatusCode::kNotFound) return call->Refuse(UnknownModel(name));
    call->Refuse(model.status());
  });
}

}  // namespace qwen25
