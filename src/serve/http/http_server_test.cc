#include "serve/http/http_server.h"

#include <gtest/gtest.h>

#include <thread>

#include "serve/http/server_fixture_test_util.h"

namespace qwen25 {
namespace {

using std::chrono::milliseconds;

TEST(HttpServerTest, AnswersARequestAndKeepsTheConnection) {
  TestServer server;
  RawClient client(server.port());
  for (int i = 0; i < 3; ++i) {
    const RawResponse response = client.Exchange(kGoodRequest);
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "hello");
    EXPECT_EQ(response.Header("x-test"), "yes");
    EXPECT_EQ(response.Header("date").size(), 29u);
    EXPECT_EQ(response.headers.Find("connection"), nullptr);
  }
  EXPECT_EQ(server.server->Counters().num_accepted, 1u);
}

TEST(HttpServerTest, TheHandlerSeesTheRequest) {
  TestServer server;
  RawClient client(server.port());
  client.Send(
      "POST /a%20b?x=1&y=?2 HTTP/1.1\r\nHost: test\r\nX-One:  a b \r\nx-one: c\r\nContent-Length: "
      "4\r\n\r\nbody");
  const TestServer::Held held = server.TakeHeld();
  ASSERT_NE(held.exchange, nullptr);
  EXPECT_EQ(held.request.method, "POST");
  EXPECT_EQ(held.request.path, "/a%20b");
  EXPECT_EQ(held.request.query, "x=1&y=?2");
  EXPECT_EQ(held.request.body, "body");
  EXPECT_EQ(held.request.peer, "127.0.0.1");
  ASSERT_NE(held.request.headers.Find("X-ONE"), nullptr);
  EXPECT_EQ(*held.request.headers.Find("X-ONE"), "a b");
  EXPECT_EQ(held.request.headers.size(), 4u);
  held.exchange->Send({.status = 201, .body = "made"});
  const RawResponse response = client.ReadResponse();
  EXPECT_EQ(response.status, 201);
  EXPECT_EQ(response.body, "made");
  EXPECT_FALSE(held.exchange->IsOpen());
}

TEST(HttpServerTest, AWholeUrlAsTargetIsReadAsItsPath) {
  TestServer server;
  for (const char* target : {"http://test/hello", "http://test:80/hello?x", "HTTP://[::1]/hello"}) {
    RawClient client(server.port());
    const RawResponse response =
        client.Exchange("GET " + std::string(target) + " HTTP/1.1\r\nHost: test\r\n\r\n");
    EXPECT_EQ(response.body, "hello") << target;
  }
}

TEST(HttpServerTest, RequestsWithoutABodyOrATarget) {
  TestServer server;
  RawClient client(server.port());
  EXPECT_EQ(client.Exchange("POST /echo HTTP/1.1\r\nHost: t\r\n\r\n").status, 200)
      << "no length means no body";
  EXPECT_EQ(client.Exchange("\r\nPOST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n").status, 200);
  client.Send("OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n");
  const TestServer::Held held = server.TakeHeld();
  ASSERT_NE(held.exchange, nullptr);
  EXPECT_EQ(held.request.path, "*");
  held.exchange->Send({.status = 204});
  EXPECT_EQ(client.ReadResponse().status, 204);
}

TEST(HttpServerTest, RequestsSentTogetherAreAnsweredInOrder) {
  TestServer server;
  RawClient client(server.port());
  std::string requests;
  for (int i = 0; i < 50; ++i) {
    requests += "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\n" + std::to_string(100 + i);
  }
  client.Send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n" + requests);
  const TestServer::Held held = server.TakeHeld();
  ASSERT_NE(held.exchange, nullptr);
  held.exchange->Send({.body = "first"});
  EXPECT_EQ(client.ReadResponse().body, "first");
  for (int i = 0; i < 50; ++i) EXPECT_EQ(client.ReadResponse().body, std::to_string(100 + i));
}

TEST(HttpServerTest, MoreThanFitsCanBeSentWhileAnAnswerIsMade) {
  TestServer server;
  RawClient client(server.port());
  const std::string body(300'000, 'x');
  client.Send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n");
  const TestServer::Held held = server.TakeHeld();
  ASSERT_NE(held.exchange, nullptr);
  std::thread sender(
      [&] { client.Send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 300000\r\n\r\n" + body); });
  held.exchange->Send({.body = "first"});
  sender.join();
  EXPECT_EQ(client.ReadResponse().body, "first");
  EXPECT_EQ(client.ReadResponse().body, body);
}

TEST(HttpServerTest, AnswersToHeadHaveNoBody) {
  TestServer server;
  RawClient client(server.port());
  for (const char* path : {"/hello", "/stream"}) {
    client.Send("HEAD " + std::string(path) + " HTTP/1.1\r\nHost: test\r\n\r\n");
    EXPECT_EQ(client.ReadResponse(true).status, 200);
  }
  client.Send("HEAD /hello HTTP/1.1\r\nHost: test\r\n\r\n");
  const RawResponse response = client.ReadResponse(true);
  EXPECT_EQ(response.Header("Content-Length"), "5");
  EXPECT_EQ(client.Exchange(kGoodRequest).body, "hello");
  EXPECT_TRUE(client.received().empty());
}

TEST(HttpServerTest, ClientsOfHttp10) {
  TestServer server;
  {
    RawClient client(server.port());
    const RawResponse response = client.Exchange("GET /hello HTTP/1.0\r\n\r\n");
    EXPECT_EQ(response.body, "hello");
    EXPECT_EQ(response.Header("Connection"), "close");
    EXPECT_TRUE(client.ReceiveToEnd());
  }
  {
    RawClient client(server.port());
    for (int i = 0; i < 2; ++i) {
      const RawResponse response = client.Exchange("GET /hello HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
      EXPECT_EQ(response.body, "hello");
      EXPECT_EQ(response.Header("Connection"), "keep-alive");
    }
  }
  RawClient client(server.port());
  const RawResponse response = client.Exchange("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(response.body, "data: 1\n\ndata: 2\n\ndata: [DONE]\n\n");
  EXPECT_EQ(response.headers.Find("Transfer-Encoding"), nullptr);
  EXPECT_EQ(response.Header("Connection"), "close");
}

TEST(HttpServerTest, AClientThatWantsToEndTheConnectionIsObeyed) {
  TestServer server;
  RawClient client(server.port());
  const RawResponse response = client.Exchange("GET /hello HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(response.Header("Connection"), "close");
  EXPECT_TRUE(client.ReceiveToEnd());
  EXPECT_FALSE(client.was_reset());
}

TEST(HttpServerTest, BodiesInChunks) {
  TestServer server;
  RawClient client(server.port());
  const std::string head = "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: Chunked\r\n\r\n";
  EXPECT_EQ(client.Exchange(head + "4\r\nWiki\r\n5;name=v\r\npedia\r\n0\r\nX-Trailer: 1\r\n\r\n").body,
            "Wikipedia");
  EXPECT_EQ(client.Exchange(head + "0\r\n\r\n").body, "");
  EXPECT_EQ(client.Exchange(head + "A\r\n0123456789\r\n00\r\n\r\n").body, "0123456789");
}

TEST(HttpServerTest, AClientThatAsksFirstIsToldToSendTheBody) {
  TestServer server;
  RawClient client(server.port());
  const std::string head =
      "POST /echo HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
  EXPECT_EQ(client.Exchange(head).status, 100);
  EXPECT_EQ(client.Exchange("body").body, "body");
  EXPECT_EQ(client.Exchange(head + "body").body, "body") << "one that does not wait is not told";
}

TEST(HttpServerTest, StreamsReachTheClientPieceByPiece) {
  TestServer server;
  RawClient client(server.port());
  client.Send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n");
  const TestServer::Held held = server.TakeHeld();
  ASSERT_NE(held.exchange, nullptr);
  held.exchange->BeginStream(200, {{"Content-Type", "text/event-stream"}});
  EXPECT_TRUE(client.ReceiveUntil("\r\n\r\n"));
  for (const std::string text : {"one", "two", "three"}) {
    held.exchange->Write(text);
    EXPECT_TRUE(client.ReceiveUntil(text + "\r\n"));
    EXPECT_TRUE(Eventually([&] { return held.exchange->BufferedBytes() == 0; }));
  }
  held.exchange->EndStream();
  EXPECT_EQ(client.ReadResponse().body, "onetwothree");
  EXPECT_EQ(client.Exchange(kGoodRequest).body, "hello");
  EXPECT_EQ(client.Exchange("GET /stream HTTP/1.1\r\nHost: t\r\n\r\n").body,
            "data: 1\n\ndata: 2\n\ndata: [DONE]\n\n");
}

TEST(HttpServerTest, HandlersThatGiveNoAnswerAreAnErrorOfTheServer) {
  HttpServerOptions options;
  options.format_error = [](int status, const std::string& message) {
    return HttpResponse{
        .status = status, .headers = {{"Content-Type", "application/json"}}, .body = "{" + message + "}"};
  };
  TestServer server(std::move(options));
  RawClient client(server.port());
  for (const char* path : {"/throw", "/forget"}) {
    const RawResponse response =
        client.Exchange("GET " + std::string(path) + " HTTP/1.1\r\nHost: test\r\n\r\n");
    EXPECT_EQ(response.status, 500);
    EXPECT_EQ(response.body, "{the request was left without an answer}");
    EXPECT_EQ(response.Header("content-type"), "application/json");
  }
  EXPECT_EQ(client.Exchange(kGoodRequest).body, "hello");
}

TEST(HttpServerTest, AStreamThatIsLeftIsCutSoThatNobodyTakesItForWhole) {
  TestServer server;
  for (const char* version : {"1.0", "1.1"}) {
    RawClient client(server.port());
    client.Send("GET /held HTTP/" + std::string(version) + "\r\nHost: test\r\n\r\n");
    TestServer::Held held = server.TakeHeld();
    ASSERT_NE(held.exchange, nullptr);
    held.exchange->BeginStream(200, {});
    held.exchange->Write("part");
    EXPECT_TRUE(client.ReceiveUntil("part"));
    held.exchange.reset();
    EXPECT_TRUE(client.ReceiveToEnd());
    EXPECT_TRUE(client.was_reset());
  }
}

TEST(HttpServerTest, AnswersThatCannotBeSentAreAnErrorOfTheServer) {
  TestServer server;
  RawClient client(server.port());
  const HttpResponse responses[] = {{.status = 99},
                                    {.status = 600},
                                    {.status = 204, .body = "text"},
                                    {.headers = {{"X-Id", "a\r\nSet-Cookie: b"}}},
                                    {.headers = {{"X Id", "a"}}},
                                    {.headers = {{"", "a"}}},
                                    {.headers = {{"content-length", "7"}}}};
  for (const HttpResponse& response : responses) {
    for (const bool as_stream : {false, true}) {
      if (as_stream && response.status == 204) continue;  // what is written to it is dropped
      client.Send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n");
      const TestServer::Held held = server.TakeHeld();
      ASSERT_NE(held.exchange, nullptr);
      if (as_stream) {
        held.exchange->BeginStream(response.status, response.headers);
        held.exchange->Write("dropped");
        held.exchange->EndStream();
      } else {
        held.exchange->Send(response);
      }
      EXPECT_EQ(client.ReadResponse().status, 500);
    }
  }
  client.Send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n");
  server.TakeHeld().exchange->Send({.status = 204});
  const RawResponse response = client.ReadResponse();
  EXPECT_EQ(response.status, 204);
  EXPECT_EQ(response.headers.Find("content-length"), nullptr);
  EXPECT_EQ(client.Exchange(kGoodRequest).body, "hello");
}

TEST(HttpServerTest, RefusesOptionsThatMakeNoSense) {
  const auto start = [](const std::function<void(HttpServerOptions&)>& change) {
    HttpServerOptions options;
    change(options);
    return HttpServer::Start(std::move(options), [](HttpRequest, std::shared_ptr<HttpExchange>) {});
  };
  EXPECT_ERROR_CONTAINS(start([](auto& o) { o.host = ""; }), "neither a host nor a Unix socket");
  EXPECT_ERROR_CONTAINS(start([](auto& o) { o.host = "two words"; }), "two words");
  EXPECT_ERROR_CONTAINS(start([](auto& o) { o.host = "192.0.2.1"; }), "192.0.2.1 port 0: cannot listen");
  EXPECT_ERROR_CONTAINS(start([](auto& o) { o.max_connections = 0; }), "max_connections is 0");
  EXPECT_ERROR_CONTAINS(start([](auto& o) { o.max_headers = 0; }), "max_headers is 0");
  EXPECT_ERROR_CONTAINS(start([](auto& o) { o.max_header_bytes = 255; }),
                        "max_header_bytes is 255, expected 256 to");
  EXPECT_ERROR_CONTAINS(start([](auto& o) { o.num_threads = 0; }), "num_threads is 0, expected 1 to 64");
  EXPECT_ERROR_CONTAINS(start([](auto& o) { o.num_threads = 65; }), "num_threads is 65");
  EXPECT_ERROR_CONTAINS(start([](auto& o) { o.body_time_limit = milliseconds(0); }),
                        "body_time_limit is 0 ms");
  EXPECT_ERROR_CONTAINS(start([](auto& o) { o.tls_key_file = "key"; }), "the certificate file is missing");
  EXPECT_ERROR_CONTAINS(start([](auto& o) { o.tls_certificate_file = "cert"; }), "the key file is missing");
  TestServer server;
  EXPECT_ERROR_CONTAINS(start([&](auto& o) { o.port = server.port(); }),
                        "cannot listen: Address already in use");
}

TEST(HttpServerTest, SeveralThreadsServeManyClients) {
  HttpServerOptions options;
  options.num_threads = 4;
  TestServer server(std::move(options));
  std::vector<std::thread> clients;
  std::atomic<int> num_right{0};
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&, i] {
      RawClient client(server.port());
      const std::string body(static_cast<size_t>(1 + 7000 * i), static_cast<char>('a' + i));
      for (int round = 0; round < 20; ++round) {
        const RawResponse response = client.Exchange(
            fmt::format("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{}", body.size(), body));
        if (response.body == body) ++num_right;
        if (client.Exchange("GET /stream HTTP/1.1\r\nHost: t\r\n\r\n").status == 200) ++num_right;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(num_right, 8 * 20 * 2);
}

}  // namespace
}  // namespace qwen25
