#include "pretrained/hub/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstring>

namespace qwen25 {
namespace {

constexpr int kMaxRedirects = 10;
constexpr size_t kMaxHeaders = 256;
constexpr size_t kErrorBytes = size_t{1} << 16;  // of a body that only explains an error
// A connection that has brought less than this many bytes a second for so long is dead.
constexpr long kSlowBytes = 64, kSlowSeconds = 30, kConnectSeconds = 20;

struct UrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using UrlHandle = std::unique_ptr<CURLU, UrlDeleter>;

UrlHandle ParseUrl(const std::string& text) {
  UrlHandle url(curl_url());
  if (!url || curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) return nullptr;
  return url;
}

std::string Part(const UrlHandle& url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url.get(), part, &text, flags) != CURLUE_OK) return "";
  std::string copy(text);
  curl_free(text);
  return copy;
}

// "host" or "host:port", for messages: signed addresses hold secrets.
std::string HostOf(const std::string& text) {
  const UrlHandle url = ParseUrl(text);
  if (!url) return text;
  const std::string port = Part(url, CURLUPART_PORT);
  return Part(url, CURLUPART_HOST) + (port.empty() ? "" : ":" + port);
}

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool MayPass(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return true;
    default:
      return false;
  }
}

}  // namespace

struct HttpClient::Handle {
  CURL* curl = nullptr;
  ~Handle() {
    if (curl != nullptr) curl_easy_cleanup(curl);
  }
};

// One request, without what it is redirected to.
struct HttpClient::Transfer {
  const HttpSink* sink;
  size_t max_bytes;
  const std::function<bool()>* cancelled;
  HttpResult result = {};
  bool started = false;

  bool to_sink() const {
    return sink != nullptr && (result.response.status == 200 || result.response.status == 206);
  }

  // The headers are complete when the body begins, or when the transfer ends without one.
  bool Start() {
    if (started) return true;
    started = true;
    if (to_sink()) result.status = sink->start(result.response);
    return result.status.ok();
  }

  bool Take(std::span<const std::byte> bytes) {
    if (!Start()) return false;
    if (to_sink()) {
      result.status = sink->bytes(bytes);
      return result.status.ok();
    }
    // The first bytes of an error's body are enough.
    const bool is_error = result.response.status >= 300;
    const size_t limit = is_error ? kErrorBytes : max_bytes;
    const size_t room = limit - std::min(limit, result.body.size());
    if (bytes.size() > room && !is_error) {
      result.status = Corrupt("{}: the answer is longer than {} bytes", HostOf(result.response.url), limit);
      return false;
    }
    result.body.append(reinterpret_cast<const char*>(bytes.data()), std::min(room, bytes.size()));
    return true;
  }

  void TakeHeader(std::string_view line) {
    FetchResponse& response = result.response;
    if (line.starts_with("HTTP/")) {  // of an answer that follows "100 Continue" or a proxy's
      response.headers.clear();
      const size_t space = line.find(' ');
      response.status = 0;
      for (size_t i = space + 1; space != line.npos && i < line.size() && i < space + 4; ++i) {
        response.status = response.status * 10 + (line[i] - '0');
      }
      return;
    }
    const size_t colon = line.find(':');
    if (colon == line.npos || response.headers.size() >= kMaxHeaders) return;
    std::string name(line.substr(0, colon));
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
    while (!value.empty() && static_cast<unsigned char>(value.back()) <= ' ') value.remove_suffix(1);
    response.headers[name] = value;
  }
};

const std::string& FetchResponse::Header(const std::string& name) const {
  static const std::string kNone;
  const auto found = headers.find(name);
  return found == headers.end() ? kNone : found->second;
}

bool InitializeCurl() {
  static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
  return initialized == CURLE_OK;
}

HttpClient::HttpClient(std::function<bool()> cancelled)
    : handle_(std::make_unique<Handle>()), cancelled_(std::move(cancelled)) {
  if (InitializeCurl()) handle_->curl = curl_easy_init();
}

HttpClient::~HttpClient() = default;

void HttpClient::Perform(Transfer& transfer, const FetchRequest& request, bool send_token) {
  CURL* curl = handle_->curl;
  curl_easy_reset(curl);  // keeps connections
  curl_slist* headers = curl_slist_append(nullptr, "Accept-Encoding: identity");
  if (send_token) headers = curl_slist_append(headers, ("Authorization: Bearer " + request.token).c_str());
  const std::string range = fmt::format("{}-", request.offset);
  if (request.offset > 0) curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  char reason[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "qwen25");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, kSlowBytes);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kSlowSeconds);
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 1L << 18);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
  curl_easy_setopt(
      curl, CURLOPT_XFERINFOFUNCTION, +[](void* data, curl_off_t, curl_off_t, curl_off_t, curl_off_t) -> int {
        return (*static_cast<Transfer*>(data)->cancelled)() ? 1 : 0;
      });
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(
      curl, CURLOPT_HEADERFUNCTION, +[](char* text, size_t, size_t size, void* data) -> size_t {
        static_cast<Transfer*>(data)->TakeHeader({text, size});
        return size;
      });
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(
      curl, CURLOPT_WRITEFUNCTION, +[](char* text, size_t, size_t size, void* data) -> size_t {
        return static_cast<Transfer*>(data)->Take(std::as_bytes(std::span(text, size))) ? size : 0;
      });
  const CURLcode code = curl_easy_perform(curl);
  curl_slist_free_all(headers);
  HttpResult& result = transfer.result;
  curl_off_t wait = 0;
  if (curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &wait) == CURLE_OK && wait > 0) {
    result.response.retry_after = static_cast<double>(wait);
  }
  if (code == CURLE_OK) {
    transfer.Start();
  } else if (code == CURLE_ABORTED_BY_CALLBACK) {
    result.status = Cancelled("stopped");
  } else if (result.status.ok()) {  // else the sink's
    result.may_pass = MayPass(code);
    result.status = Status(StatusCode::kIo, fmt::format("{}: {}", HostOf(request.url),
                                                        *reason != '\0' ? reason : curl_easy_strerror(code)));
  }
}

HttpResult HttpClient::Follow(const FetchRequest& request, const HttpSink* sink, size_t max_bytes) {
  if (handle_->curl == nullptr) {
    HttpResult failed;
    failed.status = ResourceExhausted("libcurl does not start: is there enough memory?");
    return failed;
  }
  FetchRequest current = request;
  for (int redirects = 0;; ++redirects) {
    Transfer transfer{sink, max_bytes, &cancelled_};
    transfer.result.response.url = current.url;
    Perform(transfer, current, !request.token.empty() && IsSameOrigin(request.url, current.url));
    HttpResult& result = transfer.result;
    const std::string location = result.response.Header("location");
    if (!result.status.ok() || !IsRedirect(result.response.status) || location.empty()) return result;
    const Result<std::string> next = ResolveUrl(current.url, location);
    if (!next.ok()) {
      result.status = next.status();
    } else if (current.url.starts_with("https:") && !next->starts_with("https:")) {
      result.status = InvalidArgument("{}: redirects to {} without encryption, which is not followed",
                                      HostOf(current.url), HostOf(*next));
    } else if (redirects == kMaxRedirects) {
      result.status = InvalidArgument("{}: more than {} redirects", HostOf(request.url), kMaxRedirects);
    }
    if (!result.status.ok()) return result;
    current.url = *next;
  }
}

HttpResult HttpClient::Get(const FetchRequest& request, size_t max_bytes) {
  return Follow(request, nullptr, max_bytes);
}

HttpResult HttpClient::Download(const FetchRequest& request, const HttpSink& sink) {
  return Follow(request, &sink, kErrorBytes);
}

std::string PercentEncoded(std::string_view text, bool keep_slashes) {
  std::string encoded;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                       (c != '\0' && std::strchr("-._~", c) != nullptr) || (keep_slashes && c == '/');
    if (plain) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

Result<std::string> ResolveUrl(const std::string& url, const std::string& location) {
  const UrlHandle handle = ParseUrl(url);
  if (!handle || curl_url_set(handle.get(), CURLUPART_URL, location.c_str(), 0) != CURLUE_OK) {
    return InvalidArgument("{}: redirects to \"{}\", which is no address", HostOf(url), location);
  }
  const std::string scheme = Part(handle, CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") {
    return InvalidArgument("{}: redirects to {}; only http and https are followed", HostOf(url), scheme);
  }
  return Part(handle, CURLUPART_URL);
}

bool IsSameOrigin(const std::string& a, const std::string& b) {
  const UrlHandle first = ParseUrl(a), second = ParseUrl(b);
  if (!first || !second) return false;
  const auto lower = [](std::string text) {
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
  };
  return Part(first, CURLUPART_SCHEME) == Part(second, CURLUPART_SCHEME) &&
         lower(Part(first, CURLUPART_HOST)) == lower(Part(second, CURLUPART_HOST)) &&
         Part(first, CURLUPART_PORT, CURLU_DEFAULT_PORT) == Part(second, CURLUPART_PORT, CURLU_DEFAULT_PORT);
}

std::string NextLink(std::string_view link_header) {
  // <https://...>; rel="next", <https://...>; rel="last"
  for (size_t open = link_header.find('<'); open != link_header.npos;
       open = link_header.find('<', open + 1)) {
    const size_t close = link_header.find('>', open);
    if (close == link_header.npos) break;
    const size_t end = std::min(link_header.find('<', close), link_header.size());
    const std::string_view parameters = link_header.substr(close, end - close);
    if (parameters.find("rel=\"next\"") != parameters.npos ||
        parameters.find("rel=next") != parameters.npos) {
      return std::string(link_header.substr(open + 1, close - open - 1));
    }
  }
  return "";
}

}  // namespace qwen25
