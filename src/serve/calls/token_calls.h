// The endpoints about tokens and prompts, which need no forward pass.
#pragma once

#include <memory>

#include "serve/calls/server_call.h"
#include "serve/models/model_registry.h"

namespace qwen25 {

// POST /tokenize, POST /detokenize, GET /tokenizer_info and POST /apply-template. As AnswerChat.
void AnswerTokenize(std::shared_ptr<ServerCall> call, ModelRegistry& models);
void AnswerDetokenize(std::shared_ptr<ServerCall> call, ModelRegistry& models);
void AnswerTokenizerInfo(std::shared_ptr<ServerCall> call, ModelRegistry& models);
void AnswerApplyTemplate(std::shared_ptr<ServerCall> call, ModelRegistry& models);

// GET /v1/models, and GET /v1/models/NAME.
void AnswerModels(std::shared_ptr<ServerCall> call, ModelRegistry& models);
void AnswerModel(std::shared_ptr<ServerCall> call, ModelRegistry& models);

}  // namespace qwen25
