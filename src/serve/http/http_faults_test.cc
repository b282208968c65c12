// Clients that do wrong, one way each. After every one of them, the server must serve the next client.
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "serve/http/server_fixture_test_util.h"

namespace qwen25 {
namespace {

using std::chrono::milliseconds;

constexpr size_t kMaxHeaderBytes = 1024;

// Small limits, so that each can be broken at once.
HttpServerOptions FaultOptions() {
  HttpServerOptions options;
  options.max_header_bytes = kMaxHeaderBytes;
  options.max_headers = 10;
  options.max_body_bytes = 2000;
  options.header_time_limit = milliseconds(200);
  options.body_time_limit = milliseconds(200);
  options.format_error = [](int status, const std::string& message) {
    return HttpResponse{.status = status,
                        .headers = {{"Content-Type", "application/json"}},
                        .body = fmt::format(R"({{"error": "{}"}})", message)};
  };
  return options;
}

std::string Get(const std::string& headers) {
  return "GET /hello HTTP/1.1\r\nHost: t\r\n" + headers + "\r\n";
}
std::string Post(const std::string& headers, const std::string& body = "") {
  return "POST /echo HTTP/1.1\r\nHost: t\r\n" + headers + "\r\n" + body;
}
std::string Chunked(const std::string& body) {
  return Post("Transfer-Encoding: chunked\r\n", body);
}

struct Fault {
  const char* name;
  std::string bytes;
  int status;             // of the answer, after which the connection must end
  const char* complaint;  // part of its message
};

void PrintTo(const Fault& fault, std::ostream* out) {
  *out << fault.name;
}

const std::string kSmuggled = "GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n";

const Fault kFaults[] = {
    // The request line.
    {"no_version", "GET /hello\r\n\r\n", 400, "expected METHOD TARGET HTTP/1.1"},
    {"one_word", "HELLO\r\n\r\n", 400, "expected METHOD TARGET HTTP/1.1"},
    {"begins_with_a_blank", " GET /hello HTTP/1.1\r\nHost: t\r\n\r\n", 400, "does not begin with a method"},
    {"two_empty_lines_first", "\r\n\r\nGET /hello HTTP/1.1\r\nHost: t\r\n\r\n", 400,
     "does not begin with a method"},
    {"method_with_brackets", "G(T /hello HTTP/1.1\r\nHost: t\r\n\r\n", 400, "the method"},
    {"two_blanks", "GET  /hello HTTP/1.1\r\nHost: t\r\n\r\n", 400, "percent-encoded"},
    {"no_target", "GET  HTTP/1.1\r\nHost: t\r\n\r\n", 400, "a path that begins with"},
    {"blank_in_target", "GET /hel lo HTTP/1.1\r\nHost: t\r\n\r\n", 400, "percent-encoded"},
    {"tab_in_target", "GET /hel\tlo HTTP/1.1\r\nHost: t\r\n\r\n", 400, "percent-encoded"},
    {"fragment_in_target", "GET /hello#a HTTP/1.1\r\nHost: t\r\n\r\n", 400, "percent-encoded"},
    {"utf8_in_target", "GET /h\xc3\xa9llo HTTP/1.1\r\nHost: t\r\n\r\n", 400, "percent-encoded"},
    {"target_without_slash", "GET hello HTTP/1.1\r\nHost: t\r\n\r\n", 400, "a path that begins with"},
    {"target_of_another_scheme", "GET ftp://t/hello HTTP/1.1\r\nHost: t\r\n\r\n", 400,
     "a path that begins with"},
    {"target_with_a_user", "GET http://u@t/hello HTTP/1.1\r\nHost: t\r\n\r\n", 400,
     "a path that begins with"},
    {"star_for_get", "GET * HTTP/1.1\r\nHost: t\r\n\r\n", 400, "a path that begins with"},
    {"http_0_9", "GET /hello HTTP/0.9\r\n\r\n", 505, "is of HTTP/0.9"},
    {"http_2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "is of HTTP/2.0"},
    {"lower_case_version", "GET /hello http/1.1\r\nHost: t\r\n\r\n", 400, "expected HTTP/1.1"},
    {"long_version", "GET /hello HTTP/1.10\r\nHost: t\r\n\r\n", 400, "expected HTTP/1.1"},
    {"blank_after_version", "GET /hello HTTP/1.1 \r\nHost: t\r\n\r\n", 400, "expected HTTP/1.1"},
    {"connect", "CONNECT t:443 HTTP/1.1\r\nHost: t\r\n\r\n", 501, "CONNECT is not supported"},
    {"trace", "TRACE /hello HTTP/1.1\r\nHost: t\r\n\r\n", 501, "TRACE is not supported"},
    {"long_target", "GET /" + std::string(kMaxHeaderBytes, 'a') + " HTTP/1.1\r\nHost: t\r\n\r\n", 414,
     "request line is longer than 1024 bytes"},
    {"tls_hello", std::string("\x16\x03\x01\x02\x00\x01\x00", 7), 400, "the client began TLS"},
    // Lines and characters.
    {"line_feeds_alone", "GET /hello HTTP/1.1\nHost: t\n\n", 400, "line feed alone"},
    {"line_feed_alone_in_headers", Get("A: b\nC: d\r\n"), 400, "line feed alone"},
    {"line_feed_alone_at_the_end", "GET /hello HTTP/1.1\r\nHost: t\r\n\n", 400, "line feed alone"},
    {"return_amid_a_value", Get("A: b\rC: d\r\n"), 400, "carriage return amid the line"},
    {"return_twice", Get("A: b\r\r\n"), 400, "carriage return amid the line"},
    {"zero_byte", Get(std::string("A: b\0c\r\n", 8)), 400, "control character 0x00"},
    {"escape_byte", Get("A: \x1b[31m\r\n"), 400, "control character 0x1b"},
    {"delete_byte", Get("A: \x7f\r\n"), 400, "control character 0x7f"},
    {"folded_header", Get("A: b\r\n c\r\n"), 400, "folded"},
    {"folded_first_header", "GET /hello HTTP/1.1\r\n Host: t\r\n\r\n", 400, "folded"},
    {"blank_before_colon", Post("Content-Length : 5\r\n", "hello"), 400, "blank stands before the colon"},
    {"tab_before_colon", Post("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n"), 400, "is not a word"},
    {"blank_in_name", Get("A B: c\r\n"), 400, "is not a word"},
    {"no_name", Get(": c\r\n"), 400, "is not a word"},
    {"no_colon", Get("Hello\r\n"), 400, "expected NAME: VALUE"},
    {"utf8_in_name", Get("\xc3\xa9: c\r\n"), 400, "is not a word"},
    // Headers.
    {"no_host", "GET /hello HTTP/1.1\r\n\r\n", 400, "Host is missing"},
    {"two_hosts", "GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "Host comes twice"},
    {"host_with_a_path", "GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "Host is"},
    {"two_authorizations", Get("Authorization: a\r\nAuthorization: b\r\n"), 400, "Authorization comes twice"},
    {"expects_miracles", Post("Expect: miracles\r\nContent-Length: 1\r\n"), 417, "expected 100-continue"},
    {"bad_connection_header", Get("Connection: @@@\r\n"), 400, "malformed"},
    {"many_headers", Get("A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: 6\r\nG: 7\r\nH: 8\r\nI: 9\r\nJ: 10\r\n"),
     431, "more than 10 headers"},
    {"long_header", Get("A: " + std::string(kMaxHeaderBytes, 'a') + "\r\n"), 431, "longer than 1024 bytes"},
    {"long_header_name", Get(std::string(2 * kMaxHeaderBytes, 'a')), 431, "longer than 1024 bytes"},
    // The length of the body.
    {"length_and_chunked",
     Post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" + kSmuggled), 400,
     "both Content-Length and Transfer-Encoding"},
    {"chunked_and_length",
     Post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n" + kSmuggled), 400,
     "both Content-Length and Transfer-Encoding"},
    {"two_lengths", Post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello" + kSmuggled), 400,
     "comes twice"},
    {"the_same_length_twice", Post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), 400,
     "comes twice"},
    {"list_of_lengths", Post("Content-Length: 5, 5\r\n", "hello"), 400, "expected a number of bytes"},
    {"signed_length", Post("Content-Length: +5\r\n", "hello"), 400, "expected a number of bytes"},
    {"negative_length", Post("Content-Length: -1\r\n"), 400, "expected a number of bytes"},
    {"hexadecimal_length", Post("Content-Length: 0x5\r\n", "hello"), 400, "expected a number of bytes"},
    {"empty_length", Post("Content-Length: \r\n"), 400, "expected a number of bytes"},
    {"length_beyond_64_bits", Post("Content-Length: 18446744073709551621\r\n", "hello"), 413, "at most 2000"},
    {"gigabyte", Post("Content-Length: 1000000000\r\n"), 413, "has 1000000000 bytes, at most 2000"},
    {"gigabyte_after_asking", Post("Expect: 100-continue\r\nContent-Length: 1000000000\r\n"), 413,
     "at most 2000"},
    {"body_one_too_long", Post("Content-Length: 2001\r\n", std::string(2001, 'a')), 413, "has 2001 bytes"},
    {"http_1_0_without_length", "POST /echo HTTP/1.0\r\n\r\nhello", 411, "Content-Length is missing"},
    {"http_1_0_chunked", "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
     "HTTP/1.0"},
    {"compressed_transfer", Post("Transfer-Encoding: gzip, chunked\r\n"), 501, "reads \"chunked\" alone"},
    {"transfer_not_chunked_last", Post("Transfer-Encoding: chunked, identity\r\n"), 400,
     "reads \"chunked\" alone"},
    {"transfer_identity", Post("Transfer-Encoding: identity\r\n"), 400, "reads \"chunked\" alone"},
    {"transfer_misspelt", Post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 400,
     "reads \"chunked\" alone"},
    {"two_transfers", Post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"), 400,
     "comes twice"},
    // Chunks.
    {"chunk_size_missing", Chunked("\r\nhello\r\n0\r\n\r\n"), 400, "chunked body is malformed"},
    {"chunk_size_not_a_number", Chunked("five\r\nhello\r\n0\r\n\r\n"), 400, "chunked body is malformed"},
    {"chunk_size_negative", Chunked("-5\r\nhello\r\n0\r\n\r\n"), 400, "chunked body is malformed"},
    {"chunk_size_beyond_64_bits", Chunked("11111111111111111\r\nhello"), 400, "chunked body is malformed"},
    {"chunk_of_16_exabytes", Chunked("ffffffffffffffff\r\nhello"), 413, "more than 2000 bytes"},
    {"chunk_longer_than_it_says", Chunked("2\r\nhello\r\n0\r\n\r\n"), 400, "chunked body is malformed"},
    {"chunk_line_feeds_alone", Chunked("5\nhello\n0\n\n....."), 400, "chunked body is malformed"},
    {"chunk_line_feed_in_quotes", Chunked("5;a=\"b\nc\"\r\nhello\r\n0\r\n\r\n"), 400, "line feed alone"},
    {"chunk_extension_in_quotes", Chunked("5;a=\"b\"\r\nhello\r\n0\r\n\r\n"), 400, "quoted value"},
    {"chunk_extension_with_an_open_quote", Chunked("5;a=\"b\r\nhello\r\n0\r\n\r\n"), 400, "quoted value"},
    {"chunks_one_byte_too_many", Chunked("7d0\r\n" + std::string(2000, 'a') + "\r\n1\r\nb\r\n0\r\n\r\n"), 413,
     "more than 2000 bytes"},
    {"chunk_extension_flood", Chunked("1;" + std::string(3000, 'x') + "\r\na\r\n0\r\n\r\n"), 400,
     "more framing"},
    {"chunk_zeros_flood", Chunked(std::string(3000, '0') + "1\r\na\r\n0\r\n\r\n"), 400, "more framing"},
    {"trailer_flood", Chunked("1\r\na\r\n0\r\n" + std::string(3000, 'T') + ": x\r\n\r\n"), 400,
     "more framing"},
    {"bad_trailer", Chunked("1\r\na\r\n0\r\nno colon\r\n\r\n"), 400, "chunked body is malformed"},
    // Too slow: what is sent is right, and more of it never comes.
    {"half_a_request_line", "GET /hel", 408, "the head of the request did not arrive in time"},
    {"half_a_head", "GET /hello HTTP/1.1\r\nHost: t\r\n", 408,
     "the head of the request did not arrive in time"},
    {"half_a_body", Post("Content-Length: 10\r\n", "hello"), 408,
     "the body of the request did not arrive in time"},
    {"half_a_chunk", Chunked("a\r\nhello"), 408, "the body of the request did not arrive in time"},
    {"chunk_without_end", Chunked("5\r\nhello\r\n0\r\n"), 408,
     "the body of the request did not arrive in time"},
};

class HttpFaultsTest : public testing::TestWithParam<Fault> {
 public:
  // One for all: each fault finds the server as those before have left it.
  static void SetUpTestSuite() { server_ = std::make_unique<TestServer>(FaultOptions()); }
  static void TearDownTestSuite() { server_.reset(); }

 protected:
  static std::unique_ptr<TestServer> server_;
};
std::unique_ptr<TestServer> HttpFaultsTest::server_;

TEST_P(HttpFaultsTest, IsAnsweredAndTheConnectionEnds) {
  RawClient client(server_->port());
  client.Send(GetParam().bytes);
  const RawResponse response = client.ReadResponse();
  EXPECT_EQ(response.status, GetParam().status);
  EXPECT_NE(response.body.find(GetParam().complaint), std::string::npos) << response.body;
  EXPECT_EQ(response.body.rfind("{\"error\": \"", 0), 0u) << "not as errors are formatted: " << response.body;
  EXPECT_EQ(response.Header("Connection"), "close");
  EXPECT_TRUE(client.ReceiveToEnd());
  EXPECT_TRUE(client.received().empty()) << "answered what stands behind: " << client.received();
  ExpectServes(server_->port());
}

INSTANTIATE_TEST_SUITE_P(Table, HttpFaultsTest, testing::ValuesIn(kFaults),
                         [](const auto& info) { return info.param.name; });

// What a client does that gets no answer.
struct Silence {
  const char* name;
  std::function<void(RawClient&)> act;
};

void PrintTo(const Silence& silence, std::ostream* out) {
  *out << silence.name;
}

const Silence kSilences[] = {
    {"connects_and_says_nothing", [](RawClient&) {}},
    {"connects_and_leaves", [](RawClient& client) { client.CloseSending(); }},
    {"sends_an_empty_line_and_no_more", [](RawClient& client) { client.Send("\r\n"); }},
};

class HttpSilencesTest : public testing::TestWithParam<Silence> {};

TEST_P(HttpSilencesTest, TheConnectionEndsWithoutAnAnswer) {
  TestServer server(FaultOptions());
  RawClient client(server.port());
  GetParam().act(client);
  EXPECT_TRUE(client.ReceiveToEnd());
  EXPECT_TRUE(client.received().empty()) << client.received();
  ExpectServes(server.port());
}

INSTANTIATE_TEST_SUITE_P(Table, HttpSilencesTest, testing::ValuesIn(kSilences),
                         [](const auto& info) { return info.param.name; });

// Requests that end early because the client has gone.
TEST(HttpFaultTest, ClientsThatVanishAmidARequest) {
  TestServer server(FaultOptions());
  const std::string request = Post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n");
  for (size_t length = 1; length < request.size(); ++length) {
    RawClient resets(server.port()), closes(server.port()), half_closes(server.port());
    for (RawClient* client : {&resets, &closes, &half_closes}) client->Send(request.substr(0, length));
    resets.Reset();
    closes.Close();
    half_closes.CloseSending();
    const RawResponse response = half_closes.ReadResponse();
    EXPECT_EQ(response.status, 400) << length;
    EXPECT_NE(response.body.find("the connection ended amid the"), std::string::npos) << response.body;
  }
  ExpectServes(server.port());
  EXPECT_TRUE(Eventually([&] { return server.server->Counters().num_open == 0; }));
}

// A byte now and then does not extend the time that the whole of a head or a body has.
TEST(HttpFaultTest, AByteAtATimeIsTooSlow) {
  TestServer server(FaultOptions());
  const std::string head = "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 500\r\n\r\n";
  for (const std::string& start : {std::string(), head}) {
    RawClient client(server.port());
    client.Send(start);
    const std::string rest = start.empty() ? head : std::string(500, 'a');
    for (const char byte : rest) {
      if (!client.Send({&byte, 1})) break;
      pollfd answered = {.fd = client.descriptor(), .events = POLLIN, .revents = 0};
      if (::poll(&answered, 1, 20) > 0) break;
    }
    EXPECT_EQ(client.ReadResponse().status, 408);
  }
  ExpectServes(server.port());
}

TEST(HttpFaultTest, AConnectionThatIsIdleForTooLongEndsInSilence) {
  HttpServerOptions options = FaultOptions();
  options.idle_time_limit = milliseconds(50);
  TestServer server(std::move(options));
  RawClient client(server.port());
  EXPECT_EQ(client.Exchange(kGoodRequest).body, "hello");
  EXPECT_TRUE(client.ReceiveToEnd());
  EXPECT_TRUE(client.received().empty());
}

TEST(HttpFaultTest, AnErrorReachesAClientThatIsStillSending) {
  HttpServerOptions options = FaultOptions();
  TestServer server(std::move(options));
  RawClient client(server.port());
  client.Send(Post("Content-Length: 10000000\r\n"));
  // Without the server's patience at the end, these bytes would take the answer away.
  client.Send(std::string(1'000'000, 'a'));
  EXPECT_EQ(client.ReadResponse().status, 413);
  ExpectServes(server.port());
}

}  // namespace
}  // namespace qwen25
