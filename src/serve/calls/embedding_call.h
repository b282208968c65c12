// The endpoints that compare texts.
#pragma once

#include <memory>

#include "serve/calls/server_call.h"
#include "serve/models/model_registry.h"

namespace qwen25 {

// POST /v1/embeddings, with the vectors of EmbedInputs. As AnswerChat.
void AnswerEmbedding(std::shared_ptr<ServerCall> call, ModelRegistry& models);
// POST /v1/rerank: documents by the cosine of their vector and the query's.
void AnswerRerank(std::shared_ptr<ServerCall> call, ModelRegistry& models);

}  // namespace qwen25
