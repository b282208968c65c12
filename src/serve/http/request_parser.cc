#include "serve/http/request_parser.h"

#include <fmt/format.h>

#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/http/parser.hpp>

namespace qwen25 {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

// A body that grows with what arrives. Beast's string_body sets aside as much as the client announces.
struct GrowingBody {
  using value_type = std::string;

  class reader {
   public:
    template <bool is_request, typename Fields>
    reader(http::header<is_request, Fields>&, value_type& body) : body_(body) {}

    void init(const boost::optional<uint64_t>&, error_code& error) { error = {}; }
    template <typename Buffers>
    size_t put(const Buffers& buffers, error_code& error) {
      error = {};
      const size_t before = body_.size();
      for (const boost::asio::const_buffer buffer : boost::beast::buffers_range_ref(buffers)) {
        body_.append(static_cast<const char*>(buffer.data()), buffer.size());
      }
      return body_.size() - before;
    }
    void finish(error_code& error) { error = {}; }

   private:
    value_type& body_;
  };
};

// A chunk of one byte comes with six bytes around it ("1\r\n" before, "\r\n" behind, and some zeros are
// allowed). More than this for each byte of content is there to keep the server busy.
constexpr size_t kMaxFramingPerByte = 16;
// The end of a chunked body, "0\r\n\r\n". Every chunked body that is not complete has at least so many bytes
// to come; Beast's parser must not be called with fewer of them.
constexpr size_t kLastChunkBytes = 5;

bool HasLineFeedAlone(std::string_view text) {
  for (size_t i = text.find('\n'); i != std::string_view::npos; i = text.find('\n', i + 1)) {
    if (i == 0 || text[i - 1] != '\r') return true;
  }
  return false;
}

std::string Text(const boost::beast::string_view& text) {
  return std::string(text.data(), text.size());
}

}  // namespace

class RequestParser::Body : public http::request_parser<GrowingBody> {};

RequestParser::RequestParser(const HttpRequestLimits& limits) : limits_(limits), head_(limits) {}
RequestParser::~RequestParser() = default;

size_t RequestParser::Parse(std::string_view input) {
  size_t taken = 0;
  if (state_ == State::kHead) taken = ParseHead(input);
  if (state_ == State::kBody) taken += ParseBody(input.substr(taken));
  return taken;
}

void RequestParser::Fail(ProtocolError error) {
  error_ = std::move(error);
  state_ = State::kFailed;
}

size_t RequestParser::ParseHead(std::string_view input) {
  // RFC 9112, 2.2: an empty line before a request is skipped; some clients send one after a body.
  if (!skipped_line_) {
    if (input.empty() || input == "\r") return 0;
    skipped_line_ = true;
    if (input.substr(0, 2) == "\r\n") return 2 + ParseHead(input.substr(2));
  }
  if (std::optional<ProtocolError> error = head_.Check(input)) {
    Fail(*std::move(error));
    return 0;
  }
  if (head_.head_bytes() == 0) return 0;

  parser_ = std::make_unique<Body>();
  parser_->header_limit(static_cast<uint32_t>(limits_.max_header_bytes));
  parser_->body_limit(limits_.max_body_bytes);
  error_code error;
  const size_t taken = parser_->put(boost::asio::const_buffer(input.data(), head_.head_bytes()), error);
  if (error || taken != head_.head_bytes() || parser_->chunked() != head_.is_chunked()) {
    Fail({400, fmt::format("the request line or a header is malformed: {}", error.message())});
    return 0;
  }
  TakeHead();
  state_ = parser_->is_done() ? State::kDone : State::kBody;
  return taken;
}

void RequestParser::TakeHead() {
  const auto& message = parser_->get();
  keep_alive_ = parser_->keep_alive();
  is_http_1_0_ = message.version() == 10;
  request_.method = Text(message.method_string());
  std::string target = Text(message.target());
  if (const size_t scheme = target.find("://"); target.front() != '/' && scheme != std::string::npos) {
    const size_t path = target.find_first_of("/?", scheme + 3);
    target = path == std::string::npos ? "/" : target.substr(path);
    if (target.front() == '?') target.insert(0, "/");
  }
  const size_t question = target.find('?');
  request_.path = target.substr(0, question);
  if (question != std::string::npos) request_.query = target.substr(question + 1);
  for (const auto& field : message) request_.headers.Add(Text(field.name_string()), Text(field.value()));
}

// Beast takes one piece for each call: a part of the content, or a line of framing (the last one with the
// trailers behind it). So each line is looked at alone, and the outcome does not depend on how the bytes
// arrived.
size_t RequestParser::ParseBody(std::string_view input) {
  size_t taken = 0;
  while (!parser_->is_done()) {
    const std::string_view rest = input.substr(taken);
    if (rest.empty() || (head_.is_chunked() && rest.size() < kLastChunkBytes)) break;
    const size_t body_bytes = parser_->get().body().size();
    error_code error;
    const size_t count = parser_->put(boost::asio::const_buffer(rest.data(), rest.size()), error);
    taken += count;
    const bool is_incomplete = error == http::error::need_more;
    const bool is_framing = parser_->get().body().size() == body_bytes;
    if (error == http::error::body_limit) {
      Fail({413, fmt::format("the body has more than {} bytes, the most that are accepted",
                             limits_.max_body_bytes)});
    } else if (error && !is_incomplete) {
      Fail({400,
            fmt::format("the chunked body is malformed after {} bytes: {}", body_bytes, error.message())});
    } else if (is_framing) {
      CheckFraming(is_incomplete ? rest : rest.substr(0, count), is_incomplete);
    }
    if (state_ == State::kFailed) return taken;
    if (is_incomplete) break;
  }
  if (parser_->is_done()) {
    request_.body = std::move(parser_->get().body());
    state_ = State::kDone;
  }
  return taken;
}

// Checks what Beast lets pass: line feeds alone, lines without end, more framing than content, and extensions
// with quoted values. In these Beast looks for the closing quote beyond the end of the line.
void RequestParser::CheckFraming(std::string_view line, bool is_incomplete) {
  const size_t body_bytes = parser_->get().body().size();
  if (!is_incomplete) framing_bytes_ += line.size();
  const size_t size_at = line.substr(0, 2) == "\r\n" ? 2 : 0;  // behind the end of the chunk before
  if (HasLineFeedAlone(line)) {
    Fail({400, fmt::format("the chunked body is malformed after {} bytes: a line feed alone, expected CR LF",
                           body_bytes)});
  } else if (line.substr(size_at, line.find('\r', size_at) - size_at).find('"') != std::string_view::npos) {
    Fail({400,
          fmt::format("the chunked body has a chunk extension with a quoted value after {} bytes, which this "
                      "server does not read",
                      body_bytes)});
  } else if (line.size() > limits_.max_header_bytes ||
             framing_bytes_ > limits_.max_header_bytes + kMaxFramingPerByte * body_bytes) {
    Fail({400, fmt::format("the chunked body has more framing than content after {} bytes", body_bytes)});
  }
}

}  // namespace qwen25
