#include "serve/http/http_answer.h"

#include "base/check.h"

namespace qwen25 {

HttpResponse PlainTextError(int status, const std::string& message) {
  return {
      .status = status, .headers = {{"Content-Type", "text/plain; charset=utf-8"}}, .body = message + "\n"};
}

void HttpAnswer::Send(HttpResponse response) {
  std::function<void()> callback;
  {
    std::lock_guard lock(mutex_);
    QWEN25_CHECK(!has_begun_);
    has_begun_ = true;
    if (IsOver()) return;
    QueueWhole(std::move(response));
    callback = Complete();
  }
  wake_();
}

void HttpAnswer::QueueWhole(HttpResponse response) {
  if (IsWithoutBody(response.status) && !response.body.empty()) {
    return QueueError(
        fmt::format("the answer has status {}, which goes without a body, and a body of {} bytes",
                    response.status, response.body.size()));
  }
  const Result<std::string> head = WriteHead(response.status, response.headers, response.body.size());
  if (!head.ok()) return QueueError(head.status().message());
  queued_ += *head;
  if (!terms_.to_head_request) queued_ += response.body;
}

Result<std::string> HttpAnswer::WriteHead(int status, const HttpHeaders& headers, size_t body_bytes) {
  if (table_->is_draining() || (framing_ == BodyFraming::kClose && !drops_body_)) terms_.keep_alive = false;
  return WriteResponseHead({.status = status,
                            .framing = framing_,
                            .body_bytes = body_bytes,
                            .keep_alive = terms_.keep_alive,
                            .to_http_1_0 = terms_.to_http_1_0},
                           headers);
}

void HttpAnswer::QueueError(const std::string& message) {
  HttpResponse response = options_->format_error(500, message);
  const bool can_be_sent = !IsWithoutBody(response.status) &&
                           WriteResponseHead({.status = response.status}, response.headers).ok();
  QueueWhole(can_be_sent ? std::move(response) : PlainTextError(500, message));
}

std::function<void()> HttpAnswer::Complete() {
  is_complete_ = true;
  return std::exchange(on_disconnect_, nullptr);
}

void HttpAnswer::BeginStream(int status, HttpHeaders headers) {
  std::function<void()> callback;
  {
    std::lock_guard lock(mutex_);
    QWEN25_CHECK(!has_begun_);
    has_begun_ = is_stream_ = true;
    if (IsOver()) return;
    framing_ = terms_.to_http_1_0 ? BodyFraming::kClose : BodyFraming::kChunked;
    drops_body_ = terms_.to_head_request || IsWithoutBody(status);
    const Result<std::string> head = WriteHead(status, headers, 0);
    if (head.ok()) {
      queued_ += *head;
    } else {
      framing_ = BodyFraming::kLength;
      QueueError(head.status().message());
      callback = Complete();
    }
  }
  wake_();
}

void HttpAnswer::Write(std::string bytes) {
  {
    std::lock_guard lock(mutex_);
    QWEN25_CHECK(is_stream_);
    // An empty chunk would end the body.
    if (IsOver() || drops_body_ || bytes.empty()) return;
    const size_t buffered = queued_.size() + num_in_flight_;
    if (buffered > 0 && buffered + bytes.size() > options_->max_buffered_bytes) {
      must_cut_ = true;
      queued_.clear();
    } else if (framing_ == BodyFraming::kChunked) {
      fmt::format_to(std::back_inserter(queued_), "{:x}\r\n{}\r\n", bytes.size(), bytes);
    } else {
      queued_ += bytes;
    }
  }
  wake_();
}

void HttpAnswer::EndStream() {
  std::function<void()> callback;
  {
    std::lock_guard lock(mutex_);
    QWEN25_CHECK(is_stream_);
    if (IsOver()) return;
    if (framing_ == BodyFraming::kChunked && !drops_body_) queued_ += "0\r\n\r\n";
    callback = Complete();
  }
  wake_();
}

void HttpAnswer::OnDisconnect(std::function<void()> callback) {
  QWEN25_CHECK(callback != nullptr);
  {
    std::lock_guard lock(mutex_);
    if (is_complete_) return;
    if (!is_gone_) {
      QWEN25_CHECK(on_disconnect_ == nullptr);
      on_disconnect_ = std::move(callback);
      return;
    }
  }
  callback();
}

bool HttpAnswer::IsOpen() const {
  std::lock_guard lock(mutex_);
  return !IsOver();
}

size_t HttpAnswer::BufferedBytes() const {
  std::lock_guard lock(mutex_);
  return queued_.size() + num_in_flight_;
}

void HttpAnswer::Abandon() {
  std::function<void()> callback;
  {
    std::lock_guard lock(mutex_);
    if (IsOver()) return;
    if (has_begun_) {
      must_cut_ = true;
      queued_.clear();
      callback = std::exchange(on_disconnect_, nullptr);
    } else {
      has_begun_ = true;
      QueueError("the request was left without an answer");
      callback = Complete();
    }
  }
  wake_();
}

HttpAnswer::Output HttpAnswer::TakeOutput() {
  std::lock_guard lock(mutex_);
  num_in_flight_ += queued_.size();
  return {.bytes = std::exchange(queued_, {}), .is_complete = is_complete_, .must_cut = must_cut_};
}

void HttpAnswer::CountWritten(size_t num_bytes) {
  std::lock_guard lock(mutex_);
  QWEN25_CHECK(num_bytes <= num_in_flight_);
  num_in_flight_ -= num_bytes;
}

bool HttpAnswer::IsComplete() const {
  std::lock_guard lock(mutex_);
  return is_complete_;
}

void HttpAnswer::LoseClient() {
  std::function<void()> callback;
  {
    std::lock_guard lock(mutex_);
    is_gone_ = true;
    queued_.clear();
    num_in_flight_ = 0;
    callback = std::exchange(on_disconnect_, nullptr);
  }
  if (callback) callback();
}

bool HttpAnswer::keeps_alive() const {
  std::lock_guard lock(mutex_);
  return terms_.keep_alive;
}

}  // namespace qwen25
