// One request of the API on its way through the server.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "serve/access/access_control.h"
#include "serve/api/api_error.h"
#include "serve/audit_log.h"
#include "serve/http/http_exchange.h"
#include "serve/memory/memory_service.h"

namespace qwen25 {

// Holds what is known of a request, and gives its answer. The destructor writes the log's line, and answers
// with an error if nobody has. Used by one thread at a time.
class ServerCall {
 public:
  enum class ErrorShape { kOpenAi, kAnthropic };

  // The last three must outlive the call.
  ServerCall(HttpRequest request, std::shared_ptr<HttpExchange> exchange, AccessControl& access,
             AuditLog& log, MemoryService& memory);
  ~ServerCall();
  ServerCall(const ServerCall&) = delete;
  ServerCall& operator=(const ServerCall&) = delete;

  const HttpRequest& request() const { return request_; }
  HttpExchange& exchange() { return *exchange_; }
  MemoryService& memory() { return memory_; }
  const std::string& id() const { return audit_.request_id; }
  // On the clock of NowSeconds().
  double start() const { return start_; }

  void SetRights(KeyRights rights);
  const KeyRights& rights() const { return rights_; }
  // Whether memory of this namespace may be used; without keys, all may be.
  bool MayUse(std::string_view name_space) const { return !has_key_ || rights_.MayUse(name_space); }
  // Whether notes may be read and made.
  bool MayUseMemory() const { return !has_key_ || rights_.Has(Scope::kMemory); }
  std::string DefaultNamespace() const { return has_key_ ? rights_.DefaultNamespace() : "default"; }
  void SetErrorShape(ErrorShape shape) { error_shape_ = shape; }

  // Further headers of the answer.
  void AddHeaders(HttpHeaders headers) { headers_ = std::move(headers); }

  // Whole answers.
  void Answer(const Json& body);
  void AnswerText(const std::string& content_type, std::string text);
  // Without a body.
  void AnswerNothing();
  void Refuse(const ApiError& error);
  // An error of the program. Its message is for the client if it is about the request (kInvalidArgument,
  // kUnsupported, kNotFound, kResourceExhausted); others are for the log.
  void Refuse(const Status& status, std::string param = {});

  // An answer as server-sent events.
  void BeginEvents();
  void WriteEvents(std::string events) { exchange_->Write(std::move(events)); }
  void EndEvents();
  // What a client is told of an error of the program; the log has all of it.
  ApiError ErrorOf(const Status& status, std::string param = {});

  // For the log; tokens also count for the key's limits.
  void SetModel(const std::string& name) { audit_.model = name; }
  void AddTokens(size_t prompt, size_t cached, size_t answer);

 private:
  HttpHeaders Headers(std::string content_type) const;

  const HttpRequest request_;
  const std::shared_ptr<HttpExchange> exchange_;
  AccessControl& access_;
  AuditLog& log_;
  MemoryService& memory_;
  const double start_;
  KeyRights rights_;
  bool has_key_ = false;
  HttpHeaders headers_;
  ErrorShape error_shape_ = ErrorShape::kOpenAi;
  AuditEntry audit_;
};

}  // namespace qwen25
