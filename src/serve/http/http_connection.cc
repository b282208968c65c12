#include "serve/http/http_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "serve/http/http_answer.h"
#include "serve/http/request_parser.h"

namespace qwen25 {
namespace {

namespace asio = boost::asio;
using asio::redirect_error;
using asio::use_awaitable;
using boost::system::error_code;
using Socket = asio::generic::stream_protocol::socket;

// Bytes asked for in one read. Beyond the longest head, so many are held for the next request.
constexpr size_t kReadBytes = 8 * 1024;
// How long a connection is kept after its last answer, so that the client can read this before the end of the
// connection takes it away. Bytes that it still sends are dropped.
constexpr std::chrono::milliseconds kLingerTime{2000};

// Wakes the one coroutine that waits. Used within one strand: between a look at the state and Wait() nothing
// can come in between.
class Signal {
 public:
  explicit Signal(const asio::any_io_executor& executor) : timer_(executor) {}

  asio::awaitable<void> Wait() {
    timer_.expires_at(asio::steady_timer::time_point::max());
    error_code ignored;  // it is always "cancelled"
    co_await timer_.async_wait(redirect_error(use_awaitable, ignored));
  }
  void Notify() { timer_.cancel(); }

 private:
  asio::steady_timer timer_;
};

// Tells the system which clients have vanished without a word: one that does not react is gone after 60 s.
void SetSocketOptions(int descriptor) {
  const auto set = [&](int level, int name, int value) {
    ::setsockopt(descriptor, level, name, &value,
                 sizeof value);  // fails for Unix sockets, which need none of it
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);  // a token must not wait for the next one
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
}

HttpRequestLimits LimitsOf(const HttpServerOptions& options) {
  return {.max_header_bytes = options.max_header_bytes,
          .max_headers = options.max_headers,
          .max_body_bytes = options.max_body_bytes};
}

// Two coroutines, both on the connection's strand. One always reads, so that it notices the end of the
// connection whatever the other is doing; what it has read waits in input_. The other takes one request after
// another from there, calls the handler and writes the answer.
class HttpConnection final : public ConnectionControl, public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(std::shared_ptr<const ConnectionSetting> setting,
                 std::unique_ptr<ConnectionTable::Place> place)
      : setting_(std::move(setting)),
        place_(std::move(place)),
        strand_(asio::make_strand(*setting_->io)),
        socket_(strand_),
        deadline_(strand_),
        input_arrived_(strand_),
        input_taken_(strand_),
        answer_changed_(strand_) {}

  void Start(OwnedDescriptor socket, const TlsContext& tls);
  void Drain() override;
  void Cut() override;

 private:
  // What happens when a time limit is over.
  enum class Expiry {
    kNotify,  // the coroutine that waits for input sees is_late_
    kCut,     // the connection ends at once
  };
  // How a connection goes on after a request.
  enum class Next {
    kRequest,
    kEnd,        // with patience, since an answer may still be on its way
    kEndAtOnce,  // nothing was answered
  };
  enum class ReadOutcome {
    kRequest,
    kError,    // to be answered, then the connection ends
    kSilence,  // the connection ends without an answer
  };

  // The coroutines, with what keeps the connection alive for them. Of exceptions, only those for want of
  // memory can reach these; they end the connection.
  static asio::awaitable<void> RunHolding(std::shared_ptr<HttpConnection> self);
  static asio::awaitable<void> ReadHolding(std::shared_ptr<HttpConnection> self);

  asio::awaitable<void> Run();
  asio::awaitable<bool> ShakeHands();
  asio::awaitable<Next> ServeRequest();
  asio::awaitable<ReadOutcome> ReadRequest(RequestParser& parser, ProtocolError& error);
  asio::awaitable<void> AllowBody(const RequestParser& parser);
  asio::awaitable<void> SendError(ProtocolError error, bool to_head_request);
  asio::awaitable<void> WriteAnswer(HttpAnswer& answer);
  asio::awaitable<bool> WriteAll(std::string_view bytes, HttpAnswer* answer);
  asio::awaitable<void> Linger();

  asio::awaitable<void> ReadOn();
  asio::awaitable<size_t> ReadSome(asio::mutable_buffer buffer, error_code& error);
  asio::awaitable<size_t> WriteSome(asio::const_buffer bytes, error_code& error);

  std::shared_ptr<HttpAnswer> MakeAnswer(const AnswerTerms& terms);
  void EnterPhase(const RequestParser& parser, bool is_idle);
  void SetTimeLimit(std::chrono::milliseconds limit, Expiry expiry);
  void ClearTimeLimit();
  void LoseClient();
  void NotifyAll();
  void PostToSelf(void (HttpConnection::*function)());
  void WakeAnswer() { answer_changed_.Notify(); }
  void WakeInput() { input_arrived_.Notify(); }

  const std::shared_ptr<const ConnectionSetting> setting_;
  const std::unique_ptr<ConnectionTable::Place> place_;
  const asio::strand<asio::io_context::executor_type> strand_;

  // All below is used on the strand only.
  Socket socket_;
  std::optional<asio::ssl::stream<Socket&>> tls_;
  asio::steady_timer deadline_;
  uint64_t deadline_number_ = 0;  // of the latest time limit; a call for an older one comes too late
  std::optional<RequestParser::State> phase_;  // whose time limit runs; none between requests
  bool is_late_ = false;
  Signal input_arrived_, input_taken_, answer_changed_;
  std::string input_;         // bytes that no request has taken yet
  bool has_served_ = false;   // a request
  bool input_ended_ = false;  // the client sends no more
  bool is_gone_ = false;      // the connection is over
  bool is_lingering_ = false;
  std::shared_ptr<HttpAnswer> answer_;  // that is being given
};

void HttpConnection::Start(OwnedDescriptor socket, const TlsContext& tls) {
  SetSocketOptions(socket.get());
  // The protocol is used to make and connect sockets only, which does not happen here.
  error_code error;
  socket_.assign(asio::generic::stream_protocol(AF_UNSPEC, 0), socket.get(), error);
  if (error) return;  // the system has no memory to watch it
  socket.Release();
  if (tls != nullptr) {
    ::SSL_CTX_up_ref(tls.get());  // the context below takes one reference over
    asio::ssl::context context(tls.get());
    tls_.emplace(socket_, context);
  }
  setting_->table->Register(*place_, weak_from_this());
  asio::co_spawn(strand_, RunHolding(shared_from_this()), asio::detached);
}

asio::awaitable<void> HttpConnection::RunHolding(std::shared_ptr<HttpConnection> self) {
  try {
    co_await self->Run();
  } catch (...) {
    self->LoseClient();
  }
}

asio::awaitable<void> HttpConnection::ReadHolding(std::shared_ptr<HttpConnection> self) {
  try {
    co_await self->ReadOn();
  } catch (...) {
    self->LoseClient();
  }
}

void HttpConnection::PostToSelf(void (HttpConnection::*function)()) {
  asio::post(strand_, [weak = weak_from_this(), function] {
    if (const auto self = weak.lock()) ((*self).*function)();
  });
}

void HttpConnection::Drain() {
  PostToSelf(&HttpConnection::WakeInput);
}
void HttpConnection::Cut() {
  PostToSelf(&HttpConnection::LoseClient);
}

void HttpConnection::NotifyAll() {
  input_arrived_.Notify();
  input_taken_.Notify();
  answer_changed_.Notify();
}

// Ends the connection at once. Over TCP, the client sees that it was cut and not ended.
void HttpConnection::LoseClient() {
  if (is_gone_) return;
  is_gone_ = true;
  error_code ignored;
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
  ClearTimeLimit();
  NotifyAll();
  if (answer_) answer_->LoseClient();
}

void HttpConnection::SetTimeLimit(std::chrono::milliseconds limit, Expiry expiry) {
  is_late_ = false;
  deadline_.expires_after(limit);
  deadline_.async_wait(
      [weak = weak_from_this(), number = ++deadline_number_, expiry](const error_code& error) {
        const auto self = weak.lock();
        if (error || !self || self->deadline_number_ != number) return;
        if (expiry == Expiry::kCut) return self->LoseClient();
        self->is_late_ = true;
        self->input_arrived_.Notify();
      });
}

void HttpConnection::ClearTimeLimit() {
  ++deadline_number_;
  is_late_ = false;
  deadline_.cancel();
}

asio::awaitable<void> HttpConnection::Run() {
  bool is_ready = !setting_->table->is_cutting();
  if (is_ready && tls_) is_ready = co_await ShakeHands();
  if (is_ready) {
    asio::co_spawn(strand_, ReadHolding(shared_from_this()), asio::detached);
    Next next = Next::kRequest;
    if (!place_->refusal().empty()) {
      ProtocolError error{503, place_->refusal()};
      co_await SendError(std::move(error), false);
      next = Next::kEnd;
    }
    while (next == Next::kRequest) next = co_await ServeRequest();
    if (next == Next::kEnd) co_await Linger();
  }
  ClearTimeLimit();
  is_gone_ = true;
  error_code ignored;
  socket_.close(ignored);
  NotifyAll();
}

asio::awaitable<bool> HttpConnection::ShakeHands() {
  SetTimeLimit(setting_->options->header_time_limit, Expiry::kCut);
  error_code error;
  co_await tls_->async_handshake(asio::ssl::stream_base::server, redirect_error(use_awaitable, error));
  ClearTimeLimit();
  co_return !error && !is_gone_;
}

std::shared_ptr<HttpAnswer> HttpConnection::MakeAnswer(const AnswerTerms& terms) {
  return std::make_shared<HttpAnswer>(terms, setting_->options, setting_->table, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->PostToSelf(&HttpConnection::WakeAnswer);
  });
}

asio::awaitable<HttpConnection::Next> HttpConnection::ServeRequest() {
  RequestParser parser(LimitsOf(*setting_->options));
  ProtocolError error;
  const ReadOutcome outcome = co_await ReadRequest(parser, error);
  ClearTimeLimit();
  if (outcome == ReadOutcome::kSilence) co_return Next::kEndAtOnce;
  if (outcome == ReadOutcome::kError) {
    co_await SendError(std::move(error), parser.is_head_request());
    co_return Next::kEnd;
  }
  has_served_ = true;
  answer_ = MakeAnswer({.to_head_request = parser.is_head_request(),
                        .to_http_1_0 = parser.is_http_1_0(),
                        .keep_alive = parser.keep_alive()});
  HttpRequest request = parser.TakeRequest();
  request.peer = place_->peer();
  try {
    // The handler's reference: with it goes the last one who could answer.
    std::shared_ptr<HttpExchange> exchange(answer_.get(),
                                           [held = answer_](HttpExchange*) { held->Abandon(); });
    setting_->handler(std::move(request), std::move(exchange));
  } catch (const std::exception&) {
    // Its reference is gone, so that the client is told of an error.
  }
  const std::shared_ptr<HttpAnswer> answer = answer_;
  co_await WriteAnswer(*answer);
  answer_.reset();
  const bool goes_on = !is_gone_ && answer->keeps_alive() && !setting_->table->is_draining();
  co_return goes_on ? Next::kRequest : Next::kEnd;
}

asio::awaitable<HttpConnection::ReadOutcome> HttpConnection::ReadRequest(RequestParser& parser,
                                                                         ProtocolError& error) {
  phase_.reset();
  const HttpServerOptions& options = *setting_->options;
  SetTimeLimit(has_served_ ? options.idle_time_limit : options.header_time_limit, Expiry::kNotify);
  while (true) {
    const size_t num_taken = parser.Parse(input_);
    input_.erase(0, num_taken);
    if (num_taken > 0) input_taken_.Notify();
    if (is_gone_) co_return ReadOutcome::kSilence;
    if (parser.state() == RequestParser::State::kDone) co_return ReadOutcome::kRequest;
    if (parser.state() == RequestParser::State::kFailed) {
      error = parser.error();
      co_return ReadOutcome::kError;
    }
    const bool is_idle = parser.state() == RequestParser::State::kHead && input_.empty();
    if (is_idle && (input_ended_ || is_late_ || setting_->table->is_draining()))
      co_return ReadOutcome::kSilence;
    const char* part = parser.state() == RequestParser::State::kHead ? "head" : "body";
    if (input_ended_) {
      error = {400, fmt::format("the connection ended amid the {} of the request", part)};
      co_return ReadOutcome::kError;
    }
    if (is_late_) {
      error = {408, fmt::format("the {} of the request did not arrive in time", part)};
      co_return ReadOutcome::kError;
    }
    const bool enters_body =
        phase_ != RequestParser::State::kBody && parser.state() == RequestParser::State::kBody;
    if (enters_body) co_await AllowBody(parser);
    EnterPhase(parser, is_idle);
    // AllowBody() may have waited, and missed what arrived meanwhile.
    if (!enters_body) co_await input_arrived_.Wait();
  }
}

// Starts the time limit of the part of the request that comes now.
void HttpConnection::EnterPhase(const RequestParser& parser, bool is_idle) {
  if (is_idle || phase_ == parser.state()) return;
  phase_ = parser.state();
  const HttpServerOptions& options = *setting_->options;
  SetTimeLimit(*phase_ == RequestParser::State::kHead ? options.header_time_limit : options.body_time_limit,
               Expiry::kNotify);
}

// Tells a client that waits for it to send the body. One that has sent some of it does not wait.
asio::awaitable<void> HttpConnection::AllowBody(const RequestParser& parser) {
  if (parser.expects_continue() && input_.empty())
    co_await WriteAll("HTTP/1.1 100 Continue\r\n\r\n", nullptr);
}

asio::awaitable<void> HttpConnection::SendError(ProtocolError error, bool to_head_request) {
  answer_ = MakeAnswer({.to_head_request = to_head_request, .keep_alive = false});
  answer_->Send(setting_->options->format_error(error.status, error.message));
  const std::shared_ptr<HttpAnswer> answer = answer_;
  co_await WriteAnswer(*answer);
  answer_.reset();
}

// Writes what is queued until the answer is complete and written, or the connection is over.
asio::awaitable<void> HttpConnection::WriteAnswer(HttpAnswer& answer) {
  while (!is_gone_) {
    // The client has closed its sending side: unless all of the answer is known, it is taken to have left.
    if (input_ended_ && !answer.IsComplete()) LoseClient();
    const HttpAnswer::Output output = answer.TakeOutput();
    if (output.must_cut) LoseClient();
    if (is_gone_) co_return;
    if (!output.bytes.empty()) {
      const bool is_written = co_await WriteAll(output.bytes, &answer);
      if (!is_written) co_return;
    } else if (!output.is_complete) {
      co_await answer_changed_.Wait();
    }
    if (output.is_complete) co_return;
  }
}

// Returns false if the connection is over. `answer` counts the bytes, unless it is null.
asio::awaitable<bool> HttpConnection::WriteAll(std::string_view bytes, HttpAnswer* answer) {
  while (!bytes.empty()) {
    SetTimeLimit(setting_->options->write_time_limit, Expiry::kCut);
    error_code error;
    const size_t num_written = co_await WriteSome(asio::buffer(bytes.data(), bytes.size()), error);
    ClearTimeLimit();
    if (error) LoseClient();
    if (is_gone_) co_return false;
    if (answer != nullptr) answer->CountWritten(num_written);
    bytes.remove_prefix(num_written);
  }
  co_return true;
}

// Ends our side, and waits for the client to end its own.
asio::awaitable<void> HttpConnection::Linger() {
  if (is_gone_) co_return;
  is_lingering_ = true;
  input_.clear();
  input_taken_.Notify();
  error_code ignored;
  if (tls_) {
    SetTimeLimit(kLingerTime, Expiry::kCut);
    co_await tls_->async_shutdown(redirect_error(use_awaitable, ignored));
    co_return;
  }
  SetTimeLimit(kLingerTime, Expiry::kNotify);
  socket_.shutdown(Socket::shutdown_send, ignored);
  while (!input_ended_ && !is_gone_ && !is_late_) co_await input_arrived_.Wait();
}

asio::awaitable<void> HttpConnection::ReadOn() {
  const size_t max_input_bytes = setting_->options->max_header_bytes + kReadBytes;
  std::array<char, kReadBytes> buffer;
  error_code error;
  while (!is_gone_ && !error) {
    if (!is_lingering_ && input_.size() >= max_input_bytes) {
      co_await input_taken_.Wait();
      continue;
    }
    const size_t num_read = co_await ReadSome(asio::buffer(buffer), error);
    if (!is_lingering_) input_.append(buffer.data(), num_read);
    input_arrived_.Notify();
  }
  const bool has_ended = error == asio::error::eof || error == asio::ssl::error::stream_truncated;
  input_ended_ = true;
  if (!has_ended || (answer_ && !answer_->IsComplete())) LoseClient();
  NotifyAll();
}

asio::awaitable<size_t> HttpConnection::ReadSome(asio::mutable_buffer buffer, error_code& error) {
  if (tls_) co_return co_await tls_->async_read_some(buffer, redirect_error(use_awaitable, error));
  co_return co_await socket_.async_read_some(buffer, redirect_error(use_awaitable, error));
}

asio::awaitable<size_t> HttpConnection::WriteSome(asio::const_buffer bytes, error_code& error) {
  if (tls_) co_return co_await tls_->async_write_some(bytes, redirect_error(use_awaitable, error));
  co_return co_await socket_.async_write_some(bytes, redirect_error(use_awaitable, error));
}

}  // namespace

void ServeConnection(std::shared_ptr<const ConnectionSetting> setting, OwnedDescriptor socket,
                     std::unique_ptr<ConnectionTable::Place> place, TlsContext tls) {
  std::make_shared<HttpConnection>(std::move(setting), std::move(place))->Start(std::move(socket), tls);
}

}  // namespace qwen25
