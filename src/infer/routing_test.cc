// Routing and recall windows, as sessions use them.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/test_util.h"
#include "infer/session.h"
#include "infer/tiny_model_test_util.h"

namespace qwen25 {
namespace {

Model TinyModel() {
  ModelConfig config = TinyConfig(100);
  config.max_position_embeddings = 1024;
  Model model(config);
  model.Initialize(3);
  return model;
}

std::vector<float> LogitsAfter(InferenceEngine& engine, std::span<const int32_t> tokens, size_t chunk) {
  Session session(engine);
  for (size_t done = 0; done < tokens.size(); done += chunk) {
    EXPECT_OK(session.Append(tokens.subspan(done, std::min(chunk, tokens.size() - done))));
  }
  return {session.logits().begin(), session.logits().end()};
}

constexpr RoutingPolicy kPolicy = {.kind = RoutingPolicy::Kind::kTopK,
                                   .max_blocks = 2,
                                   .sink_blocks = 1,
                                   .local_blocks = 1,
                                   .dense_below = 0};

TEST(RoutingTest, ChunksAndCompanyDoNotMatter) {
  InferenceEngine engine(TinyModel(), {.num_threads = 2, .max_total_tokens = 4096, .routing = kPolicy});
  const std::vector<int32_t> tokens = RandomTokens(engine.model().config().vocab_size, 500, 1);
  const std::vector<float> whole = LogitsAfter(engine, tokens, 500);
  EXPECT_EQ(LogitsAfter(engine, tokens, 77), whole);
  Session a(engine), b(engine);
  ASSERT_OK(a.Append(RandomTokens(engine.model().config().vocab_size, 300, 2)));
  ASSERT_OK(b.Append(std::span(tokens).first(499)));
  const int32_t other = 3;
  const std::vector<SessionTokens> parts = {{&a, {&other, 1}}, {&b, std::span(tokens).subspan(499)}};
  ASSERT_OK(AppendTogether(engine, parts));
  EXPECT_EQ(std::vector<float>(b.logits().begin(), b.logits().end()), whole);
  EXPECT_GT(engine.routing_counts()[1].routed_rows, 0u);
}

TEST(RoutingTest, SwitchesBetweenPoliciesAndNeedsSummaries) {
  InferenceEngine plain(TinyModel(), {.num_threads = 1});
  EXPECT_ERROR_CONTAINS(plain.SetRouting(kPolicy), "needs summaries");
  EXPECT_OK(plain.SetRouting(RoutingPolicy()));
  InferenceEngine engine(TinyModel(), {.num_threads = 1, .keep_summaries = true});
  const std::vector<int32_t> tokens = RandomTokens(engine.model().config().vocab_size, 500, 1);
  const std::vector<float> dense = LogitsAfter(engine, tokens, 500);
  EXPECT_EQ(LogitsAfter(plain, tokens, 500), dense);
  ASSERT_OK(engine.SetRouting(kPolicy));
  EXPECT_NE(LogitsAfter(engine, tokens, 500), dense);
  RoutingPolicy bad = kPolicy;
  bad.top_p = 2;
  EXPECT_ERROR_CONTAINS(engine.SetRouting(bad), "top_p is 2");
}

TEST(RoutingTest, TruncatedSummariesAreMadeAgain) {
  InferenceEngine engine(TinyModel(), {.num_threads = 1, .routing = kPolicy});
  const std::vector<int32_t> tokens = RandomTokens(engine.model().config().vocab_size, 450, 1);
  const std::vector<float> expected = LogitsAfter(engine, tokens, 450);
  Session session(engine);
  ASSERT_OK(session.Append(std::span(tokens).first(100)));
  ASSERT_OK(session.Append(RandomTokens(engine.model().config().vocab_size, 300, 9)));
  session.Truncate(100);
  ASSERT_OK(session.Append(std::span(tokens).subspan(100)));
  EXPECT_EQ(std::vector<float>(session.logits().begin(), session.logits().end()), expected);
}

InferenceEngine::Options RecallOptions(const std::filesystem::path& directory) {
  return {.num_threads = 2,
          .routing = kPolicy,
          .recall_window = 256,
          .spill_directory = directory,
          .history_bytes = uint64_t{64} << 20,
          .working_bytes = size_t{1} << 20};
}

TEST(RecallWindowTest, HistoriesGoBeyondThePositionsOfTheModel) {
  const TemporaryDirectory directory;
  InferenceEngine engine(TinyModel(), RecallOptions(directory.path()));
  const size_t positions = engine.model().config().max_position_embeddings;
  ASSERT_GT(engine.max_context_tokens(), 4 * positions);
  const std::vector<int32_t> tokens = RandomTokens(engine.model().config().vocab_size, 3 * positions, 4);
  const std::vector<float> whole = LogitsAfter(engine, tokens, tokens.size());
  EXPECT_TRUE(std::ranges::all_of(whole, [](float x) { return std::isfinite(x); }));
  EXPECT_EQ(LogitsAfter(engine, tokens, 333), whole);
  EXPECT_EQ(engine.blocks().num_used(), 0u);
}

TEST(RecallWindowTest, WithinTheWindowNothingChanges) {
  const TemporaryDirectory directory;
  InferenceEngine::Options options = RecallOptions(directory.path());
  options.routing = RoutingPolicy{};
  options.recall_window = 512;
  InferenceEngine recall(TinyModel(), options), plain(TinyModel(), {.num_threads = 2});
  const std::vector<int32_t> tokens = RandomTokens(plain.model().config().vocab_size, 512, 4);
  EXPECT_EQ(LogitsAfter(recall, tokens, 512), LogitsAfter(plain, tokens, 512));
}

TEST(RecallWindowTest, SaysWhatDoesNotFit) {
  const Model model = TinyModel();
  const auto error = [&](auto change) {
    InferenceEngine::Options options = RecallOptions({});
    change(options);
    return InferenceEngine::Check(model.config(), options);
  };
  EXPECT_OK(error([](auto&) {}));
  EXPECT_ERROR_CONTAINS(error([](auto& o) { o.recall_window = 100; }), "multiple of 64");
  EXPECT_ERROR_CONTAINS(error([](auto& o) { o.recall_window = 1 << 20; }), "up to the model's");
  EXPECT_ERROR_CONTAINS(error([](auto& o) { o.routing->dense_layers = 1; }), "dense_layers must be 0");
  EXPECT_ERROR_CONTAINS(error([](auto& o) { o.routing->dense_below = 1024; }), "dense_below at most");
}

TEST(RecallWindowTest, SaysWhereThereIsNoFolderForTemporaryFiles) {
  const Model model = TinyModel();
  const char* before = std::getenv("TMPDIR");
  const std::string kept = before == nullptr ? "" : before;
  ASSERT_EQ(::setenv("TMPDIR", "/there/is/no/such/folder", 1), 0);
  EXPECT_ERROR_CONTAINS(InferenceEngine::Check(model.config(), RecallOptions({})),
                        "/there/is/no/such/folder");
  EXPECT_OK(InferenceEngine::Check(model.config(), RecallOptions("/tmp")));
  EXPECT_OK(InferenceEngine::Check(model.config(), {}));
  if (before == nullptr) {
    ::unsetenv("TMPDIR");
  } else {
    ::setenv("TMPDIR", kept.c_str(), 1);
  }
}

}  // namespace
}  // namespace qwen25
