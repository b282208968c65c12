// Clients that go away, or do not read, while their answer is made.
#include <gtest/gtest.h>

#include <atomic>
#include <string>

#include "serve/http/server_fixture_test_util.h"

namespace qwen25 {
namespace {

using std::chrono::milliseconds;

const std::string kHeldRequest = "GET /held HTTP/1.1\r\nHost: t\r\n\r\n";

struct Departure {
  const char* name;
  void (*leave)(RawClient&);
};

void PrintTo(const Departure& departure, std::ostream* out) {
  *out << departure.name;
}

class DepartureTest : public testing::TestWithParam<Departure> {};

TEST_P(DepartureTest, IsNoticedBeforeAnythingIsWritten) {
  TestServer server;
  RawClient client(server.port());
  client.Send(kHeldRequest);
  const TestServer::Held held = server.TakeHeld();
  ASSERT_NE(held.exchange, nullptr);
  EXPECT_TRUE(held.exchange->IsOpen());
  Event gone;
  held.exchange->OnDisconnect([&] { gone.Add(); });
  GetParam().leave(client);
  ASSERT_TRUE(gone.WaitFor(1));
  EXPECT_FALSE(held.exchange->IsOpen());
  // All of this is allowed, and does nothing.
  held.exchange->BeginStream(200, {});
  held.exchange->Write("text");
  held.exchange->EndStream();
  EXPECT_EQ(held.exchange->BufferedBytes(), 0u);
  EXPECT_EQ(gone.count(), 1u);
  EXPECT_TRUE(Eventually([&] { return server.server->Counters().num_open == 0; }));
  ExpectServes(server.port());
}

TEST_P(DepartureTest, IsNoticedAmidAStreamAndWithRequestsWaiting) {
  TestServer server;
  RawClient client(server.port());
  client.Send(kHeldRequest + kGoodRequest + kGoodRequest);
  const TestServer::Held held = server.TakeHeld();
  ASSERT_NE(held.exchange, nullptr);
  held.exchange->BeginStream(200, {});
  held.exchange->Write("text");
  EXPECT_TRUE(client.ReceiveUntil("text"));
  Event gone;
  held.exchange->OnDisconnect([&] { gone.Add(); });
  GetParam().leave(client);
  ASSERT_TRUE(gone.WaitFor(1));
  EXPECT_FALSE(held.exchange->IsOpen());
  ExpectServes(server.port());
}

INSTANTIATE_TEST_SUITE_P(Ways, DepartureTest,
                         testing::Values(Departure{"close", [](RawClient& client) { client.Close(); }},
                                         Departure{"reset", [](RawClient& client) { client.Reset(); }},
                                         Departure{"half_close",
                                                   [](RawClient& client) { client.CloseSending(); }}),
                         [](const auto& info) { return info.param.name; });

TEST(HttpDisconnectTest, AskingAfterwardsIsAnsweredAtOnce) {
  TestServer server;
  RawClient client(server.port());
  client.Send(kHeldRequest);
  const TestServer::Held held = server.TakeHeld();
  ASSERT_NE(held.exchange, nullptr);
  client.Close();
  ASSERT_TRUE(Eventually([&] { return !held.exchange->IsOpen(); }));
  bool called = false;
  held.exchange->OnDisconnect([&] { called = true; });
  EXPECT_TRUE(called);
}

TEST(HttpDisconnectTest, IsNotCalledAfterACompleteAnswerAndIsDestroyed) {
  TestServer server;
  RawClient client(server.port());
  client.Send(kHeldRequest);
  const TestServer::Held held = server.TakeHeld();
  ASSERT_NE(held.exchange, nullptr);
  auto token = std::make_shared<int>();
  bool called = false;
  held.exchange->OnDisconnect([&called, token] { called = true; });
  EXPECT_EQ(token.use_count(), 2);
  held.exchange->Send({.body = "done"});
  EXPECT_EQ(token.use_count(), 1) << "what the callback holds must not be held any longer";
  EXPECT_EQ(client.ReadResponse().body, "done");
  client.Close();
  EXPECT_TRUE(Eventually([&] { return server.server->Counters().num_open == 0; }));
  EXPECT_FALSE(called);
}

TEST(HttpDisconnectTest, AClientThatOnlyEndsItsSideGetsAnAnswerThatIsReady) {
  TestServer server;
  RawClient client(server.port());
  client.Send(kGoodRequest);
  client.CloseSending();
  EXPECT_EQ(client.ReadResponse().body, "hello");
  EXPECT_TRUE(client.ReceiveToEnd());
  EXPECT_FALSE(client.was_reset());
}

// Writes until the client is dropped; it never reads.
TEST(HttpDisconnectTest, AClientThatDoesNotReadIsDroppedAndNobodyWaits) {
  HttpServerOptions options;
  options.max_buffered_bytes = 100'000;
  TestServer server(std::move(options));
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  RawClient::KeepLittle(descriptor);
  RawClient client = RawClient::FromSocket(descriptor);
  client.Connect(server.port());
  client.Send(kHeldRequest);
  const TestServer::Held held = server.TakeHeld();
  ASSERT_NE(held.exchange, nullptr);
  Event gone;
  held.exchange->OnDisconnect([&] { gone.Add(); });
  held.exchange->BeginStream(200, {});
  size_t written = 0;
  constexpr size_t kFarTooMuch = size_t{1} << 30;
  while (held.exchange->IsOpen() && written < kFarTooMuch) {
    EXPECT_LE(held.exchange->BufferedBytes(), 100'000u + 20);
    held.exchange->Write(std::string(10'000, 'a'));
    written += 10'000;
  }
  EXPECT_LT(written, kFarTooMuch);
  EXPECT_TRUE(gone.WaitFor(1));
  EXPECT_TRUE(client.ReceiveToEnd());
  EXPECT_TRUE(client.was_reset()) << "it must not take what it got for the whole";
  ExpectServes(server.port());
}

TEST(HttpDisconnectTest, AClientThatTakesNothingForTooLongIsDropped) {
  HttpServerOptions options;
  options.write_time_limit = milliseconds(50);
  TestServer server(std::move(options));
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  RawClient::KeepLittle(descriptor);
  RawClient client = RawClient::FromSocket(descriptor);
  client.Connect(server.port());
  client.Send(kHeldRequest);
  const TestServer::Held held = server.TakeHeld();
  ASSERT_NE(held.exchange, nullptr);
  held.exchange->Send({.body = std::string(50'000'000, 'a')});
  EXPECT_TRUE(Eventually([&] { return server.server->Counters().num_open == 0; }));
  EXPECT_EQ(held.exchange->BufferedBytes(), 0u);
  ExpectServes(server.port());
}

TEST(HttpDisconnectTest, AWholeAnswerMayBeLargerThanTheBuffer) {
  HttpServerOptions options;
  options.max_buffered_bytes = 1000;
  TestServer server(std::move(options));
  RawClient client(server.port());
  client.Send(kHeldRequest);
  const std::string body(5'000'000, 'a');
  server.TakeHeld().exchange->Send({.body = body});
  EXPECT_EQ(client.ReadResponse().body, body);

  client.Send(kHeldRequest);
  const TestServer::Held held = server.TakeHeld();
  ASSERT_NE(held.exchange, nullptr);
  held.exchange->BeginStream(200, {});
  ASSERT_TRUE(Eventually([&] { return held.exchange->BufferedBytes() == 0; }));
  held.exchange->Write(body);  // alone, with nothing before it
  held.exchange->EndStream();
  EXPECT_EQ(client.ReadResponse().body, body);
}

// The last reference may go, and answers may come, from the callback itself.
TEST(HttpDisconnectTest, TheCallbackMayLetGoOfTheExchange) {
  TestServer server;
  RawClient client(server.port());
  client.Send(kHeldRequest);
  TestServer::Held held = server.TakeHeld();
  ASSERT_NE(held.exchange, nullptr);
  Event gone;
  auto exchange = std::make_shared<std::shared_ptr<HttpExchange>>(std::move(held.exchange));
  (*exchange)->OnDisconnect([exchange, &gone] {
    (*exchange)->Send({});
    exchange->reset();
    gone.Add();
  });
  client.Reset();
  EXPECT_TRUE(gone.WaitFor(1));
  ExpectServes(server.port());
}

// A client that leaves at the same time as another thread writes: ThreadSanitizer watches.
TEST(HttpDisconnectTest, DeparturesAndAnswersAtTheSameTime) {
  HttpServerOptions options;
  options.num_threads = 3;
  TestServer server(std::move(options));
  for (int round = 0; round < 100; ++round) {
    RawClient client(server.port());
    client.Send(kHeldRequest);
    TestServer::Held held = server.TakeHeld();
    ASSERT_NE(held.exchange, nullptr);
    Event over;
    held.exchange->OnDisconnect([&] { over.Add(); });
    std::thread writer([&, exchange = std::move(held.exchange)]() mutable {
      exchange->BeginStream(200, {});
      for (int i = 0; i < round; ++i) exchange->Write("text");
      if (round % 3 == 0) exchange->EndStream();
      (void)exchange->IsOpen();
      exchange.reset();
    });
    if (round % 2 == 0) {
      client.Reset();
    } else {
      client.ReceiveUntil("text");
      client.Close();
    }
    writer.join();
    ASSERT_TRUE(Eventually([&] { return server.server->Counters().num_open == 0; }));
  }
  ExpectServes(server.port());
}

}  // namespace
}  // namespace qwen25
