#include "serve/api_server.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "serve/calls/chat_call.h"
#include "serve/calls/completion_call.h"
#include "serve/calls/embedding_call.h"
#include "serve/calls/infill_call.h"
#include "serve/calls/memory_calls.h"
#include "serve/calls/token_calls.h"
#include "serve/http/network_address.h"
#include "serve/metrics.h"

namespace qwen25 {

// An endpoint: `answer` and `answer_of_memory` are called on a worker, `answer_at_once` on a network thread.
// One of them is set.
struct ApiServer::Route {
  std::string_view method, path;  // a path that ends in "/" stands for all below it
  std::optional<Scope> scope;     // none: needs no key
  void (*answer)(std::shared_ptr<ServerCall>, ModelRegistry&) = nullptr;
  void (*answer_of_memory)(ServerCall&, MemoryService&) = nullptr;
  void (ApiServer::*answer_at_once)(ServerCall&) = nullptr;
  ServerCall::ErrorShape errors = ServerCall::ErrorShape::kOpenAi;
};

const std::vector<ApiServer::Route>& ApiServer::Routes() {
  static const std::vector<Route> routes = {
      {.method = "GET", .path = "/health", .answer_at_once = &ApiServer::AnswerHealth},
      {.method = "GET", .path = "/ready", .answer_at_once = &ApiServer::AnswerReady},
      {.method = "GET",
       .path = "/metrics",
       .scope = Scope::kAdmin,
       .answer_at_once = &ApiServer::AnswerMetrics},
      {.method = "GET", .path = "/v1/models", .scope = Scope::kChat, .answer = AnswerModels},
      {.method = "GET", .path = "/v1/models/", .scope = Scope::kChat, .answer = AnswerModel},
      {.method = "POST", .path = "/v1/chat/completions", .scope = Scope::kChat, .answer = AnswerChat},
      {.method = "POST", .path = "/v1/completions", .scope = Scope::kChat, .answer = AnswerCompletion},
      {.method = "POST", .path = "/v1/responses", .scope = Scope::kChat, .answer = AnswerResponse},
      {.method = "POST",
       .path = "/v1/messages",
       .scope = Scope::kChat,
       .answer = AnswerMessage,
       .errors = ServerCall::ErrorShape::kAnthropic},
      {.method = "POST",
       .path = "/v1/messages/count_tokens",
       .scope = Scope::kChat,
       .answer = AnswerCountTokens,
       .errors = ServerCall::ErrorShape::kAnthropic},
      {.method = "POST", .path = "/infill", .scope = Scope::kChat, .answer = AnswerInfill},
      {.method = "POST", .path = "/v1/embeddings", .scope = Scope::kChat, .answer = AnswerEmbedding},
      {.method = "POST", .path = "/v1/rerank", .scope = Scope::kChat, .answer = AnswerRerank},
      {.method = "POST", .path = "/rerank", .scope = Scope::kChat, .answer = AnswerRerank},
      {.method = "POST", .path = "/tokenize", .scope = Scope::kChat, .answer = AnswerTokenize},
      {.method = "POST", .path = "/detokenize", .scope = Scope::kChat, .answer = AnswerDetokenize},
      {.method = "GET",
       .path = "/v1/memory/notes",
       .scope = Scope::kMemory,
       .answer_of_memory = AnswerListNotes},
      {.method = "POST",
       .path = "/v1/memory/notes",
       .scope = Scope::kMemory,
       .answer_of_memory = AnswerAddNote},
      {.method = "GET",
       .path = "/v1/memory/notes/",
       .scope = Scope::kMemory,
       .answer_of_memory = AnswerGetNote},
      {.method = "DELETE",
       .path = "/v1/memory/notes/",
       .scope = Scope::kMemory,
       .answer_of_memory = AnswerForgetNote},
      {.method = "POST",
       .path = "/v1/memory/search",
       .scope = Scope::kMemory,
       .answer_of_memory = AnswerSearchNotes},
      {.method = "GET",
       .path = "/v1/memory/export",
       .scope = Scope::kMemory,
       .answer_of_memory = AnswerExportNotes},
      {.method = "GET", .path = "/tokenizer_info", .scope = Scope::kChat, .answer = AnswerTokenizerInfo},
      {.method = "POST", .path = "/apply-template", .scope = Scope::kChat, .answer = AnswerApplyTemplate},
  };
  return routes;
}

namespace {

bool Matches(std::string_view pattern, std::string_view path) {
  if (pattern.ends_with('/')) return path.starts_with(pattern) && path.size() > pattern.size();
  return pattern == path;
}

ApiError ErrorOf(int status, std::string message, std::string code = {}) {
  ApiError error;
  error.status = status;
  error.type = ErrorTypeOf(status);
  error.code = std::move(code);
  error.message = std::move(message);
  return error;
}

// The key of "Authorization: Bearer KEY", or of "x-api-key", as Anthropic's clients send it.
std::optional<std::string_view> KeyOf(const HttpRequest& request) {
  if (const std::string* header = request.headers.Find("authorization")) {
    constexpr std::string_view kScheme = "bearer ";
    const std::string_view text = *header;
    if (text.size() > kScheme.size() && EqualsIgnoringCase(text.substr(0, kScheme.size()), kScheme)) {
      return text.substr(kScheme.size());
    }
  }
  if (const std::string* header = request.headers.Find("x-api-key")) return *header;
  return std::nullopt;
}

HttpResponse FormatHttpError(int status, const std::string& message) {
  return {.status = status,
          .headers = {{"Content-Type", "application/json"}},
          .body = DumpJson(OpenAiErrorJson(ErrorOf(status, message)))};
}

}  // namespace

Result<std::unique_ptr<ApiServer>> ApiServer::Start(ApiServerOptions options) {
  if (options.key_file.empty() && !options.http.host.empty() && !IsLoopbackHost(options.http.host)) {
    return InvalidArgument(
        "others can reach this server at {}: give it a file of keys (--keys, made by `qwen25 keys add`), or "
        "let "
        "it listen on 127.0.0.1",
        options.http.host);
  }
  auto server = std::unique_ptr<ApiServer>(new ApiServer(std::move(options)));
  ApiServerOptions& own = const_cast<ApiServerOptions&>(server->options_);
  QWEN25_TRY(server->access_, AccessControl::Open(own.key_file));
  QWEN25_TRY(server->log_, AuditLog::Open(own.audit_log));
  std::vector<std::string> remarks;
  server->memory_ = MemoryService::Open(own.memory, remarks);
  for (const std::string& remark : remarks) {
    if (own.registry.log) own.registry.log("note: " + remark);
  }
  own.registry.served.store = server->memory_->blocks();
  server->models_ = std::make_unique<ModelRegistry>(own.models, own.registry);
  QWEN25_RETURN_IF_ERROR(server->models_->Get("").status());
  server->workers_ = std::make_unique<WorkQueue>(own.num_workers);
  own.http.format_error = FormatHttpError;
  QWEN25_TRY(server->http_,
             HttpServer::Start(own.http, [self = server.get()](HttpRequest request,
                                                               std::shared_ptr<HttpExchange> exchange) {
               self->Handle(std::move(request), std::move(exchange));
             }));
  return server;
}

ApiServer::~ApiServer() {
  http_.reset();     // no more requests
  workers_.reset();  // what was taken is submitted
  models_.reset();   // and ends
}

Status ApiServer::Reload() {
  Status first = access_->Reload();
  if (const Status status = log_->Reopen(); first.ok()) first = status;
  if (!options_.http.tls_certificate_file.empty()) {
    if (const Status status = http_->ReloadCertificates(); first.ok()) first = status;
  }
  return first;
}

size_t ApiServer::Drain(std::chrono::milliseconds limit) {
  is_draining_ = true;
  return http_->Drain(limit);
}

bool ApiServer::Admit(ServerCall& call, const Route& route) {
  if (!route.scope) return true;
  const AccessControl::Decision decision = access_->Admit(KeyOf(call.request()), *route.scope, NowSeconds());
  call.SetRights(decision.rights);
  switch (decision.verdict) {
    case AccessControl::Verdict::kAdmitted:
      return true;
    case AccessControl::Verdict::kNoKey:
      call.Refuse(ErrorOf(401, "This server needs a key: send it as \"Authorization: Bearer KEY\".",
                          "missing_api_key"));
      return false;
    case AccessControl::Verdict::kWrongKey:
      call.Refuse(ErrorOf(401, "The key is not known.", "invalid_api_key"));
      return false;
    case AccessControl::Verdict::kNotAllowed:
      call.Refuse(ErrorOf(403, fmt::format("This key has no right to \"{}\".",
                                           ScopeNames(static_cast<uint8_t>(*route.scope)))));
      return false;
    case AccessControl::Verdict::kTooMany: {
      ApiError error =
          ErrorOf(429, fmt::format("This key has used up its {} of the last minute.", decision.limit),
                  "rate_limit_exceeded");
      error.retry_after_seconds = decision.retry_after_seconds;
      call.Refuse(error);
      return false;
    }
  }
  return false;
}

void ApiServer::Handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
  ++num_requests_;
  const auto call =
      std::make_shared<ServerCall>(std::move(request), std::move(exchange), *access_, *log_, *memory_);
  const std::string& path = call->request().path;
  const std::string_view method =
      call->request().method == "HEAD" ? "GET" : std::string_view(call->request().method);
  call->AddHeaders(OriginHeaders(call->request()));
  const Route* found = nullptr;
  std::string methods;
  for (const Route& route : Routes()) {
    if (!Matches(route.path, path)) continue;
    call->SetErrorShape(route.errors);
    if (route.method == method) found = &route;
    methods += (methods.empty() ? "" : ", ") + std::string(route.method);
  }
  if (found == nullptr && methods.empty()) {
    return call->Refuse(ErrorOf(404, "There is no such endpoint."));
  }
  if (method == "OPTIONS" && call->request().headers.Find("origin") != nullptr) return call->AnswerNothing();
  if (found == nullptr) {
    return call->Refuse(ErrorOf(405, fmt::format("This endpoint takes {}.", methods)));
  }
  if (!Admit(*call, *found)) return;
  if (found->answer_at_once != nullptr) return (this->*found->answer_at_once)(*call);
  workers_->Add([this, call, found] {
    if (found->answer != nullptr) {
      found->answer(call, *models_);
    } else {
      found->answer_of_memory(*call, *memory_);
    }
  });
}

HttpHeaders ApiServer::OriginHeaders(const HttpRequest& request) const {
  const std::string* origin = request.headers.Find("origin");
  if (origin == nullptr) return {};
  const auto& allowed = options_.allowed_origins;
  const bool any = std::ranges::find(allowed, "*") != allowed.end();
  if (!any && std::ranges::find(allowed, *origin) == allowed.end()) return {};
  HttpHeaders headers = {{"Access-Control-Allow-Origin", any ? "*" : *origin}, {"Vary", "Origin"}};
  if (request.method == "OPTIONS") {
    headers.Add("Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS");
    headers.Add("Access-Control-Allow-Headers",
                "Authorization, Content-Type, x-api-key, anthropic-version, anthropic-beta");
    headers.Add("Access-Control-Max-Age", "600");
  }
  return headers;
}

void ApiServer::AnswerHealth(ServerCall& call) {
  call.Answer({{"status", "ok"}});
}

void ApiServer::AnswerReady(ServerCall& call) {
  if (is_draining_) return call.Refuse(ErrorOf(503, "The server is about to end."));
  for (const ModelRegistry::Listed& model : models_->List()) {
    if (model.is_loaded) return call.Answer({{"status", "ready"}});
  }
  call.Refuse(ErrorOf(503, "No model is loaded."));
}

void ApiServer::AnswerMetrics(ServerCall& call) {
  MetricsText text;
  std::vector<ModelMetrics> models;
  for (const auto& model : models_->Loaded()) models.push_back({model->name(), model->scheduler().stats()});
  WriteModelMetrics(models, text);
  const HttpServerCounters http = http_->Counters();
  const auto write = [&](std::string_view name, std::string_view type, std::string_view help,
                         uint64_t value) {
    text.Begin(name, type, help);
    text.Sample({}, static_cast<double>(value));
  };
  write("qwen25_http_requests_total", "counter", "Requests over HTTP, to any endpoint.", num_requests_);
  write("qwen25_http_connections", "gauge", "Connections that are open.", http.num_open);
  write("qwen25_http_connections_total", "counter", "Connections that were opened.", http.num_accepted);
  write("qwen25_http_connections_refused_total", "counter", "Connections over a limit.", http.num_refused);
  call.AnswerText("text/plain; version=0.0.4; charset=utf-8", text.text());
}

}  // namespace qwen25
