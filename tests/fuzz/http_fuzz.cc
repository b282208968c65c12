#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "serve/http/request_parser.h"
#include "targets.h"

namespace qwen25 {
namespace {

constexpr HttpRequestLimits kLimits = {.max_header_bytes = 1024, .max_headers = 20, .max_body_bytes = 2000};

// Method, target and body of each request, and whether an error ended them. Which one may depend on the
// pieces, where there are two reasons.
struct ReadRequests {
  std::vector<std::string> requests;
  bool has_failed = false;

  bool operator==(const ReadRequests&) const = default;
};

void CheckRequest(const HttpRequest& request) {
  QWEN25_CHECK(!request.method.empty() && request.method != "CONNECT");
  QWEN25_CHECK(request.path == "*" || request.path.substr(0, 1) == "/");
  QWEN25_CHECK(request.headers.size() <= kLimits.max_headers &&
               request.body.size() <= kLimits.max_body_bytes);
  for (const auto& header : request.headers) {
    QWEN25_CHECK(!header.name.empty() && header.value.find_first_of("\r\n") == std::string::npos);
  }
}

void CheckError(const ProtocolError& error) {
  QWEN25_CHECK(error.status >= 400 && error.status <= 505 && !error.message.empty());
  const auto is_plain = [](char c) { return c >= 0x20 && c < 0x7f; };
  QWEN25_CHECK(std::all_of(error.message.begin(), error.message.end(), is_plain));
}

ReadRequests Read(std::string_view bytes, size_t piece_bytes) {
  ReadRequests read;
  auto parser = std::make_unique<RequestParser>(kLimits);
  std::string input;
  while (!bytes.empty()) {
    input += bytes.substr(0, piece_bytes);
    bytes.remove_prefix(std::min(bytes.size(), piece_bytes));
    while (true) {
      const size_t taken = parser->Parse(input);
      QWEN25_CHECK(taken <= input.size());
      input.erase(0, taken);
      if (parser->state() == RequestParser::State::kFailed) {
        CheckError(parser->error());
        read.has_failed = true;
        return read;
      }
      if (parser->state() != RequestParser::State::kDone) break;
      const HttpRequest request = parser->TakeRequest();
      CheckRequest(request);
      read.requests.push_back(request.method + ' ' + request.path + '?' + request.query + '\n' +
                              request.body);
      parser = std::make_unique<RequestParser>(kLimits);
    }
    // No more than this is ever held back, so that a connection's buffer is bounded.
    QWEN25_CHECK(input.size() <= kLimits.max_header_bytes);
  }
  return read;
}

}  // namespace

// What a client sends: the same requests are read however the bytes arrive, all within their limits, and an
// error can be shown.
void FuzzHttp(std::span<const uint8_t> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const ReadRequests whole = Read(text, text.size() + 1);
  for (const size_t piece_bytes : {1, 7, 100}) QWEN25_CHECK(Read(text, piece_bytes) == whole);
}

}  // namespace qwen25
