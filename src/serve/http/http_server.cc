#include "serve/http/http_server.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/stop_signals.h"
#include "serve/http/connection_table.h"
#include "serve/http/http_connection.h"
#include "serve/http/listening_socket.h"
#include "serve/http/network_address.h"
#include "serve/http/tls_context.h"

namespace qwen25 {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

// How long no connection is accepted after the system had no descriptor or memory for one. It waits
// meanwhile.
constexpr std::chrono::milliseconds kAcceptPause{50};

// Connections accepted in a row, before those that are open get their turn.
constexpr int kMaxAccepted = 64;

constexpr size_t kMinHeaderBytes = 256, kMaxHeaderBytes = size_t{16} << 20;
constexpr size_t kMaxServerThreads = 64;

Status CheckOptions(const HttpServerOptions& options) {
  if (options.host.empty() && options.unix_socket.empty()) {
    return InvalidArgument(
        "the server has neither a host nor a Unix socket to listen on; expected at least one");
  }
  if (options.tls_certificate_file.empty() != options.tls_key_file.empty()) {
    return InvalidArgument(
        "a TLS certificate file and a key file are given together or not at all; the {} is missing",
        options.tls_key_file.empty() ? "key file" : "certificate file");
  }
  if (options.host.empty() && !options.tls_certificate_file.empty()) {
    return InvalidArgument("TLS applies to TCP, and the server has no host to listen on");
  }
  if (options.max_connections == 0) return InvalidArgument("max_connections is 0, expected at least 1");
  if (options.max_headers == 0) return InvalidArgument("max_headers is 0, expected at least 1");
  if (options.max_header_bytes < kMinHeaderBytes || options.max_header_bytes > kMaxHeaderBytes) {
    return InvalidArgument("max_header_bytes is {}, expected {} to {}", options.max_header_bytes,
                           kMinHeaderBytes, kMaxHeaderBytes);
  }
  if (options.num_threads == 0 || options.num_threads > kMaxServerThreads) {
    return InvalidArgument("num_threads is {}, expected 1 to {}", options.num_threads, kMaxServerThreads);
  }
  const std::pair<const char*, std::chrono::milliseconds> limits[] = {
      {"header_time_limit", options.header_time_limit},
      {"body_time_limit", options.body_time_limit},
      {"idle_time_limit", options.idle_time_limit},
      {"write_time_limit", options.write_time_limit}};
  for (const auto& [name, limit] : limits) {
    if (limit.count() <= 0) return InvalidArgument("{} is {} ms, expected more than 0", name, limit.count());
  }
  return {};
}

}  // namespace

class HttpServer::Core {
 public:
  Core(HttpServerOptions options, HttpHandler handler);
  ~Core() { Drain(std::chrono::milliseconds(0)); }

  Status Open();
  size_t Drain(std::chrono::milliseconds limit);
  Status ReloadCertificates();
  HttpServerCounters Counters() const;
  uint16_t port() const { return port_; }

 private:
  // Accepts connections from one socket until Close().
  struct Listener {
    Listener(asio::io_context& io, ListeningSocket listening)
        : is_tcp(listening.is_tcp()),
          socket(std::move(listening)),
          strand(asio::make_strand(io)),
          readable(strand),
          pause(strand) {}

    const bool is_tcp;
    std::optional<ListeningSocket> socket;  // none after Close(), which happens on the strand
    asio::strand<asio::io_context::executor_type> strand;
    asio::posix::stream_descriptor
        readable;  // a second descriptor of the socket, to wait for connections with
    asio::steady_timer pause;
  };

  Status Listen(Result<ListeningSocket> socket);
  asio::awaitable<void> AcceptOn(Listener& listener);
  // Returns false if the system has no means for a further connection now.
  bool AcceptWaiting(const Listener& listener);
  void Close(Listener& listener);
  TlsContext tls() const;
  void StartThreads();

  const std::shared_ptr<ConnectionSetting> setting_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  uint16_t port_ = 0;
  std::atomic<uint64_t> num_accept_errors_{0};

  mutable std::mutex tls_mutex_;
  TlsContext tls_;

  std::mutex draining_;  // held while one thread drains; another one waits for it
  std::vector<std::thread> threads_;
};

HttpServer::Core::Core(HttpServerOptions options, HttpHandler handler)
    : setting_(std::make_shared<ConnectionSetting>()) {
  setting_->io = std::make_shared<asio::io_context>(static_cast<int>(options.num_threads));
  setting_->table =
      std::make_shared<ConnectionTable>(options.max_connections, options.max_connections_per_peer);
  setting_->handler = std::move(handler);
  setting_->options = std::make_shared<const HttpServerOptions>(std::move(options));
}

Status HttpServer::Core::Open() {
  const HttpServerOptions& options = *setting_->options;
  if (!options.tls_certificate_file.empty()) {
    QWEN25_TRY(tls_, LoadTlsContext(options.tls_certificate_file, options.tls_key_file));
  }
  if (!options.host.empty())
    QWEN25_RETURN_IF_ERROR(Listen(ListeningSocket::OnTcp(options.host, options.port)));
  if (!options.unix_socket.empty())
    QWEN25_RETURN_IF_ERROR(Listen(ListeningSocket::OnPath(options.unix_socket)));
  StartThreads();
  return {};
}

Status HttpServer::Core::Listen(Result<ListeningSocket> opened) {
  QWEN25_TRY(ListeningSocket socket, std::move(opened));
  if (socket.is_tcp()) port_ = socket.port();
  auto listener = std::make_unique<Listener>(*setting_->io, std::move(socket));
  const int second = ::fcntl(listener->socket->descriptor(), F_DUPFD_CLOEXEC, 0);
  if (second < 0) return ErrnoStatus(errno, "listen", "the server's socket");
  error_code error;
  listener->readable.assign(second, error);
  if (error) {
    ::close(second);
    return ErrnoStatus(error.value(), "listen", "the server's socket");
  }
  listeners_.push_back(std::move(listener));
  return {};
}

void HttpServer::Core::StartThreads() {
  for (const auto& listener : listeners_) {
    asio::co_spawn(listener->strand, AcceptOn(*listener), asio::detached);
  }
  const StopSignalsBlocked blocked;
  for (size_t i = 0; i < setting_->options->num_threads; ++i) {
    threads_.emplace_back([io = setting_->io] { io->run(); });
  }
}

asio::awaitable<void> HttpServer::Core::AcceptOn(Listener& listener) {
  error_code error;
  while (listener.socket) {
    co_await listener.readable.async_wait(asio::posix::stream_descriptor::wait_read,
                                          asio::redirect_error(asio::use_awaitable, error));
    if (!listener.socket || AcceptWaiting(listener)) continue;
    ++num_accept_errors_;
    listener.pause.expires_after(kAcceptPause);
    co_await listener.pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
}

bool HttpServer::Core::AcceptWaiting(const Listener& listener) {
  for (int i = 0; i < kMaxAccepted; ++i) {
    sockaddr_storage address = {};
    socklen_t size = sizeof address;
    OwnedDescriptor accepted(::accept4(listener.socket->descriptor(), reinterpret_cast<sockaddr*>(&address),
                                       &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (accepted.get() < 0) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) return false;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return true;
      continue;  // all others are the fate of one connection that ended while it waited
    }
    if (!listener.is_tcp) address.ss_family = AF_UNIX;  // clients have no address of their own
    try {
      auto place = setting_->table->Enter(AddressText(address));
      if (place == nullptr) continue;
      ServeConnection(setting_, std::move(accepted), std::move(place), listener.is_tcp ? tls() : nullptr);
    } catch (const std::exception&) {
      return false;  // no memory for one more
    }
  }
  return true;
}

void HttpServer::Core::Close(Listener& listener) {
  asio::post(listener.strand, [&listener] {
    error_code ignored;
    listener.pause.cancel();
    listener.readable.close(ignored);
    listener.socket.reset();
  });
}

TlsContext HttpServer::Core::tls() const {
  std::lock_guard lock(tls_mutex_);
  return tls_;
}

Status HttpServer::Core::ReloadCertificates() {
  const HttpServerOptions& options = *setting_->options;
  if (options.tls_certificate_file.empty()) {
    return InvalidArgument("the server has no TLS certificate that could be read again");
  }
  QWEN25_TRY(TlsContext loaded, LoadTlsContext(options.tls_certificate_file, options.tls_key_file));
  std::lock_guard lock(tls_mutex_);
  tls_ = std::move(loaded);
  return {};
}

size_t HttpServer::Core::Drain(std::chrono::milliseconds limit) {
  std::lock_guard lock(draining_);
  if (threads_.empty()) return 0;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (const auto& listener : listeners_) Close(*listener);
  ConnectionTable& table = *setting_->table;
  table.Drain();
  const size_t num_cut = table.WaitUntilEmpty(deadline) ? 0 : table.num_open();
  table.Cut();  // also what was accepted just before the listeners closed
  // The threads end when nothing is left to wait for.
  for (std::thread& thread : threads_) {
    QWEN25_CHECK(thread.get_id() != std::this_thread::get_id());
    thread.join();
  }
  threads_.clear();
  listeners_.clear();
  return num_cut;
}

HttpServerCounters HttpServer::Core::Counters() const {
  const ConnectionTable& table = *setting_->table;
  return {.num_accepted = table.num_accepted(),
          .num_refused = table.num_refused(),
          .num_accept_errors = num_accept_errors_,
          .num_open = table.num_open()};
}

Result<std::unique_ptr<HttpServer>> HttpServer::Start(HttpServerOptions options, HttpHandler handler) {
  QWEN25_CHECK(handler != nullptr && options.format_error != nullptr);
  QWEN25_RETURN_IF_ERROR(CheckOptions(options));
  auto core = std::make_unique<Core>(std::move(options), std::move(handler));
  QWEN25_RETURN_IF_ERROR(core->Open());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(core)));
}

HttpServer::HttpServer(std::unique_ptr<Core> core) : core_(std::move(core)) {}
HttpServer::~HttpServer() = default;

uint16_t HttpServer::port() const {
  return core_->port();
}
size_t HttpServer::Drain(std::chrono::milliseconds limit) {
  return core_->Drain(limit);
}
Status HttpServer::ReloadCertificates() {
  return core_->ReloadCertificates();
}
HttpServerCounters HttpServer::Counters() const {
  return core_->Counters();
}

}  // namespace qwen25
