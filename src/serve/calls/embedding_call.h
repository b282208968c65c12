// POST /v1/embeddings.
#pragma once

#include <memory>

#include "serve/calls/server_call.h"
#include "serve/models/model_registry.h"

namespace qwen25 {

// As AnswerChat. The vector of a text is the mean of the model's final hidden states, read as it was trained,
// of length one. Answers of the same model go on between texts.
void AnswerEmbedding(std::shared_ptr<ServerCall> call, ModelRegistry& models);

}  // namespace qwen25
