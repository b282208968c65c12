// The answer to one request, given from any thread and at any time.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "serve/http/http_message.h"

namespace qwen25 {

// Thread-safe. Nothing here waits for the client: bytes are queued and written by the server's threads. After
// the client has gone, all calls are allowed and do nothing.
//
// The one who holds the exchange answers with Send(), or with BeginStream(), any number of Write() and
// EndStream(). Letting go of the last reference without an answer sends status 500; letting go of it amid a
// stream cuts the connection, so that the client cannot take what it has for the whole answer.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;

  // The whole answer. A response that cannot be sent as it is (a header with a line break or of a name that
  // is the server's to set, a body with status 204 or 304) becomes status 500, which says so.
  virtual void Send(HttpResponse response) = 0;

  // Begins an answer whose length is not known yet: chunked, or, for a client of HTTP/1.0, ended by closing
  // the connection. Invalid headers as for Send(); what is written to such a stream is dropped.
  virtual void BeginStream(int status, HttpHeaders headers) = 0;
  // Appends to the stream; each call reaches the client as soon as the network allows. If the client has not
  // taken the bytes written before, and `max_buffered_bytes` would be exceeded with these, the connection is
  // dropped.
  virtual void Write(std::string bytes) = 0;
  virtual void EndStream() = 0;

  // `callback` is called once, from a thread of the server, if the client goes away, or is dropped, before
  // the answer is complete; from OnDisconnect() itself if that has happened already. It must return quickly.
  // It is destroyed when the answer is complete. A client that closes its sending side counts as gone: over
  // TCP this looks the same as closing the connection. Each exchange has at most one callback. One
  // that holds the exchange itself keeps it from being let go of.
  virtual void OnDisconnect(std::function<void()> callback) = 0;

  // Whether the client still listens and the answer is not complete yet.
  virtual bool IsOpen() const = 0;
  // Bytes of the answer that the client's connection has not taken yet.
  virtual size_t BufferedBytes() const = 0;
};

// Called on a thread of the server, once per request, in the order of each connection's requests; must return
// quickly. An exception counts as an answer of status 500.
using HttpHandler = std::function<void(HttpRequest, std::shared_ptr<HttpExchange>)>;

}  // namespace qwen25
