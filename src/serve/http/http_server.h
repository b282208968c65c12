// An HTTP/1.1 server: reads and checks requests, and hands each to one function together with the exchange
// that answers it. It knows nothing of what is served.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "serve/http/http_exchange.h"

namespace qwen25 {

// Makes the answer of a request that the server refuses by itself, so that it has the shape of the API's
// errors.
using HttpErrorFormatter = std::function<HttpResponse(int status, const std::string& message)>;

// The message as plain text.
HttpResponse PlainTextError(int status, const std::string& message);

struct HttpServerOptions {
  // Address or name to listen on over TCP ("127.0.0.1", "::1", "0.0.0.0", "localhost"; of a name's addresses,
  // the first that can be used). Empty: not over TCP.
  std::string host = "127.0.0.1";
  uint16_t port = 0;  // 0: any free one, see HttpServer::port()
  // Path of a Unix socket to listen on, with mode 0600. Empty: none.
  std::string unix_socket;
  // PEM files; both or neither. The certificate file holds the chain, the server's own first. TLS (1.2 or
  // later) then applies to TCP, not to the Unix socket.
  std::string tls_certificate_file, tls_key_file;

  size_t max_connections = 512;         // at least 1; further ones get 503 and are closed
  size_t max_connections_per_peer = 0;  // of one IP address, counted the same way; 0: no limit of its own
  size_t max_header_bytes = 32 * 1024;  // request line and headers together; 256 bytes to 16 MiB
  size_t max_headers = 100;             // at least 1
  uint64_t max_body_bytes = uint64_t{32} << 20;
  size_t max_buffered_bytes = 8 * 1024 * 1024;  // of a streamed answer that the client does not read

  // All positive.
  std::chrono::milliseconds header_time_limit{10'000};  // from the first byte to the end of the headers
  std::chrono::milliseconds body_time_limit{60'000};    // from the end of the headers to that of the body
  std::chrono::milliseconds idle_time_limit{75'000};    // between an answer and the next request
  std::chrono::milliseconds write_time_limit{30'000};   // in which a client must take some bytes of an answer

  size_t num_threads = 1;  // that read, write and call the handler; 1 to 64

  HttpErrorFormatter format_error = PlainTextError;
};

// What has happened since the start.
struct HttpServerCounters {
  uint64_t num_accepted = 0;       // connections, with those that were refused
  uint64_t num_refused = 0;        // for a limit on connections
  uint64_t num_accept_errors = 0;  // times that the system refused to hand over a connection (no descriptors)
  size_t num_open = 0;             // connections now
};

// Thread-safe, but for the destructor.
class HttpServer {
 public:
  // Begins to listen and to serve. kInvalidArgument for options out of range and for certificates that cannot
  // be used; errors of the system name the address or path.
  static Result<std::unique_ptr<HttpServer>> Start(HttpServerOptions options, HttpHandler handler);
  // Drain() without waiting: answers in progress are cut.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Of the TCP listener; 0 if there is none.
  uint16_t port() const;

  // Stops for good: accepts no more, closes connections that are between requests, lets requests and answers
  // in progress end for at most `limit`, then cuts those that are left. Returns the number of connections
  // cut. Must not be called from a handler or a callback.
  size_t Drain(std::chrono::milliseconds limit);

  // Reads the certificate and key again; new connections get them. On an error the old ones stay.
  // kInvalidArgument if the server has none.
  Status ReloadCertificates();

  HttpServerCounters Counters() const;

 private:
  class Core;
  explicit HttpServer(std::unique_ptr<Core> core);

  std::unique_ptr<Core> core_;
};

}  // namespace qwen25
