// One client's connection, from the moment it is accepted to its end.
#pragma once

#include <memory>

#include "serve/http/connection_table.h"
#include "serve/http/http_server.h"
#include "serve/http/owned_descriptor.h"
#include "serve/http/tls_context.h"

namespace boost::asio {
class io_context;
}

namespace qwen25 {

// What all connections of a server share.
struct ConnectionSetting {
  // Where connections run. They keep it alive: an exchange may outlive the server.
  std::shared_ptr<boost::asio::io_context> io;
  std::shared_ptr<const HttpServerOptions> options;
  HttpHandler handler;
  std::shared_ptr<ConnectionTable> table;
};

// Serves the connection behind `socket`, which does not block, until the client or a limit ends it; over TLS
// if `tls` is not null. Returns at once. A place that is refused gets the answer 503 with its reason.
void ServeConnection(std::shared_ptr<const ConnectionSetting> setting, OwnedDescriptor socket,
                     std::unique_ptr<ConnectionTable::Place> place, TlsContext tls);

}  // namespace qwen25
