#include "serve/calls/server_call.h"

#include <utility>

#include "base/clock.h"
#include "serve/api/identifier.h"

namespace qwen25 {

ServerCall::ServerCall(HttpRequest request, std::shared_ptr<HttpExchange> exchange, AccessControl& access,
                       AuditLog& log, MemoryService& memory)
    : request_(std::move(request)),
      exchange_(std::move(exchange)),
      access_(access),
      log_(log),
      memory_(memory),
      start_(NowSeconds()) {
  audit_.request_id = NewIdentifier("req_");
  audit_.peer = request_.peer;
  audit_.method = request_.method;
  audit_.path = request_.path;
}

ServerCall::~ServerCall() {
  if (audit_.status == 0) Refuse(InternalFailure(id()));
  if (has_key_) {
    access_.ChargeTokens(rights_.name, audit_.prompt_tokens - audit_.cached_tokens + audit_.answer_tokens,
                         NowSeconds());
  }
  audit_.seconds = NowSeconds() - start_;
  log_.Write(audit_);
}

void ServerCall::SetRights(KeyRights rights) {
  rights_ = std::move(rights);
  has_key_ = !rights_.name.empty();
  audit_.key_name = rights_.name;
}

HttpHeaders ServerCall::Headers(std::string content_type) const {
  // Anthropic's clients know the id by a name of their own.
  const char* id_name = error_shape_ == ErrorShape::kAnthropic ? "request-id" : "x-request-id";
  HttpHeaders headers = {{"Content-Type", std::move(content_type)}, {id_name, id()}};
  for (const HttpHeaders::Header& header : headers_) headers.Add(header.name, header.value);
  return headers;
}

void ServerCall::AnswerNothing() {
  audit_.status = 204;
  exchange_->Send({.status = 204, .headers = headers_});
}

void ServerCall::Answer(const Json& body) {
  AnswerText("application/json", DumpJson(body));
}

void ServerCall::AnswerText(const std::string& content_type, std::string text) {
  audit_.status = 200;
  exchange_->Send({.status = 200, .headers = Headers(content_type), .body = std::move(text)});
}

void ServerCall::Refuse(const ApiError& error) {
  audit_.status = error.status;
  HttpHeaders headers = Headers("application/json");
  for (auto& [name, value] : RetryHeaders(error)) headers.Add(name, value);
  const Json body =
      error_shape_ == ErrorShape::kAnthropic ? AnthropicErrorJson(error) : OpenAiErrorJson(error);
  exchange_->Send({.status = error.status, .headers = std::move(headers), .body = DumpJson(body)});
}

ApiError ServerCall::ErrorOf(const Status& status, std::string param) {
  audit_.reason = status.message();
  return ApiErrorOf(status, {.message_is_public = true, .incident_id = id(), .param = std::move(param)});
}

void ServerCall::Refuse(const Status& status, std::string param) {
  Refuse(ErrorOf(status, std::move(param)));
}

void ServerCall::BeginEvents() {
  audit_.status = 200;
  HttpHeaders headers = Headers("text/event-stream; charset=utf-8");
  headers.Add("Cache-Control", "no-cache");
  exchange_->BeginStream(200, std::move(headers));
}

void ServerCall::EndEvents() {
  exchange_->EndStream();
}

void ServerCall::AddTokens(size_t prompt, size_t cached, size_t answer) {
  audit_.prompt_tokens += prompt;
  audit_.cached_tokens += cached;
  audit_.answer_tokens += answer;
}

}  // namespace qwen25
