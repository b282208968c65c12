// POST /v1/chat/completions.
#pragma once

#include <memory>

#include "serve/calls/server_call.h"
#include "serve/models/model_registry.h"

namespace qwen25 {

// Reads the request, has it answered, and gives the answer as a whole or as events. Returns at once; the
// answer is given on threads of the registry and of the model's scheduler.
void AnswerChat(std::shared_ptr<ServerCall> call, ModelRegistry& models);

}  // namespace qwen25
