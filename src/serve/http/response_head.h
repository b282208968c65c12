// The bytes that stand before the body of an answer.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "base/status.h"
#include "serve/http/http_message.h"

namespace qwen25 {

// How the end of a body is marked.
enum class BodyFraming {
  kLength,   // Content-Length
  kChunked,  // Transfer-Encoding: chunked
  kClose,    // by the end of the connection
};

struct ResponseHead {
  int status = 200;
  BodyFraming framing = BodyFraming::kLength;
  size_t body_bytes = 0;  // for kLength
  bool keep_alive = false;
  bool to_http_1_0 = false;
};

// Whether answers of this status have no body by definition.
inline bool IsWithoutBody(int status) {
  return status == 204 || status == 304;
}

// Status line, headers and the empty line. kInvalidArgument, naming the header, for a status out of 200 to
// 599, a name that is not a word or that is the server's to set, and a value with a control character.
Result<std::string> WriteResponseHead(const ResponseHead& head, const HttpHeaders& headers);

}  // namespace qwen25
