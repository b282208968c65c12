// The server: models behind OpenAI's API over HTTP.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "serve/access/access_control.h"
#include "serve/audit_log.h"
#include "serve/calls/server_call.h"
#include "serve/http/http_server.h"
#include "serve/memory/memory_service.h"
#include "serve/models/model_registry.h"
#include "serve/work_queue.h"

namespace qwen25 {

struct ApiServerOptions {
  HttpServerOptions http;
  std::vector<ModelRegistry::Source> models;  // at least one
  ModelRegistry::Options registry;
  MemoryService::Options memory;
  std::filesystem::path key_file;   // none: requests need no key
  std::filesystem::path audit_log;  // none: no log of requests
  // Origins that pages in a browser may use the server from, or "*"; none: no page may.
  std::vector<std::string> allowed_origins;
  size_t num_workers = 4;  // threads that read requests and make prompts
};

// docs/server.md describes the endpoints. Thread-safe.
class ApiServer {
 public:
  // Loads the first model, begins to listen, and serves. kInvalidArgument for a host that others can reach
  // when there is no file of keys; errors of its parts.
  static Result<std::unique_ptr<ApiServer>> Start(ApiServerOptions options);
  ~ApiServer();

  uint16_t port() const { return http_->port(); }
  // Reads keys and certificates again, and opens the log again. The first error; what could be read is used.
  Status Reload();
  // Takes no more requests, lets answers end for at most `limit`, and returns how many were cut.
  size_t Drain(std::chrono::milliseconds limit);

 private:
  struct Route;
  explicit ApiServer(ApiServerOptions options) : options_(std::move(options)) {}

  void Handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange);
  // Whether the request may go on; answers it if not.
  bool Admit(ServerCall& call, const Route& route);
  void AnswerHealth(ServerCall& call);
  void AnswerReady(ServerCall& call);
  void AnswerMetrics(ServerCall& call);
  // Headers for pages of other origins; empty if this one is not allowed.
  HttpHeaders OriginHeaders(const HttpRequest& request) const;

  static const std::vector<Route>& Routes();

  const ApiServerOptions options_;
  std::unique_ptr<AccessControl> access_;
  std::unique_ptr<AuditLog> log_;
  std::unique_ptr<MemoryService> memory_;  // outlives the models
  std::unique_ptr<ModelRegistry> models_;
  std::unique_ptr<WorkQueue> workers_;
  std::atomic<bool> is_draining_{false};
  std::atomic<uint64_t> num_requests_{0};
  std::unique_ptr<HttpServer> http_;  // goes first
};

}  // namespace qwen25
