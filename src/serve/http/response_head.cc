#include "serve/http/response_head.h"

#include <ctime>

namespace qwen25 {
namespace {

// The time as HTTP writes it: "Sun, 06 Nov 1994 08:49:37 GMT", whatever the locale.
std::string DateNow() {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  std::tm time;
  ::gmtime_r(&now, &time);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[time.tm_wday], time.tm_mday,
                     kMonths[time.tm_mon], time.tm_year + 1900, time.tm_hour, time.tm_min, time.tm_sec);
}

Status CheckHeader(const HttpHeaders::Header& header) {
  if (header.name.empty()) return InvalidArgument("a header of the answer has no name");
  for (const char c : header.name) {
    const bool is_letter = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (!is_letter && c != '-' && c != '_') {
      return InvalidArgument(
          "a header of the answer has a name with a character other than A-Z, 0-9, - and _");
    }
  }
  for (const char* name : {"Content-Length", "Transfer-Encoding", "Connection", "Date"}) {
    if (EqualsIgnoringCase(header.name, name)) {
      return InvalidArgument("the answer sets the header {}, which is the server's to set", name);
    }
  }
  for (const char c : header.value) {
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) {
      return InvalidArgument("the header {} of the answer holds a control character", header.name);
    }
  }
  return {};
}

}  // namespace

Result<std::string> WriteResponseHead(const ResponseHead& head, const HttpHeaders& headers) {
  if (head.status < 200 || head.status > 599) {
    return InvalidArgument("the answer has status {}, expected 200 to 599", head.status);
  }
  std::string text = fmt::format("HTTP/1.1 {} {}\r\n", head.status, HttpStatusPhrase(head.status));
  for (const HttpHeaders::Header& header : headers) {
    QWEN25_RETURN_IF_ERROR(CheckHeader(header));
    text += header.name + ": " + header.value + "\r\n";
  }
  text += "Date: " + DateNow() + "\r\n";
  if (!IsWithoutBody(head.status)) {
    if (head.framing == BodyFraming::kLength) text += fmt::format("Content-Length: {}\r\n", head.body_bytes);
    if (head.framing == BodyFraming::kChunked) text += "Transfer-Encoding: chunked\r\n";
  }
  if (!head.keep_alive) {
    text += "Connection: close\r\n";
  } else if (head.to_http_1_0) {
    text += "Connection: keep-alive\r\n";
  }
  return text + "\r\n";
}

}  // namespace qwen25
