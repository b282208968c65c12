#include "serve/http/request_parser.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string>
#include <vector>

namespace qwen25 {
namespace {

constexpr HttpRequestLimits kLimits = {.max_header_bytes = 400, .max_headers = 8, .max_body_bytes = 300};

// What became of the requests in some bytes: as many as can be read, one after the other.
struct Outcome {
  std::vector<std::string> requests;  // method, path, query, headers and body in one text
  int status = 0;                     // of the error that ended it
  RequestParser::State state = RequestParser::State::kHead;

  // Where there are two reasons to refuse a request, either may be seen first.
  bool operator==(const Outcome& other) const { return requests == other.requests && state == other.state; }
};

std::string Text(const HttpRequest& request) {
  std::string text = request.method + "|" + request.path + "|" + request.query;
  for (const auto& header : request.headers) text += "|" + header.name + ":" + header.value;
  return text + "|" + request.body;
}

// Reads the bytes as they come in pieces of these lengths, over and over.
Outcome ReadInPieces(std::string_view bytes, const std::vector<size_t>& lengths) {
  Outcome outcome;
  auto parser = std::make_unique<RequestParser>(kLimits);
  std::string input;
  for (size_t piece = 0; !bytes.empty(); ++piece) {
    const size_t length = std::min(bytes.size(), lengths[piece % lengths.size()]);
    input += bytes.substr(0, length);
    bytes.remove_prefix(length);
    while (true) {
      const size_t taken = parser->Parse(input);
      EXPECT_LE(taken, input.size());
      input.erase(0, taken);
      outcome.state = parser->state();
      if (outcome.state == RequestParser::State::kFailed) {
        outcome.status = parser->error().status;
        EXPECT_FALSE(parser->error().message.empty());
        return outcome;
      }
      if (outcome.state != RequestParser::State::kDone) break;
      outcome.requests.push_back(Text(parser->TakeRequest()));
      parser = std::make_unique<RequestParser>(kLimits);
      outcome.state = parser->state();
    }
  }
  return outcome;
}

const std::string kGet = "GET /a?b HTTP/1.1\r\nHost: t\r\nX: 1\r\n\r\n";
const std::string kPost = "POST /c HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello";
const std::string kChunked =
    "POST /d HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n006\r\n "
    "world\r\n0\r\nT: 1\r\n\r\n";
const std::string kEmptyChunked = "PUT /e HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";

TEST(RequestParserTest, ReadsRequestsOneAfterTheOther) {
  const Outcome outcome = ReadInPieces(kGet + kPost + "\r\n" + kChunked + kEmptyChunked, {100000});
  EXPECT_EQ(outcome.requests,
            (std::vector<std::string>{"GET|/a|b|Host:t|X:1|", "POST|/c||Host:t|Content-Length:5|hello",
                                      "POST|/d||Host:t|Transfer-Encoding:chunked|hello world",
                                      "PUT|/e||Host:t|Transfer-Encoding:chunked|"}));
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.state, RequestParser::State::kHead);
}

// Most that is read begins as these do.
rc::Gen<std::string> Requests() {
  static const std::vector<std::string> kPieces = {kGet,
                                                   kPost,
                                                   kChunked,
                                                   kEmptyChunked,
                                                   "\r\n",
                                                   "\n",
                                                   "\r",
                                                   " ",
                                                   ":",
                                                   "0\r\n\r\n",
                                                   "5\r\nhello\r\n",
                                                   "12c\r\n",
                                                   "Content-Length: 3\r\n",
                                                   "Transfer-Encoding: chunked\r\n",
                                                   "POST /x HTTP/1.1\r\nHost: t\r\n",
                                                   "POST /x HTTP/1.0\r\n",
                                                   "Expect: 100-continue\r\n",
                                                   std::string(150, 'a'),
                                                   "\xff",
                                                   std::string(1, '\0')};
  const auto piece = rc::gen::elementOf(kPieces);
  return rc::gen::map(rc::gen::container<std::vector<std::string>>(piece),
                      [](const std::vector<std::string>& pieces) {
                        std::string text;
                        for (const std::string& part : pieces) text += part;
                        return text;
                      });
}

TEST(RequestParserTest, TheOutcomeDoesNotDependOnHowBytesArrive) {
  EXPECT_TRUE(rc::check("any division gives what the whole gives", [] {
    std::string bytes = *Requests();
    // A change within what is right reaches further than noise does.
    if (!bytes.empty() && *rc::gen::arbitrary<bool>()) {
      bytes[*rc::gen::inRange<size_t>(0, bytes.size())] = *rc::gen::arbitrary<char>();
    }
    const auto lengths =
        *rc::gen::nonEmpty(rc::gen::container<std::vector<size_t>>(rc::gen::inRange<size_t>(1, 40)));
    const Outcome whole = ReadInPieces(bytes, {bytes.size() + 1});
    RC_ASSERT(ReadInPieces(bytes, lengths) == whole);
    RC_ASSERT(ReadInPieces(bytes, {1}) == whole);
  }));
}

TEST(RequestParserTest, ChangesOfOneByteNeverMakeTwoRequestsOfOne) {
  for (const std::string& request : {kPost, kChunked}) {
    for (size_t at = 0; at < request.size(); ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string changed = request;
        changed[at] = static_cast<char>(byte);
        EXPECT_LE(ReadInPieces(changed, {1000}).requests.size(), 1u) << at << " " << byte;
      }
    }
  }
}

TEST(RequestParserTest, LimitsHoldToTheByte) {
  const std::string start = "GET / HTTP/1.1\r\nHost: t\r\nA: ";
  const std::string fits = start + std::string(kLimits.max_header_bytes - start.size() - 4, 'a') + "\r\n\r\n";
  EXPECT_EQ(ReadInPieces(fits, {7}).requests.size(), 1u);
  EXPECT_EQ(ReadInPieces(start + "a" + fits.substr(start.size()), {7}).status, 431);

  const auto post = [](size_t num_bytes) {
    return fmt::format("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{}", num_bytes,
                       std::string(num_bytes, 'a'));
  };
  EXPECT_EQ(ReadInPieces(post(300), {7}).requests.size(), 1u);
  EXPECT_EQ(ReadInPieces(post(301), {7}).status, 413);

  std::string headers;
  for (int i = 0; i < 7; ++i) headers += "A: b\r\n";
  EXPECT_EQ(ReadInPieces("GET / HTTP/1.1\r\nHost: t\r\n" + headers + "\r\n", {7}).requests.size(), 1u);
  EXPECT_EQ(ReadInPieces("GET / HTTP/1.1\r\nHost: t\r\n" + headers + "A: b\r\n\r\n", {7}).status, 431);
}

TEST(RequestParserTest, SaysWhetherTheConnectionGoesOn) {
  const auto keeps_alive = [](const std::string& request) {
    RequestParser parser(kLimits);
    parser.Parse(request);
    EXPECT_EQ(parser.state(), RequestParser::State::kDone);
    return parser.keep_alive();
  };
  EXPECT_TRUE(keeps_alive("GET / HTTP/1.1\r\nHost: t\r\n\r\n"));
  EXPECT_FALSE(keeps_alive("GET / HTTP/1.1\r\nHost: t\r\nConnection: foo, Close\r\n\r\n"));
  EXPECT_FALSE(keeps_alive("GET / HTTP/1.0\r\n\r\n"));
  EXPECT_TRUE(keeps_alive("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
}

TEST(RequestParserTest, AClientThatExpectsToBeTold) {
  RequestParser parser(kLimits);
  parser.Parse("POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n");
  EXPECT_EQ(parser.state(), RequestParser::State::kBody);
  EXPECT_TRUE(parser.expects_continue());
  RequestParser old(kLimits);
  old.Parse("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
  EXPECT_EQ(old.state(), RequestParser::State::kBody);
  EXPECT_FALSE(old.expects_continue()) << "HTTP/1.0 has no status 100";
}

TEST(RequestParserTest, MessagesShowTextOfTheClientInAscii) {
  RequestParser parser(kLimits);
  parser.Parse("GET / HTTP/1.1\r\nHost: \xff\"<" + std::string(100, 'x') + "\r\n\r\n");
  ASSERT_EQ(parser.state(), RequestParser::State::kFailed);
  EXPECT_EQ(parser.error().message,
            "Host is \"\\xff\\x22<" + std::string(37, 'x') + "...\", expected a name or address");
}

}  // namespace
}  // namespace qwen25
