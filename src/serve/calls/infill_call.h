// POST /infill.
#pragma once

#include <memory>

#include "serve/calls/server_call.h"
#include "serve/models/model_registry.h"

namespace qwen25 {

// As AnswerChat.
void AnswerInfill(std::shared_ptr<ServerCall> call, ModelRegistry& models);

}  // namespace qwen25
