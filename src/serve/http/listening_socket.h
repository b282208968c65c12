// Sockets that wait for connections, over TCP and over the file system.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/status.h"
#include "serve/http/owned_descriptor.h"

namespace qwen25 {

// A socket that listens; closed by the destructor, which also removes the file of a Unix socket. It does not
// block, and is not passed on to programs that this one starts.
class ListeningSocket {
 public:
  // `host` as in HttpServerOptions; port 0 takes any that is free. Errors name host and port.
  static Result<ListeningSocket> OnTcp(const std::string& host, uint16_t port);
  // Makes the file with mode 0600. A socket that is there already is replaced if nobody listens on it any
  // more; anything else there is kInvalidArgument, and so is a path that is too long for a socket. Errors
  // name the path.
  static Result<ListeningSocket> OnPath(const std::string& path);

  ListeningSocket(ListeningSocket&& other) noexcept;
  ListeningSocket& operator=(ListeningSocket&&) = delete;
  ~ListeningSocket();

  int descriptor() const { return descriptor_.get(); }
  uint16_t port() const { return port_; }  // 0 on a path
  bool is_tcp() const { return path_.empty(); }

 private:
  explicit ListeningSocket(int descriptor) : descriptor_(descriptor) {}

  OwnedDescriptor descriptor_;
  uint16_t port_ = 0;
  std::string path_;  // of the file that is ours to remove
  dev_t device_ = 0;  // and which file that is: another server may have replaced it
  ino_t inode_ = 0;
};

}  // namespace qwen25
