// The replies of the smaller endpoints: models, embeddings, and those about tokens.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace qwen25 {

// GET /v1/models and /v1/models/ID.
struct ListedModel {
  std::string id;
  int64_t created = 0;  // seconds since 1970
  std::string owned_by;
  size_t max_model_len = 0;  // tokens of prompt and answer together; an extension that vLLM has, too
};
Json ModelJson(const ListedModel& model);
Json ModelListJson(std::span<const ListedModel> models);

// POST /v1/embeddings: rows in the order of the inputs, as numbers or as the base64 of their little-endian
// float32 bytes. kCorrupt if a number is not finite: JSON could not show it.
Result<Json> EmbeddingsJson(std::string_view model, std::span<const std::vector<float>> rows, bool as_base64,
                            size_t prompt_tokens);

// POST /v1/rerank: best first. `documents`: the texts to repeat, null for none. kCorrupt as above.
struct RankedDocument {
  size_t index = 0;  // in the request
  double score = 0;
};
Result<Json> RerankJson(std::string_view model, std::span<const RankedDocument> ranked,
                        const std::vector<std::string>* documents, size_t prompt_tokens);

// POST /tokenize: {"count", "max_model_len", "tokens"}.
Json TokenizeJson(std::span<const int32_t> tokens, size_t max_model_len);
// POST /detokenize and /apply-template: {"prompt": text}.
Json PromptJson(std::string_view text);

// GET /tokenizer_info: what evaluation harnesses need to prepare prompts without the tokenizer's files.
struct TokenizerInfo {
  std::optional<std::string> bos_token, eos_token, pad_token;
  std::optional<std::string> chat_template;  // its Jinja source
  size_t max_model_len = 0;
};
Json TokenizerInfoJson(const TokenizerInfo& info);

}  // namespace qwen25
