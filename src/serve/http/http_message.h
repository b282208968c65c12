// What travels over HTTP: a request as the server has read and checked it, and an answer to it.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen25 {

// Whether two texts are the same but for the case of ASCII letters, as names of headers are compared.
bool EqualsIgnoringCase(std::string_view a, std::string_view b);

// Headers in their order. Names are found without regard to case.
class HttpHeaders {
 public:
  struct Header {
    std::string name, value;
  };

  HttpHeaders() = default;
  HttpHeaders(std::initializer_list<Header> headers) : headers_(headers) {}

  void Add(std::string name, std::string value) { headers_.push_back({std::move(name), std::move(value)}); }
  // The value of the first header of that name; null if there is none.
  const std::string* Find(std::string_view name) const;

  auto begin() const { return headers_.begin(); }
  auto end() const { return headers_.end(); }
  size_t size() const { return headers_.size(); }

 private:
  std::vector<Header> headers_;
};

struct HttpRequest {
  std::string method;  // "GET", "POST", ...; case matters
  std::string path;    // "/v1/models", as sent: "%20" is not decoded
  std::string query;   // what follows the first "?", as sent; may be empty
  HttpHeaders headers;
  std::string body;
  std::string
      peer;  // the client's IP address without its port, or "unix" for a connection over a Unix socket
};

struct HttpResponse {
  int status = 200;
  // Content-Length, Transfer-Encoding, Connection and Date are the server's to set.
  HttpHeaders headers;
  std::string body;
};

// The phrase of a status: "Not Found" for 404; "Unknown" for one that has no phrase here.
std::string_view HttpStatusPhrase(int status);

}  // namespace qwen25
