// The queue between whoever answers a request and the connection that writes the answer.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "serve/http/connection_table.h"
#include "serve/http/http_exchange.h"
#include "serve/http/http_server.h"
#include "serve/http/response_head.h"

namespace qwen25 {

// What the connection knows of the request.
struct AnswerTerms {
  bool to_head_request = false;  // the answer has headers only
  bool to_http_1_0 = false;
  bool keep_alive = false;  // the client may send further requests
};

// The functions of HttpExchange are called from any thread, the others by the connection.
class HttpAnswer final : public HttpExchange {
 public:
  // `wake` is called, from any thread and without locks, when there may be something for the connection to
  // do. The server ends when `table` is draining; the head of the answer then says that the connection ends
  // with it.
  HttpAnswer(const AnswerTerms& terms, std::shared_ptr<const HttpServerOptions> options,
             std::shared_ptr<const ConnectionTable> table, std::function<void()> wake)
      : terms_(terms), options_(std::move(options)), table_(std::move(table)), wake_(std::move(wake)) {}

  void Send(HttpResponse response) override;
  void BeginStream(int status, HttpHeaders headers) override;
  void Write(std::string bytes) override;
  void EndStream() override;
  void OnDisconnect(std::function<void()> callback) override;
  bool IsOpen() const override;
  size_t BufferedBytes() const override;

  // Nobody is left who could go on with the answer.
  void Abandon();

  struct Output {
    std::string bytes;         // to be written next
    bool is_complete = false;  // nothing will follow them
    bool must_cut = false;     // the connection is to be dropped instead
  };
  // Takes all bytes that are queued. They count as buffered until CountWritten() has been told of them.
  Output TakeOutput();
  void CountWritten(size_t num_bytes);
  // Whether the whole answer was given, though not all of it may have been written.
  bool IsComplete() const;
  // Calls the callback if the answer is not complete. Nothing is queued from now on.
  void LoseClient();
  // Of a complete answer: whether the client may send further requests.
  bool keeps_alive() const;

 private:
  // These are called with mutex_ held.
  void QueueWhole(HttpResponse response);
  void QueueError(const std::string& message);
  Result<std::string> WriteHead(int status, const HttpHeaders& headers, size_t body_bytes);
  // Ends the answer; returns the callback, to be destroyed without the lock.
  [[nodiscard]] std::function<void()> Complete();
  bool IsOver() const { return is_complete_ || is_gone_ || must_cut_; }

  AnswerTerms terms_;
  const std::shared_ptr<const HttpServerOptions> options_;
  const std::shared_ptr<const ConnectionTable> table_;
  const std::function<void()> wake_;

  mutable std::mutex mutex_;
  bool has_begun_ = false;   // by Send() or BeginStream()
  bool is_stream_ = false;   // by BeginStream()
  bool drops_body_ = false;  // of a stream: the answer has headers only
  bool is_complete_ = false;
  bool is_gone_ = false;
  bool must_cut_ = false;
  BodyFraming framing_ = BodyFraming::kLength;
  std::string queued_;
  size_t num_in_flight_ = 0;  // bytes taken by the connection and not yet written
  std::function<void()> on_disconnect_;
};

}  // namespace qwen25
