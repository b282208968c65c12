// A server for tests: answers some paths by itself and leaves the others to the test.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/test_util.h"
#include "serve/http/http_server.h"
#include "serve/http/raw_client_test_util.h"

namespace qwen25 {

inline constexpr const char* kGoodRequest = "GET /hello HTTP/1.1\r\nHost: test\r\n\r\n";

// A number that tests wait for.
class Event {
 public:
  void Add() {
    std::lock_guard lock(mutex_);
    ++count_;
    changed_.notify_all();
  }
  bool WaitFor(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kTestPatience, [&] { return count_ >= count; });
  }
  size_t count() const {
    std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  size_t count_ = 0;
};

// Waits until `condition` holds, for things that nothing announces.
inline bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kTestPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    ::poll(nullptr, 0, 1);
  }
  return true;
}

// GET and HEAD /hello: "hello". POST /echo: the request's body. GET /stream: three chunks. GET /throw:
// throws. GET /forget: no answer. All others are held for TakeHeld().
class TestServer {
 public:
  explicit TestServer(HttpServerOptions options = {}) {
    auto started = HttpServer::Start(std::move(options), [this](HttpRequest request, auto exchange) {
      Handle(std::move(request), std::move(exchange));
    });
    EXPECT_OK(started);
    server = std::move(started).value();
  }

  struct Held {
    HttpRequest request;
    std::shared_ptr<HttpExchange> exchange;  // null if none came
  };
  Held TakeHeld() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kTestPatience, [this] { return !held_.empty(); })) return {};
    Held first = std::move(held_.front());
    held_.erase(held_.begin());
    return first;
  }
  uint16_t port() const { return server->port(); }

 private:
  void Handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
    if (request.path == "/hello") return exchange->Send({.headers = {{"X-Test", "yes"}}, .body = "hello"});
    if (request.path == "/echo") return exchange->Send({.body = request.body});
    if (request.path == "/throw") throw std::runtime_error("thrown by the handler");
    if (request.path == "/forget") return;
    if (request.path == "/stream") {
      exchange->BeginStream(200, {{"Content-Type", "text/event-stream"}});
      for (const char* text : {"data: 1\n\n", "", "data: 2\n\n", "data: [DONE]\n\n"}) exchange->Write(text);
      return exchange->EndStream();
    }
    std::lock_guard lock(mutex_);
    held_.push_back({std::move(request), std::move(exchange)});
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Held> held_;

 public:
  std::unique_ptr<HttpServer> server;  // last: it ends before what its handler uses
};

// The server must still serve.
inline void ExpectServes(uint16_t port) {
  RawClient client(port);
  const RawResponse response = client.Exchange(kGoodRequest);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "hello");
}

}  // namespace qwen25
