// How many connections there may be, and how the server ends.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "serve/http/server_fixture_test_util.h"

namespace qwen25 {
namespace {

using std::chrono::milliseconds;

const std::string kHeldRequest = "GET /held HTTP/1.1\r\nHost: t\r\n\r\n";

size_t NumDescriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count - 1;  // without the one that this loop had open
}

TEST(HttpLimitsTest, AConnectionTooManyIsToldSo) {
  HttpServerOptions options;
  options.max_connections = 2;
  TestServer server(std::move(options));
  RawClient first(server.port()), second(server.port());
  EXPECT_EQ(first.Exchange(kGoodRequest).status, 200);
  EXPECT_EQ(second.Exchange(kGoodRequest).status, 200);
  for (int i = 0; i < 100; ++i) {
    RawClient third(server.port());
    const RawResponse response = third.Exchange(kGoodRequest);
    EXPECT_EQ(response.status, 503);
    EXPECT_NE(response.body.find("limit of 2 connections open; try again later"), std::string::npos)
        << response.body;
    EXPECT_TRUE(third.ReceiveToEnd());
  }
  EXPECT_EQ(server.server->Counters().num_refused, 100u);
  EXPECT_EQ(first.Exchange(kGoodRequest).status, 200);
  first.Close();
  EXPECT_TRUE(Eventually([&] { return server.server->Counters().num_open == 1; }));
  ExpectServes(server.port());
}

TEST(HttpLimitsTest, ThoseWhoAreRefusedAndStayDoNotPileUp) {
  HttpServerOptions options;
  options.max_connections = 1;
  TestServer server(std::move(options));
  RawClient only(server.port());
  EXPECT_EQ(only.Exchange(kGoodRequest).status, 200);
  const size_t before = NumDescriptors();
  std::vector<RawClient> refused;
  for (int i = 0; i < 200; ++i) refused.emplace_back(server.port());
  EXPECT_TRUE(Eventually([&] { return server.server->Counters().num_refused == 200; }));
  EXPECT_LE(NumDescriptors(), before + 200 + 64);
  EXPECT_EQ(only.Exchange(kGoodRequest).status, 200);
}

TEST(HttpLimitsTest, OfOnePeer) {
  HttpServerOptions options;
  options.max_connections_per_peer = 2;
  TestServer server(std::move(options));
  RawClient first(server.port()), second(server.port());
  EXPECT_EQ(first.Exchange(kGoodRequest).status, 200);
  EXPECT_EQ(second.Exchange(kGoodRequest).status, 200);
  {
    RawClient third(server.port());
    const RawResponse response = third.ReadResponse();
    EXPECT_EQ(response.status, 503);
    EXPECT_NE(response.body.find("127.0.0.1 has its limit of 2 connections open"), std::string::npos);
  }
  first.Close();
  EXPECT_TRUE(Eventually([&] { return server.server->Counters().num_open == 1; }));
  ExpectServes(server.port());
}

TEST(HttpLimitsTest, AThousandConnectionsLeaveNoDescriptorBehind) {
  constexpr size_t kNumClients = 1000;
  constexpr rlim_t kNeeded = 2 * kNumClients + 100;  // both ends are in this process
  rlimit limit;
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_max < kNeeded) {
    GTEST_SKIP() << "SKIPPED: needs " << kNeeded << " descriptors, the hard limit (ulimit -Hn) is "
                 << limit.rlim_max;
  }
  const rlimit raised = {.rlim_cur = std::max(limit.rlim_cur, kNeeded), .rlim_max = limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &raised), 0);
  const size_t before = NumDescriptors();
  {
    HttpServerOptions options;
    options.max_connections = kNumClients;
    options.num_threads = 2;
    TestServer server(std::move(options));
    std::vector<RawClient> clients;
    for (size_t i = 0; i < kNumClients; ++i) clients.emplace_back(server.port());
    for (RawClient& client : clients) ASSERT_EQ(client.Exchange(kGoodRequest).body, "hello");
    EXPECT_EQ(server.server->Counters().num_open, kNumClients);
    for (RawClient& client : clients) client.Send(kHeldRequest);
    std::vector<TestServer::Held> held;
    for (size_t i = 0; i < kNumClients; ++i) held.push_back(server.TakeHeld());
    // A third get their answer, a third vanish, and a third are there when the server ends.
    for (size_t i = 0; i < kNumClients; i += 3) clients[i].Close();
    for (TestServer::Held& one : held) {
      ASSERT_NE(one.exchange, nullptr);
      one.exchange->BeginStream(200, {});
      one.exchange->Write("text");
    }
    for (size_t i = 1; i < kNumClients; i += 3) EXPECT_TRUE(clients[i].ReceiveUntil("text"));
  }
  EXPECT_EQ(NumDescriptors(), before);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

TEST(HttpLimitsTest, WithoutDescriptorsItWaitsAndGoesOn) {
  TestServer server;
  ExpectServes(server.port());
  ASSERT_TRUE(Eventually([&] { return server.server->Counters().num_open == 0; }));
  RawClient client = RawClient::FromSocket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  rlimit limit;
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  // New descriptors take the lowest number that is free; none below this one is.
  const int lowest_free = ::dup(client.descriptor());
  ::close(lowest_free);
  const rlimit none_left = {.rlim_cur = static_cast<rlim_t>(lowest_free), .rlim_max = limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none_left), 0);
  const auto start = std::chrono::steady_clock::now();
  client.Connect(server.port());
  client.Send(kGoodRequest);
  EXPECT_TRUE(Eventually([&] { return server.server->Counters().num_accept_errors >= 2; }));
  const auto elapsed = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start);
  EXPECT_LE(server.server->Counters().num_accept_errors, static_cast<uint64_t>(elapsed.count()) / 50 + 2)
      << "it must not try without pause";
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(client.ReadResponse().body, "hello");
  ExpectServes(server.port());
}

TEST(HttpDrainTest, IdleConnectionsEndAndAnswersInProgressAreFinished) {
  TestServer server;
  const uint16_t port = server.port();
  RawClient idle(port), busy(port), sending(port), streaming(port);
  EXPECT_EQ(idle.Exchange(kGoodRequest).status, 200);
  busy.Send(kHeldRequest);
  const TestServer::Held held = server.TakeHeld();
  ASSERT_NE(held.exchange, nullptr);
  streaming.Send(kHeldRequest);
  const TestServer::Held streamed = server.TakeHeld();
  ASSERT_NE(streamed.exchange, nullptr);
  streamed.exchange->BeginStream(200, {});
  EXPECT_TRUE(streaming.ReceiveUntil("\r\n\r\n"));
  sending.Send("POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  EXPECT_EQ(sending.ReadResponse().status, 100);

  size_t num_cut = 1;
  std::thread draining([&] { num_cut = server.server->Drain(kTestPatience); });
  EXPECT_TRUE(idle.ReceiveToEnd());
  EXPECT_TRUE(Eventually([&] { return !RawClient(port).is_connected(); })) << "no new connections";
  held.exchange->Send({.body = "late"});
  const RawResponse response = busy.ReadResponse();
  EXPECT_EQ(response.body, "late");
  EXPECT_EQ(response.Header("Connection"), "close");
  EXPECT_TRUE(busy.ReceiveToEnd());
  sending.Send("body");
  EXPECT_EQ(sending.ReadResponse().body, "body");
  EXPECT_TRUE(sending.ReceiveToEnd());
  streamed.exchange->Write("more");
  streamed.exchange->EndStream();
  EXPECT_EQ(streaming.ReadResponse().body, "more");
  for (RawClient* client : {&idle, &busy, &sending, &streaming}) client->Close();
  draining.join();
  EXPECT_EQ(num_cut, 0u);
  EXPECT_EQ(server.server->Drain(milliseconds(0)), 0u) << "a second time does nothing";
}

TEST(HttpDrainTest, IdleClientsThatDoNotReactAreNotWaitedFor) {
  TestServer server;
  RawClient idle(server.port());
  EXPECT_EQ(idle.Exchange(kGoodRequest).status, 200);
  RawClient silent(server.port());
  EXPECT_TRUE(Eventually([&] { return server.server->Counters().num_open == 2; }));
  // Well before the server would lose its patience with a client that has been answered.
  EXPECT_EQ(server.server->Drain(milliseconds(1500)), 0u);
}

TEST(HttpDrainTest, WhatLastsLongerThanTheLimitIsCut) {
  TestServer server;
  RawClient busy(server.port());
  busy.Send(kHeldRequest);
  const TestServer::Held held = server.TakeHeld();
  ASSERT_NE(held.exchange, nullptr);
  Event gone;
  held.exchange->OnDisconnect([&] { gone.Add(); });
  EXPECT_EQ(server.server->Drain(milliseconds(20)), 1u);
  EXPECT_EQ(gone.count(), 1u);
  EXPECT_TRUE(busy.ReceiveToEnd());
  EXPECT_TRUE(busy.was_reset());
}

TEST(HttpDrainTest, AnExchangeMayOutliveTheServer) {
  auto server = std::make_unique<TestServer>();
  RawClient client(server->port()), other(server->port());
  client.Send(kHeldRequest);
  const TestServer::Held held = server->TakeHeld();
  other.Send(kHeldRequest);
  const TestServer::Held streamed = server->TakeHeld();
  ASSERT_NE(streamed.exchange, nullptr);
  streamed.exchange->BeginStream(200, {});
  server.reset();
  EXPECT_FALSE(held.exchange->IsOpen());
  held.exchange->Send({.body = "into the void"});
  streamed.exchange->Write("into the void");
  bool called = false;
  streamed.exchange->OnDisconnect([&] { called = true; });
  EXPECT_TRUE(called);
}

TEST(HttpDrainTest, AServerMayEndWhileClientsComeAndAnswersAreGiven) {
  for (int round = 0; round < 20; ++round) {
    HttpServerOptions options;
    options.num_threads = 2;
    auto server = std::make_unique<TestServer>(std::move(options));
    const uint16_t port = server->port();
    std::atomic<bool> is_over{false};
    std::thread clients([&] {
      while (!is_over) {
        RawClient client(port);
        if (client.is_connected()) client.Exchange("GET /stream HTTP/1.1\r\nHost: t\r\n\r\n");
      }
    });
    EXPECT_TRUE(Eventually([&] { return server->server->Counters().num_accepted > 5; }));
    server->server->Drain(milliseconds(round));
    is_over = true;
    clients.join();
  }
}

}  // namespace
}  // namespace qwen25
