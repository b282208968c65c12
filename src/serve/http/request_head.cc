#include "serve/http/request_head.h"

#include <fmt/format.h>

#include <charconv>
#include <iterator>

#include "serve/http/http_message.h"

namespace qwen25 {
namespace {

// Headers of which a second one could be read as another answer to the same question.
constexpr std::string_view kOnlyOnce[] = {"Host",   "Content-Length", "Transfer-Encoding", "Content-Type",
                                          "Expect", "Authorization",  "Content-Encoding"};

template <typename... Args>
ProtocolError Refuse(int status, fmt::format_string<Args...> format, Args&&... args) {
  return {status, fmt::format(format, std::forward<Args>(args)...)};
}

bool IsTokenCharacter(char c) {
  if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) return true;
  return c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool IsToken(std::string_view text) {
  for (const char c : text) {
    if (!IsTokenCharacter(c)) return false;
  }
  return !text.empty();
}

std::string_view WithoutBlanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Text of the client as a message can show it: in ASCII, and not much of it.
std::string Shown(std::string_view text) {
  constexpr size_t kMaxShownBytes = 40;
  std::string shown;
  for (const char c : text.substr(0, kMaxShownBytes)) {
    if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
      shown += c;
    } else {
      shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return text.size() > kMaxShownBytes ? shown + "..." : shown;
}

// The host and port of a URL (RFC 3986), roughly: what no program takes for a separator.
bool IsHostAndPort(std::string_view text) {
  for (const char c : text) {
    const bool is_letter = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (!is_letter && std::string_view("-._~%:[]").find(c) == std::string_view::npos) return false;
  }
  return true;
}

}  // namespace

std::optional<ProtocolError> RequestHeadCheck::Check(std::string_view input) {
  for (; head_bytes_ == 0 && seen_ < input.size(); ++seen_) {
    if (seen_ >= limits_.max_header_bytes) {
      if (num_lines_ == 0) {
        return Refuse(414, "the request line is longer than {} bytes, the most this server reads",
                      limits_.max_header_bytes);
      }
      return Refuse(431, "the headers are longer than {} bytes, the most this server reads",
                    limits_.max_header_bytes);
    }
    if (Refusal refusal = CheckByte(input, seen_)) return refusal;
    if (input[seen_] != '\n') continue;
    const std::string_view line = input.substr(line_start_, seen_ - 1 - line_start_);
    line_start_ = seen_ + 1;
    if (line.empty()) {
      head_bytes_ = line_start_;
      return CheckEnd();
    }
    if (Refusal refusal = CheckLine(line)) return refusal;
    ++num_lines_;
  }
  return {};
}

std::optional<ProtocolError> RequestHeadCheck::CheckByte(std::string_view input, size_t at) const {
  const auto byte = static_cast<unsigned char>(input[at]);
  const bool after_return = at > line_start_ && input[at - 1] == '\r';
  if (at == 0 && !IsTokenCharacter(input[0])) {
    if (byte == 0x16)
      return Refuse(400, "this port speaks plain HTTP, and the client began TLS: use http://");
    return Refuse(400, "the request does not begin with a method");
  }
  if (byte == '\n' && !after_return) {
    return Refuse(400, "line {} of the head ends with a line feed alone, expected CR LF", num_lines_ + 1);
  }
  if (byte != '\n' && after_return) {
    return Refuse(400, "line {} of the head holds a carriage return amid the line", num_lines_ + 1);
  }
  if ((byte < 0x20 && byte != '\t' && byte != '\r' && byte != '\n') || byte == 0x7f) {
    return Refuse(400, "line {} of the head holds the control character {:#04x}", num_lines_ + 1, byte);
  }
  return {};
}

std::optional<ProtocolError> RequestHeadCheck::CheckLine(std::string_view line) {
  if (num_lines_ == 0) return CheckRequestLine(line);
  if (num_lines_ > limits_.max_headers) {
    return Refuse(431, "there are more than {} headers, the most this server reads", limits_.max_headers);
  }
  return CheckHeader(line);
}

std::optional<ProtocolError> RequestHeadCheck::CheckRequestLine(std::string_view line) {
  const size_t first = line.find(' '), last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) {
    return Refuse(400, "the request line is \"{}\", expected METHOD TARGET HTTP/1.1", Shown(line));
  }
  const std::string_view method = line.substr(0, first), version = line.substr(last + 1);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  if (!IsToken(method)) return Refuse(400, "the method \"{}\" is not a word", Shown(method));
  const bool has_form = version.size() == 8 && version.substr(0, 5) == "HTTP/" && version[6] == '.' &&
                        version[5] >= '0' && version[5] <= '9' && version[7] >= '0' && version[7] <= '9';
  if (!has_form) return Refuse(400, "the request line ends in \"{}\", expected HTTP/1.1", Shown(version));
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    return Refuse(505, "the request is of {}, this server speaks HTTP/1.1 and HTTP/1.0", version);
  }
  is_http_1_0_ = version == "HTTP/1.0";
  if (method == "CONNECT" || method == "TRACE") {
    return Refuse(501, "the method {} is not supported by this server", method);
  }
  may_have_body_ = method == "POST" || method == "PUT" || method == "PATCH";
  for (const char c : target) {
    if (c <= 0x20 || c >= 0x7f || c == '#') {
      return Refuse(400, "the target \"{}\" holds {}, which must be percent-encoded", Shown(target),
                    c == '#' ? "\"#\"" : "a character outside of printable ASCII");
    }
  }
  if (target.substr(0, 1) == "/" || (target == "*" && method == "OPTIONS")) return {};
  const size_t scheme = target.find("://");
  const bool is_url =
      scheme != std::string_view::npos && (EqualsIgnoringCase(target.substr(0, scheme), "http") ||
                                           EqualsIgnoringCase(target.substr(0, scheme), "https"));
  const std::string_view host =
      is_url ? target.substr(scheme + 3, target.find_first_of("/?", scheme + 3) - scheme - 3)
             : std::string_view();
  if (host.empty() || !IsHostAndPort(host)) {
    return Refuse(400, "the target is \"{}\", expected a path that begins with \"/\"", Shown(target));
  }
  return {};
}

std::optional<ProtocolError> RequestHeadCheck::CheckHeader(std::string_view line) {
  if (line.front() == ' ' || line.front() == '\t') {
    return Refuse(400, "line {} of the head begins with a blank: headers folded over lines are not accepted",
                  num_lines_ + 1);
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) {
    return Refuse(400, "line {} of the head is \"{}\", expected NAME: VALUE", num_lines_ + 1, Shown(line));
  }
  const std::string_view name = line.substr(0, colon), value = WithoutBlanks(line.substr(colon + 1));
  if (!IsToken(name)) {
    return Refuse(400, "line {} of the head: the name \"{}\" is not a word{}", num_lines_ + 1, Shown(name),
                  !name.empty() && name.back() == ' ' ? ", a blank stands before the colon" : "");
  }
  if (Refusal refusal = CheckOnlyOnce(name)) return refusal;
  if (EqualsIgnoringCase(name, "Host")) {
    has_host_ = true;
    if (!IsHostAndPort(value)) return Refuse(400, "Host is \"{}\", expected a name or address", Shown(value));
  }
  if (EqualsIgnoringCase(name, "Content-Length")) return CheckContentLength(value);
  if (EqualsIgnoringCase(name, "Transfer-Encoding")) return CheckTransferEncoding(value);
  if (EqualsIgnoringCase(name, "Expect")) {
    if (!EqualsIgnoringCase(value, "100-continue")) {
      return Refuse(417, "Expect is \"{}\", expected 100-continue", Shown(value));
    }
    expects_continue_ = true;
  }
  return {};
}

std::optional<ProtocolError> RequestHeadCheck::CheckContentLength(std::string_view value) {
  has_length_ = true;
  if (value.empty() || value.find_first_not_of("0123456789") != std::string_view::npos) {
    return Refuse(400, "Content-Length is \"{}\", expected a number of bytes", Shown(value));
  }
  uint64_t length = 0;
  const auto parsed = std::from_chars(value.data(), value.data() + value.size(), length);
  if (parsed.ec != std::errc() || length > limits_.max_body_bytes) {
    return Refuse(413, "the body has {} bytes, at most {} are accepted", Shown(value),
                  limits_.max_body_bytes);
  }
  return {};
}

std::optional<ProtocolError> RequestHeadCheck::CheckTransferEncoding(std::string_view value) {
  if (is_http_1_0_) return Refuse(400, "Transfer-Encoding in a request of HTTP/1.0, which does not have it");
  is_chunked_ = EqualsIgnoringCase(value, "chunked");
  if (is_chunked_) return {};
  const size_t comma = value.rfind(',');
  const bool ends_chunked = comma != std::string_view::npos &&
                            EqualsIgnoringCase(WithoutBlanks(value.substr(comma + 1)), "chunked");
  return Refuse(ends_chunked ? 501 : 400, "Transfer-Encoding is \"{}\", this server reads \"chunked\" alone",
                Shown(value));
}

std::optional<ProtocolError> RequestHeadCheck::CheckOnlyOnce(std::string_view name) {
  for (size_t i = 0; i < std::size(kOnlyOnce); ++i) {
    if (!EqualsIgnoringCase(name, kOnlyOnce[i])) continue;
    const uint32_t bit = uint32_t{1} << i;
    if (once_ & bit) return Refuse(400, "the header {} comes twice, expected once", kOnlyOnce[i]);
    once_ |= bit;
  }
  return {};
}

std::optional<ProtocolError> RequestHeadCheck::CheckEnd() {
  if (num_lines_ == 0) return Refuse(400, "the request has no request line");
  if (has_length_ && is_chunked_) {
    return Refuse(400, "the request has both Content-Length and Transfer-Encoding, expected one of them");
  }
  if (!is_http_1_0_ && !has_host_) return Refuse(400, "the header Host is missing, which HTTP/1.1 requires");
  if (is_http_1_0_) expects_continue_ = false;
  if (is_http_1_0_ && may_have_body_ && !has_length_) {
    return Refuse(411, "the header Content-Length is missing, without which a body of HTTP/1.0 has no end");
  }
  return {};
}

}  // namespace qwen25
