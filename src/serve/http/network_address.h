#pragma once

#include <sys/socket.h>

#include <string>

namespace qwen25 {

// Whether `host`, an IP address or a name, means this machine alone: 127.0.0.0/8, ::1 (also in brackets), and
// the name "localhost". Names are not looked up: any other one is not, whatever it leads to. An empty host
// and "0.0.0.0" stand for all addresses, so they are not either.
bool IsLoopbackHost(const std::string& host);

// The IP address in text, without its port; an IPv4 address that comes as IPv6 (::ffff:1.2.3.4) in the form
// of IPv4. "unix" for an address of a Unix socket.
std::string AddressText(const sockaddr_storage& address);

}  // namespace qwen25
