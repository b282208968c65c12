// The endpoints that answer chats.
#pragma once

#include <memory>

#include "serve/calls/server_call.h"
#include "serve/models/model_registry.h"

namespace qwen25 {

// POST /v1/chat/completions, POST /v1/messages and POST /v1/responses. Read the request, have it answered,
// and give the answer as a whole or as events. Return at once; the answer is given on threads of the registry
// and of the model's scheduler.
void AnswerChat(std::shared_ptr<ServerCall> call, ModelRegistry& models);
void AnswerMessage(std::shared_ptr<ServerCall> call, ModelRegistry& models);
void AnswerResponse(std::shared_ptr<ServerCall> call, ModelRegistry& models);

// POST /v1/messages/count_tokens, which needs no forward pass. As AnswerChat.
void AnswerCountTokens(std::shared_ptr<ServerCall> call, ModelRegistry& models);

}  // namespace qwen25
