// The checks on a request's line and headers, made on the bytes as they arrive and before they are parsed.
// Whatever two programs could read in two ways is refused here: it would let a client smuggle a request past
// a proxy in front of this server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace qwen25 {

// Why a request is refused.
struct ProtocolError {
  int status = 400;
  std::string message;
};

struct HttpRequestLimits {
  size_t max_header_bytes = 0;  // request line, headers and the empty line after them
  size_t max_headers = 0;
  uint64_t max_body_bytes = 0;
};

// Checks the head of one request. Grammar: RFC 9112, without what it allows only for old senders (folded
// headers, a line feed alone).
class RequestHeadCheck {
 public:
  explicit RequestHeadCheck(const HttpRequestLimits& limits) : limits_(limits) {}

  // Looks at what is new in `input`, which begins with the head and with all that was passed before. Returns
  // what is wrong, if anything is; then the request is over.
  std::optional<ProtocolError> Check(std::string_view input);

  // Bytes of the head; 0 while its end has not arrived.
  size_t head_bytes() const { return head_bytes_; }
  // The rest is known when head_bytes() is.
  bool expects_continue() const { return expects_continue_; }
  bool is_chunked() const { return is_chunked_; }

 private:
  using Refusal = std::optional<ProtocolError>;

  Refusal CheckByte(std::string_view input, size_t at) const;
  Refusal CheckLine(std::string_view line);
  Refusal CheckRequestLine(std::string_view line);
  Refusal CheckHeader(std::string_view line);
  Refusal CheckContentLength(std::string_view value);
  Refusal CheckTransferEncoding(std::string_view value);
  Refusal CheckOnlyOnce(std::string_view name);
  Refusal CheckEnd();

  const HttpRequestLimits limits_;
  size_t seen_ = 0;        // bytes that were looked at
  size_t line_start_ = 0;  // of the line that is not complete yet
  size_t head_bytes_ = 0;
  size_t num_lines_ = 0;  // complete ones
  bool is_http_1_0_ = false, may_have_body_ = false;
  bool has_host_ = false, has_length_ = false, is_chunked_ = false, expects_continue_ = false;
  uint32_t once_ = 0;  // one bit for each header seen that may come only once
};

}  // namespace qwen25
