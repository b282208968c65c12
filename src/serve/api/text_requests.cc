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

ApiResult<RerankRequest> ReadRerankRequest(const Json& json) {
  constexpr size_t kMaxDocuments = 2047;  // with the query as many texts as /v1/embeddings takes
  ErrorSlot error;
  ObjectReader body(json, "", error);
  RerankRequest request;
  ReadModel(body, request.model);
  body.Read("query", request.query, 1);
  if (body.ok() && request.query.empty()) body.Refuse("query", "a string");
  const Json* documents = body.Find("documents");
  if (documents == nullptr || !documents->is_array() || documents->empty() ||
      documents->size() > kMaxDocuments) {
    body.Refuse("documents", fmt::format("an array of 1 to {} documents", kMaxDocuments));
  }
  for (size_t i = 0; body.ok() && i < documents->size(); ++i) {
    // {"text": ...} stands for the text itself.
    const std::string path = fmt::format("documents[{}]", i);
    const Json object = (*documents)[i].is_string() ? Json({{"text", (*documents)[i]}}) : (*documents)[i];
    ObjectReader document(object, path, error);
    std::string text;
    document.Read("text", text);
    document.Finish();
    if (body.ok() && text.empty()) body.Fail(path, fmt::format("{} has no text.", path));
    request.documents.push_back(std::move(text));
  }
  body.Read("top_n", 1, INT32_MAX, request.top_n);
  body.Read("return_documents", request.return_documents);
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
