#include "serve/http/network_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

#include "serve/http/http_message.h"

namespace qwen25 {
namespace {

bool IsLoopback(const in_addr& address) {
  return (ntohl(address.s_addr) >> 24) == 127;
}

in_addr MappedAddress(const in6_addr& address) {
  in_addr mapped;
  std::memcpy(&mapped, address.s6_addr + 12, sizeof mapped);
  return mapped;
}

}  // namespace

bool IsLoopbackHost(const std::string& host) {
  std::string name = host;
  if (name.size() > 2 && name.front() == '[' && name.back() == ']') name = name.substr(1, name.size() - 2);
  in_addr ipv4;
  if (::inet_pton(AF_INET, name.c_str(), &ipv4) == 1) return IsLoopback(ipv4);
  in6_addr ipv6;
  if (::inet_pton(AF_INET6, name.c_str(), &ipv6) == 1) {
    return IN6_IS_ADDR_V4MAPPED(&ipv6) ? IsLoopback(MappedAddress(ipv6)) : IN6_IS_ADDR_LOOPBACK(&ipv6);
  }
  return EqualsIgnoringCase(host, "localhost");
}

std::string AddressText(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& ipv4 = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &ipv4.sin_addr, text, sizeof text);
    return text;
  }
  if (address.ss_family == AF_INET6) {
    const auto& ipv6 = reinterpret_cast<const sockaddr_in6&>(address);
    if (IN6_IS_ADDR_V4MAPPED(&ipv6.sin6_addr)) {
      const in_addr mapped = MappedAddress(ipv6.sin6_addr);
      ::inet_ntop(AF_INET, &mapped, text, sizeof text);
    } else {
      ::inet_ntop(AF_INET6, &ipv6.sin6_addr, text, sizeof text);
    }
    return text;
  }
  return "unix";
}

}  // namespace qwen25
