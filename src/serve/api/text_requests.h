// The requests of the smaller endpoints: POST /v1/embeddings, /tokenize and /detokenize.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "serve/api/prompt_input.h"

namespace qwen25 {

struct EmbeddingRequest {
  std::string model;                  // "": the server's own
  std::vector<PromptInput> inputs;    // 1 to 2048, none empty
  bool as_base64 = false;             // instead of arrays of numbers
  std::optional<int64_t> dimensions;  // 1 to 65,536; whether the model has so many is for the server to check
  std::vector<std::string> ignored;   // members that were sent and have no effect here
};
ApiResult<EmbeddingRequest> ReadEmbeddingRequest(const Json& body);

// Documents to put in order by how close they are to a query.
struct RerankRequest {
  std::string model;
  std::string query;                   // not empty
  std::vector<std::string> documents;  // 1 to 2047, none empty
  std::optional<int64_t> top_n;        // how many to return, at least 1; none: all
  bool return_documents = false;       // their texts, too
};
ApiResult<RerankRequest> ReadRerankRequest(const Json& body);

struct TokenizeRequest {
  std::string model;
  std::string text;                // `prompt`, or `content` as llama.cpp calls it
  bool add_special_tokens = true;  // what the tokenizer puts around a text, such as <s>
};
ApiResult<TokenizeRequest> ReadTokenizeRequest(const Json& body);

struct DetokenizeRequest {
  std::string model;
  std::vector<int32_t> tokens;  // may be empty
};
ApiResult<DetokenizeRequest> ReadDetokenizeRequest(const Json& body);

}  // namespace qwen25
