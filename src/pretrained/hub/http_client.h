// Requests to a hub over HTTP, with libcurl.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/status.h"

namespace qwen25 {

struct FetchRequest {
  std::string url;      // http or https
  std::string token;    // sent as "Authorization: Bearer", and only to the host and port of `url`
  uint64_t offset = 0;  // bytes to leave out at the beginning, by a Range
};

struct FetchResponse {
  int status = 0;                              // 200, 404, ...
  std::map<std::string, std::string> headers;  // names in lower case
  std::string url;                             // after redirects
  std::optional<double> retry_after;           // seconds, of the header

  const std::string& Header(const std::string& name) const;  // empty if it is not there
};

// What came of a request. A response with any status is a result; `status` is an error if there is none, or
// if its body ended early.
struct HttpResult {
  FetchResponse response;
  std::string body;  // of Get only
  Status status;
  bool may_pass = false;  // the error is one of the connection: trying again may help
};

// Receives a body. Errors end the transfer and become the result's.
struct HttpSink {
  std::function<Status(const FetchResponse&)> start;  // before the first byte; only for status 200 and 206
  std::function<Status(std::span<const std::byte>)> bytes;
};

// Keeps connections open between requests. For one thread.
class HttpClient {
 public:
  // `cancelled` is asked again and again during transfers; when true, they end with kCancelled.
  explicit HttpClient(std::function<bool()> cancelled);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // The body as text; one longer than `max_bytes` is an error.
  HttpResult Get(const FetchRequest& request, size_t max_bytes = size_t{64} << 20);
  // The body to `sink`, if the status is 200 or 206; otherwise its first bytes are the result's body.
  HttpResult Download(const FetchRequest& request, const HttpSink& sink);

 private:
  struct Transfer;

  HttpResult Follow(const FetchRequest& request, const HttpSink* sink, size_t max_bytes);
  void Perform(Transfer& transfer, const FetchRequest& request, bool send_token);

  struct Handle;
  std::unique_ptr<Handle> handle_;
  std::function<bool()> cancelled_;
};

// Prepares libcurl, once, in any thread. False if it cannot be used.
bool InitializeCurl();
// "a b/c" as "a%20b/c": everything but letters, digits and "-._~", and slashes if `keep_slashes`.
std::string PercentEncoded(std::string_view text, bool keep_slashes);
// `location`, which may be relative, as seen from `url`. kInvalidArgument if it is no address.
Result<std::string> ResolveUrl(const std::string& url, const std::string& location);
// Whether two addresses have the same scheme, host and port.
bool IsSameOrigin(const std::string& a, const std::string& b);
// The address of rel="next" in a Link header; empty if there is none.
std::string NextLink(std::string_view link_header);

}  // namespace qwen25
