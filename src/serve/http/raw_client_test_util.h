// A client that sends exactly the bytes it is given, for tests of the server.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "serve/http/http_message.h"

namespace qwen25 {

// Every wait of a test ends here, and then the test fails; sanitizers on a busy machine are slow.
inline constexpr std::chrono::seconds kTestPatience{30};

struct RawResponse {
  int status = 0;  // 0: no whole answer came
  HttpHeaders headers;
  std::string body;

  // Empty if there is none.
  std::string Header(std::string_view name) const {
    const std::string* value = headers.Find(name);
    return value == nullptr ? "" : *value;
  }
};

class RawClient {
 public:
  explicit RawClient(uint16_t port) : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    Connect(port);
  }
  explicit RawClient(const std::string& path)
      : descriptor_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    is_connected_ = ::connect(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  // Takes a socket that is not connected yet.
  static RawClient FromSocket(int descriptor) { return RawClient(descriptor, 0); }
  RawClient(RawClient&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)),
        is_connected_(other.is_connected_),
        received_(std::move(other.received_)) {}
  ~RawClient() { Close(); }

  void Connect(uint16_t port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    is_connected_ = ::connect(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  bool is_connected() const { return is_connected_; }
  int descriptor() const { return descriptor_; }

  // Returns whether the system took all of it; false once the server has closed the connection.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(count));
    }
    return true;
  }
  void CloseSending() { ::shutdown(descriptor_, SHUT_WR); }
  void Close() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }
  // Ends the connection with RST.
  void Reset() {
    const linger abort = {.l_onoff = 1, .l_linger = 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    Close();
  }
  // Makes the system keep little of what the server sends. For before Connect().
  static void KeepLittle(int descriptor) {
    const int bytes = 4096;
    ::setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  }

  // Waits for bytes. False at the end of the connection, with the error number of it, and when patience is
  // over.
  bool Receive() {
    pollfd waiting = {.fd = descriptor_, .events = POLLIN, .revents = 0};
    const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(kTestPatience).count();
    if (::poll(&waiting, 1, static_cast<int>(patience)) <= 0) return false;
    char buffer[65536];
    const ssize_t count = ::recv(descriptor_, buffer, sizeof buffer, 0);
    error_ = count < 0 ? errno : 0;
    has_ended_ = count <= 0;
    if (count > 0) received_.append(buffer, static_cast<size_t>(count));
    return count > 0;
  }
  bool ReceiveUntil(std::string_view text) {
    while (received_.find(text) == std::string::npos) {
      if (!Receive()) return false;
    }
    return true;
  }
  // All that still comes; whether the connection came to an end at all.
  bool ReceiveToEnd() {
    while (Receive()) {
    }
    return has_ended_;
  }
  bool was_reset() const { return error_ == ECONNRESET; }
  // What has been received and not taken by ReadResponse().
  const std::string& received() const { return received_; }

  // Reads one answer; `to_head` says that it has no body, whatever its headers say.
  RawResponse ReadResponse(bool to_head = false) {
    RawResponse response;
    if (!ReceiveUntil("\r\n\r\n")) return response;
    const size_t head_bytes = received_.find("\r\n\r\n") + 4;
    const std::string head = received_.substr(0, head_bytes);
    received_.erase(0, head_bytes);
    std::from_chars(head.data() + 9, head.data() + 12, response.status);
    for (size_t at = head.find("\r\n") + 2; at + 2 < head.size();) {
      const size_t end = head.find("\r\n", at), colon = head.find(": ", at);
      response.headers.Add(head.substr(at, colon - at), head.substr(colon + 2, end - colon - 2));
      at = end + 2;
    }
    if (!to_head && response.status >= 200 && !ReadBody(response)) response.status = 0;
    return response;
  }
  RawResponse Exchange(std::string_view request) {
    Send(request);
    return ReadResponse();
  }

 private:
  RawClient(int descriptor, int) : descriptor_(descriptor) {}

  bool ReadBody(RawResponse& response) {
    if (const std::string* length = response.headers.Find("Content-Length")) {
      return Take(std::stoul(*length), response.body);
    }
    if (response.headers.Find("Transfer-Encoding") == nullptr) {
      if (response.status == 204 || response.status == 304) return true;
      const bool has_ended = ReceiveToEnd() && error_ == 0;
      response.body = std::exchange(received_, {});
      return has_ended;
    }
    while (true) {
      if (!ReceiveUntil("\r\n")) return false;
      const size_t size = std::stoul(received_, nullptr, 16);
      received_.erase(0, received_.find("\r\n") + 2);
      std::string chunk;
      if (!Take(size + 2, chunk)) return false;
      if (size == 0) return true;
      response.body += chunk.substr(0, size);
    }
  }
  bool Take(size_t num_bytes, std::string& bytes) {
    while (received_.size() < num_bytes) {
      if (!Receive()) return false;
    }
    bytes = received_.substr(0, num_bytes);
    received_.erase(0, num_bytes);
    return true;
  }

  int descriptor_;
  bool is_connected_ = false, has_ended_ = false;
  int error_ = 0;
  std::string received_;
};

}  // namespace qwen25
