#include "infer/scheduler/fair_queue.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace qwen25 {
namespace {

std::vector<uint64_t> Serve(FairQueue& queue, size_t count) {
  std::vector<uint64_t> served;
  while (served.size() < count && !queue.empty()) {
    served.push_back(queue.Next()->id);
    queue.Pop();
  }
  return served;
}

TEST(FairQueueTest, OneClientIsServedInItsOrder) {
  FairQueue queue(100);
  for (uint64_t id = 1; id <= 4; ++id) queue.Push({.id = id, .client = "a", .cost = 1000 / id});
  EXPECT_EQ(Serve(queue, 9), (std::vector<uint64_t>{1, 2, 3, 4}));
  EXPECT_EQ(queue.Next(), std::nullopt);
}

TEST(FairQueueTest, ClientsShareByTokensNotByRequests) {
  FairQueue queue(100);
  // One client asks with 1,000 tokens each, another one with 100.
  for (uint64_t i = 0; i < 100; ++i) {
    queue.Push({.id = i, .client = "long", .cost = 1000});
    queue.Push({.id = 1000 + i, .client = "short", .cost = 100});
  }
  size_t num_long = 0;
  for (const uint64_t id : Serve(queue, 55)) num_long += id < 1000;
  EXPECT_EQ(num_long, 5u);
}

TEST(FairQueueTest, ALaterClientDoesNotWaitForALongQueue) {
  FairQueue queue(100);
  for (uint64_t i = 0; i < 100; ++i) queue.Push({.id = i, .client = "first", .cost = 100});
  Serve(queue, 10);
  queue.Push({.id = 1000, .client = "second", .cost = 100});
  const std::vector<uint64_t> next = Serve(queue, 2);
  EXPECT_TRUE(std::ranges::find(next, 1000u) != next.end());
}

TEST(FairQueueTest, PrioritiesComeFirst) {
  FairQueue queue;
  queue.Push({.id = 1, .client = "a", .priority = 0, .cost = 10});
  queue.Push({.id = 2, .client = "b", .priority = 5, .cost = 100000});
  queue.Push({.id = 3, .client = "a", .priority = 5, .cost = 100000});
  queue.Push({.id = 4, .client = "b", .priority = -1, .cost = 1});
  const std::vector<uint64_t> served = Serve(queue, 9);
  EXPECT_EQ(std::set<uint64_t>(served.begin(), served.begin() + 2), (std::set<uint64_t>{2, 3}));
  EXPECT_EQ(served[2], 1u);
  EXPECT_EQ(served[3], 4u);
}

TEST(FairQueueTest, AnswersCountWhileOthersWait) {
  FairQueue queue(100);
  for (uint64_t i = 0; i < 10; ++i) {
    queue.Push({.id = i, .client = "a", .cost = 100});
    queue.Push({.id = 100 + i, .client = "b", .cost = 100});
  }
  queue.Charge("a", 1000);
  size_t of_b = 0;
  for (const uint64_t id : Serve(queue, 10)) of_b += id >= 100;
  EXPECT_EQ(of_b, 10u);
}

TEST(FairQueueTest, AnswersAreFreeWhileNobodyWaits) {
  FairQueue queue(100);
  queue.Push({.id = 1, .client = "a", .cost = 100});
  queue.Charge("a", 100000);
  queue.Push({.id = 2, .client = "b", .cost = 100});
  queue.Push({.id = 3, .client = "a", .cost = 100});
  queue.Push({.id = 4, .client = "b", .cost = 100});
  EXPECT_EQ(std::ranges::count(Serve(queue, 3), 1u), 1);
}

TEST(FairQueueTest, WhatComesBackComesFirst) {
  FairQueue queue;
  queue.Push({.id = 1, .client = "a", .cost = 10});
  queue.PushAgain({.id = 2, .client = "a", .cost = 1000000});
  EXPECT_EQ(Serve(queue, 9), (std::vector<uint64_t>{2, 1}));
}

TEST(FairQueueTest, WhatIsRemovedIsNotServed) {
  FairQueue queue;
  queue.Push({.id = 1, .client = "a"});
  queue.Push({.id = 2, .client = "a"});
  EXPECT_TRUE(queue.Remove(1));
  EXPECT_FALSE(queue.Remove(1));
  EXPECT_EQ(Serve(queue, 9), (std::vector<uint64_t>{2}));
}

TEST(FairQueueTest, EverybodyIsServedOnceInTheOrderOfAClient) {
  EXPECT_TRUE(rc::check("every request is served once, those of one client and priority in their order", [] {
    FairQueue queue(*rc::gen::inRange<size_t>(1, 500));
    std::map<uint64_t, FairQueue::Entry> waiting;
    uint64_t next_id = 1;
    std::map<std::pair<std::string, int>, uint64_t> last_served;
    const auto serve = [&] {
      const auto entry = queue.Next();
      RC_ASSERT(entry.has_value() && queue.Next()->id == entry->id);
      queue.Pop();
      for (const auto& [id, other] : waiting) RC_ASSERT(other.priority <= entry->priority);
      RC_ASSERT(waiting.erase(entry->id) == 1u);
      uint64_t& last = last_served[{entry->client, entry->priority}];
      RC_ASSERT(last < entry->id);
      last = entry->id;
    };
    for (const int action : *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 8))) {
      if (action < 4) {
        const FairQueue::Entry entry = {
            .id = next_id++,
            .client = std::string(1, static_cast<char>('a' + *rc::gen::inRange(0, 3))),
            .priority = *rc::gen::inRange(0, 2),
            .cost = *rc::gen::inRange<size_t>(0, 3000)};
        waiting[entry.id] = entry;
        queue.Push(entry);
      } else if (action < 6 && !waiting.empty()) {
        serve();
      } else if (action == 6 && !waiting.empty()) {
        RC_ASSERT(queue.Remove(waiting.begin()->first));
        waiting.erase(waiting.begin());
      } else if (action == 7) {
        queue.Charge("b", *rc::gen::inRange<size_t>(0, 5000));
      }
      RC_ASSERT(queue.size() == waiting.size());
    }
    while (!waiting.empty()) serve();
    RC_ASSERT(queue.empty());
  }));
}

}  // namespace
}  // namespace qwen25
