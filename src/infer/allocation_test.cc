// A decode step in a warm session must not touch the heap.
#include "base/allocation_counter.h"

#include <memory>
#include <vector>

#include "base/test_util.h"
#include "infer/sampler.h"
#include "infer/session.h"
#include "infer/token_stream.h"
#include "model/adapter/adapter_test_util.h"

namespace qwen25 {
namespace {

TEST(DecodeAllocationTest, AWarmSessionDecodesWithoutTheHeap) {
  if (!QWEN25_COUNTS_ALLOCATIONS) GTEST_SKIP() << "SKIPPED: a sanitizer's allocator does not count";
  Model model(*FindPreset("nano"));
  model.Initialize(1);
  for (size_t num_threads : {1, 2}) {
    Model copy(model.config());
    copy.Initialize(1);
    InferenceEngine engine(std::move(copy), {.num_threads = num_threads});
    Session session(engine);
    SamplingOptions options;
    options.repetition_penalty = 1.1f;
    Sampler sampler(options, model.config().vocab_size);
    const std::vector<int32_t> prompt = {1, 2, 3, 4, 5};
    for (bool warm : {false, true}) {
      session.Truncate(0);
      const AllocationCounter counter;
      ASSERT_OK(session.Append(prompt));
      for (int i = 0; i < 150; ++i) {  // over two borders of blocks
        const int32_t token = sampler.Sample(session.logits(), session.tokens());
        ASSERT_OK(session.Append({&token, 1}));
      }
      if (warm) {
        EXPECT_EQ(counter.count(), 0u) << num_threads << " threads";
      } else {
        EXPECT_GT(counter.count(), 0u) << "the counter does not count";
      }
    }
  }
}

TEST(DecodeAllocationTest, WarmSessionsInOnePassDoNotUseTheHeap) {
  if (!QWEN25_COUNTS_ALLOCATIONS) GTEST_SKIP() << "SKIPPED: a sanitizer's allocator does not count";
  constexpr size_t kSessions = 16;
  Model model(*FindPreset("nano"));
  model.Initialize(1);
  InferenceEngine engine(std::move(model), {.num_threads = 2, .max_total_tokens = kSessions * 256});
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<SessionTokens> parts;
  const std::vector<int32_t> tokens = {1, 2, 3};
  for (size_t i = 0; i < kSessions; ++i) {
    sessions.push_back(std::make_unique<Session>(engine));
    parts.push_back({sessions.back().get(), tokens});
  }
  for (bool warm : {false, true}) {
    for (const auto& session : sessions) session->Truncate(0);
    const AllocationCounter counter;
    for (int i = 0; i < 50; ++i) ASSERT_OK(AppendTogether(engine, parts));
    if (warm) {
      EXPECT_EQ(counter.count(), 0u);
    }
  }
}

TEST(DecodeAllocationTest, WarmSessionsWithAdaptersDoNotUseTheHeap) {
  if (!QWEN25_COUNTS_ALLOCATIONS) GTEST_SKIP() << "SKIPPED: a sanitizer's allocator does not count";
  constexpr size_t kSessions = 9;
  Model model(*FindPreset("nano"));
  model.Initialize(1);
  const auto first = RandomAdapters(model.config(), 16, 1), second = RandomAdapters(model.config(), 5, 2);
  InferenceEngine engine(std::move(model), {.num_threads = 2, .max_total_tokens = kSessions * 256});
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<SessionTokens> parts;
  const std::vector<int32_t> tokens = {1, 2, 3};
  for (size_t i = 0; i < kSessions; ++i) {
    sessions.push_back(std::make_unique<Session>(engine));
    ASSERT_OK(sessions.back()->SetAdapters(i % 3 == 0 ? nullptr : i % 3 == 1 ? first : second));
    parts.push_back({sessions.back().get(), tokens});
  }
  for (bool warm : {false, true}) {
    for (const auto& session : sessions) session->Truncate(0);
    const AllocationCounter counter;
    for (int i = 0; i < 50; ++i) ASSERT_OK(AppendTogether(engine, parts));
    if (warm) {
      EXPECT_EQ(counter.count(), 0u);
    }
  }
}

TEST(DecodeAllocationTest, WarmSpeculationDoesNotUseTheHeap) {
  if (!QWEN25_COUNTS_ALLOCATIONS) GTEST_SKIP() << "SKIPPED: a sanitizer's allocator does not count";
  const auto make_engine = [] {
    Model model(*FindPreset("nano"));
    model.Initialize(1);
    return std::make_unique<InferenceEngine>(std::move(model), InferenceEngine::Options{.num_threads = 2});
  };
  const auto target = make_engine(), same = make_engine();
  const SamplingOptions greedy = {.temperature = 0};
  LookupDrafter lookup(target->max_context_tokens());
  ModelDrafter model(*same, greedy, target->model().config().vocab_size, 0.1);
  for (Drafter* drafter : std::initializer_list<Drafter*>{&lookup, &model}) {
    Session session(*target);
    const std::vector<int32_t> prompt = {1, 2, 3, 1, 2, 3, 1, 2};
    ASSERT_OK(session.Append(prompt));
    TokenStream stream(session, greedy, drafter, 8);
    ASSERT_OK(stream.Take());
    const auto step = [&] {
      ASSERT_OK(AppendProposal(stream, 1000));
      ASSERT_OK(stream.Take());
    };
    while (session.tokens().size() < 150) step();
    const size_t accepted = stream.stats().num_accepted;
    const AllocationCounter counter;
    while (session.tokens().size() < 300) step();
    EXPECT_EQ(counter.count(), 0u);
    EXPECT_GT(stream.stats().num_accepted, accepted);
  }
}

}  // namespace
}  // namespace qwen25
