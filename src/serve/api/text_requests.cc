#include "serve/api/text_requests.h"

#include <utility>

namespace qwen25 {

ApiResult<EmbeddingRequest> ReadEmbeddingRequest(const Json& json) {
  ErrorSlot error;
  ObjectReader body(json, "", error);
  EmbeddingRequest request;
  ReadModel(body, request.model);
  ReadPrompts(body, "input", /*may_be_empty=*/false, request.inputs);
  std::string format;
  body.Read("encoding_format", {"float", "base64"}, format);
  request.as_base64 = format == "base64";
  body.Read("dimensions", 1, 65536, request.dimensions);
  body.Ignore(ObjectReader::Kind::kText, {"user"}, &request.ignored);
  body.Finish();
  if (error.has_value()) return *error;
  return request;
}

ApiResult<TokenizeRequest> ReadTokenizeRequest(const Json& json) {
  ErrorSlot error;
  ObjectReader body(json, "", error);
  TokenizeRequest request;
  ReadModel(body, request.model);
  std::optional<std::string> prompt, content;
  body.Read("prompt", prompt);
  body.Read("content", content);
  if (prompt.has_value() && content.has_value()) {
    body.Fail("content", "prompt and content are two names of one text; send one.");
  }
  if (!prompt.has_value() && !content.has_value()) body.Refuse("prompt", "a string");
  body.Read("add_special_tokens", request.add_special_tokens);
  body.Finish();
  if (error.has_value()) return *error;
  request.text = std::move(prompt.has_value() ? *prompt : *content);
  return request;
}

ApiResult<DetokenizeRequest> ReadDetokenizeRequest(const Json& json) {
  ErrorSlot error;
  ObjectReader body(json, "", error);
  DetokenizeRequest request;
  ReadModel(body, request.model);
  ReadTokens(body, "tokens", request.tokens);
  body.Finish();
  if (error.has_value()) return *error;
  return request;
}

}  // namespace qwen25
