// The model that a request names.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "serve/calls/server_call.h"
#include "serve/models/model_registry.h"

namespace qwen25 {

// Calls `use` with the model, once it is loaded; refuses the call if there is none of that name, or if it
// cannot be loaded. "" and "default" name the server's first model, unless one is called so.
void UseModel(const std::shared_ptr<ServerCall>& call, ModelRegistry& models, const std::string& name,
              std::function<void(std::shared_ptr<ServedModel>)> use);

}  // namespace qwen25
