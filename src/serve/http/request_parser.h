// Reads one request from bytes, wherever these come from.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "serve/http/http_message.h"
#include "serve/http/request_head.h"

namespace qwen25 {

class RequestParser {
 public:
  enum class State {
    kHead,    // wants more bytes of the request line and headers
    kBody,    // wants more bytes of the body
    kDone,    // the request is complete; no more bytes are taken
    kFailed,  // see error()
  };

  explicit RequestParser(const HttpRequestLimits& limits);
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  // Takes bytes from the front of `input` and returns their number. What it leaves must be passed again, with
  // more behind it. The same requests are read, and the same are refused, however the bytes are divided
  // over calls. The body is held as far
  // as it has arrived; no room is set aside for what is only announced.
  size_t Parse(std::string_view input);

  State state() const { return state_; }
  // Of kFailed.
  const ProtocolError& error() const { return error_; }

  // Known from kBody on: whether the client waits for status 100 before it sends the body.
  bool expects_continue() const { return head_.expects_continue(); }
  // Known from kBody on: whether the client wants to send further requests over this connection.
  bool keep_alive() const { return keep_alive_; }
  bool is_http_1_0() const { return is_http_1_0_; }
  // Known as soon as the request line has been read; empty until then.
  bool is_head_request() const { return request_.method == "HEAD"; }

  // Of kDone, once; the peer is for the caller to fill in.
  HttpRequest TakeRequest() { return std::move(request_); }

 private:
  class Body;

  size_t ParseHead(std::string_view input);
  size_t ParseBody(std::string_view input);
  void CheckFraming(std::string_view line, bool is_incomplete);
  void Fail(ProtocolError error);
  void TakeHead();

  const HttpRequestLimits limits_;
  State state_ = State::kHead;
  ProtocolError error_;
  RequestHeadCheck head_;
  bool skipped_line_ = false;  // an empty line before the request
  bool keep_alive_ = false, is_http_1_0_ = false;
  size_t framing_bytes_ = 0;  // of a chunked body: all that is not content
  HttpRequest request_;
  std::unique_ptr<Body> parser_;
};

}  // namespace qwen25
