#include "serve/http/listening_socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

namespace qwen25 {
namespace {

// Connections that wait to be accepted; the system has a limit of its own (net.core.somaxconn).
constexpr int kBacklog = 1024;

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Result<AddressList> Resolve(const std::string& host, uint16_t port) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (error != 0) {
    return InvalidArgument("cannot listen on host \"{}\": {}; expected an address or name of this machine",
                           host, ::gai_strerror(error));
  }
  return AddressList(list, ::freeaddrinfo);
}

uint16_t PortOf(int descriptor) {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

// Whether a server answers at that Unix socket. Errors of connect() other than a refusal count as a server:
// what is not known to be dead is not replaced.
Result<bool> IsServed(const sockaddr_un& address, const std::string& path) {
  const OwnedDescriptor client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (client.get() < 0) return ErrnoStatus(errno, "make a socket", path);
  const int result = ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  return result == 0 || error != ECONNREFUSED;
}

// Makes room for a new socket at that path.
Status RemoveStaleSocket(const sockaddr_un& address, const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? Status() : ErrnoStatus(errno, "look up the Unix socket", path);
  }
  if (!S_ISSOCK(info.st_mode)) {
    return InvalidArgument("{}: is there already and is no socket; choose another path for the Unix socket",
                           path);
  }
  QWEN25_TRY(const bool is_served, IsServed(address, path));
  if (is_served) {
    return Status(
        StatusCode::kResourceExhausted,
        fmt::format("{}: another server listens on this Unix socket; end it or choose another path", path));
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return ErrnoStatus(errno, "replace the Unix socket", path);
  return {};
}

}  // namespace

ListeningSocket::ListeningSocket(ListeningSocket&& other) noexcept
    : descriptor_(std::move(other.descriptor_)),
      port_(other.port_),
      path_(std::exchange(other.path_, {})),
      device_(other.device_),
      inode_(other.inode_) {}

ListeningSocket::~ListeningSocket() {
  struct stat info;
  if (!path_.empty() && ::lstat(path_.c_str(), &info) == 0 && info.st_dev == device_ &&
      info.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
}

Result<ListeningSocket> ListeningSocket::OnTcp(const std::string& host, uint16_t port) {
  QWEN25_TRY(const AddressList addresses, Resolve(host, port));
  int error = 0;
  for (const addrinfo* address = addresses.get(); address != nullptr; address = address->ai_next) {
    ListeningSocket made(::socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    if (made.descriptor() >= 0 &&
        ::setsockopt(made.descriptor(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        ::bind(made.descriptor(), address->ai_addr, address->ai_addrlen) == 0 &&
        ::listen(made.descriptor(), kBacklog) == 0) {
      made.port_ = PortOf(made.descriptor());
      return made;
    }
    error = errno;
  }
  return ErrnoStatus(error, "listen", fmt::format("{} port {}", host, port));
}

Result<ListeningSocket> ListeningSocket::OnPath(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path || path.find('\0') != std::string::npos) {
    return InvalidArgument(
        "{}: the path of a Unix socket has {} bytes, at most {} are possible and none may be 0", path,
        path.size(), sizeof address.sun_path - 1);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  QWEN25_RETURN_IF_ERROR(RemoveStaleSocket(address, path));
  ListeningSocket made(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (made.descriptor() < 0) return ErrnoStatus(errno, "make a socket", path);
  // Linux gives the file the mode of its socket, so that it is never open to others, not even for a moment.
  if (::fchmod(made.descriptor(), S_IRUSR | S_IWUSR) != 0 ||
      ::bind(made.descriptor(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return ErrnoStatus(errno, "make the Unix socket", path);
  }
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) return ErrnoStatus(errno, "look up the Unix socket", path);
  made.path_ = path;
  made.device_ = info.st_dev;
  made.inode_ = info.st_ino;
  if ((info.st_mode & 0777) != (S_IRUSR | S_IWUSR) && ::chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0) {
    return ErrnoStatus(errno, "close the Unix socket to others", path);
  }
  if (::listen(made.descriptor(), kBacklog) != 0)
    return ErrnoStatus(errno, "listen on the Unix socket", path);
  return made;
}

}  // namespace qwen25
