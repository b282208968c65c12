// Routing and recall windows, as sessions use them.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
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
  EXPECT_GT(b.routing_counts()[1].routed_rows, 0u);
}

// Each session of a pass has its own policy, counts and trace.
TEST(RoutingTest, SessionsOfOnePassHaveTheirOwnPolicies) {
  InferenceEngine engine(TinyModel(), {.num_threads = 2, .max_total_tokens = 8192, .routing = kPolicy});
  const size_t vocabulary = engine.model().config().vocab_size;
  RoutingPolicy top_p = kPolicy, some_layers = kPolicy;
  top_p.kind = RoutingPolicy::Kind::kTopP;
  top_p.top_p = 0.5f;
  some_layers.dense_layers = 1;
  const std::vector<RoutingPolicy> policies = {RoutingPolicy(), kPolicy, top_p, some_layers};
  const std::vector<int32_t> tokens = RandomTokens(vocabulary, 500, 1);
  std::vector<std::unique_ptr<Session>> together;
  std::vector<RoutingTrace> traces;
  for (size_t i = 0; i < policies.size(); ++i) {
    traces.emplace_back(engine.model().layers.size(), engine.model().config().num_key_value_heads, 500);
  }
  for (size_t i = 0; i < policies.size(); ++i) {
    together.push_back(std::make_unique<Session>(engine));
    ASSERT_OK(together.back()->SetRouting(policies[i]));
    together.back()->SetRoutingTrace(&traces[i]);
  }
  for (size_t begin = 0; begin < tokens.size(); begin += 250) {
    std::vector<SessionTokens> parts;
    for (const auto& session : together)
      parts.push_back({session.get(), std::span(tokens).subspan(begin, 250)});
    ASSERT_OK(AppendTogether(engine, parts));
  }
  for (size_t i = 0; i < policies.size(); ++i) {
    Session alone(engine, "alone");
    RoutingTrace trace(engine.model().layers.size(), engine.model().config().num_key_value_heads, 500);
    ASSERT_OK(alone.SetRouting(policies[i]));
    alone.SetRoutingTrace(&trace);
    ASSERT_OK(alone.Append(tokens));
    EXPECT_TRUE(std::ranges::equal(together[i]->logits(), alone.logits())) << policies[i].ToString();
    for (size_t layer = 0; layer < engine.model().layers.size(); ++layer) {
      const RoutingCounts &a = together[i]->routing_counts()[layer], &b = alone.routing_counts()[layer];
      EXPECT_EQ(a.blocks_read, b.blocks_read) << policies[i].ToString();
      EXPECT_EQ(a.routed_rows, b.routed_rows);
      EXPECT_EQ(a.routed_rows > 0, i > 0 && layer >= policies[i].dense_layers);
      for (size_t position = 0; position < 500; position += 7) {
        ASSERT_TRUE(std::ranges::equal(traces[i].Row(layer, 1, position), trace.Row(layer, 1, position)));
      }
    }
    EXPECT_EQ(std::ranges::equal(together[i]->logits(), together[0]->logits()), i == 0);
    // Blocks are named by the policy that they were computed with.
    Session same(engine);
    ASSERT_OK(same.SetRouting(policies[i]));
    ASSERT_OK(together[i]->Remember());
    ASSERT_OK_AND_ASSIGN(const PrefixReuse reuse, same.HoldExactly(tokens));
    EXPECT_EQ(reuse.shared, (tokens.size() - 1) / kBlockTokens * kBlockTokens) << policies[i].ToString();
    EXPECT_TRUE(std::ranges::equal(same.logits(), alone.logits()));
  }
}

TEST(RoutingTest, SwitchesBetweenPoliciesAndNeedsSummaries) {
  InferenceEngine plain(TinyModel(), {.num_threads = 1});
  {
    Session session(plain);
    EXPECT_ERROR_CONTAINS(session.SetRouting(kPolicy), "needs summaries");
    EXPECT_OK(session.SetRouting(RoutingPolicy()));
  }
  InferenceEngine engine(TinyModel(), {.num_threads = 1, .keep_summaries = true});
  const std::vector<int32_t> tokens = RandomTokens(engine.model().config().vocab_size, 500, 1);
  const std::vector<float> dense = LogitsAfter(engine, tokens, 500);
  EXPECT_EQ(LogitsAfter(plain, tokens, 500), dense);
  Session session(engine);
  ASSERT_OK(session.SetRouting(kPolicy));
  ASSERT_OK(session.Append(tokens));
  EXPECT_NE(std::vector<float>(session.logits().begin(), session.logits().end()), dense);
  RoutingPolicy bad = kPolicy;
  bad.top_p = 2;
  EXPECT_ERROR_CONTAINS(session.SetRouting(bad), "top_p is 2");
  EXPECT_EQ(session.routing(), kPolicy);
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

// A failing disk or a truncated file must not lead to an answer computed from garbage.
TEST(RecallWindowTest, BlocksThatCannotBeReadBackAreAnError) {
  const TemporaryDirectory directory;
  InferenceEngine engine(TinyModel(), RecallOptions(directory.path()));
  Session session(engine);
  ASSERT_OK(session.Append(RandomTokens(100, 1000, 1)));
  // The files have no names; their descriptors do.
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    const std::string target = std::filesystem::read_symlink(entry.path(), ignored).string();
    if (target.find(directory.path().filename().string()) != std::string::npos) files.push_back(entry.path());
  }
  ASSERT_FALSE(files.empty());
  for (const std::filesystem::path& file : files) std::filesystem::resize_file(file, 0);
  const Status status = session.Append(RandomTokens(100, 20, 2));
  EXPECT_EQ(status.code(), StatusCode::kIo) << status.message();
  EXPECT_EQ(session.tokens().size(), 1000u);
}

TEST(RecallWindowTest, SaysIfItsFolderIsNotThere) {
  const Model model = TinyModel();
  EXPECT_ERROR_CONTAINS(InferenceEngine::Check(model.config(), RecallOptions("/there/is/no/such/folder")),
                        "/there/is/no/such/folder");
  EXPECT_OK(InferenceEngine::Check(model.config(), RecallOptions("/tmp")));
  // A folder for temporary files that does not exist is passed over.
  const char* before = std::getenv("TMPDIR");
  const std::string kept = before == nullptr ? "" : before;
  ASSERT_EQ(::setenv("TMPDIR", "/there/is/no/such/folder", 1), 0);
  EXPECT_OK(InferenceEngine::Check(model.config(), RecallOptions({})));
  {
    InferenceEngine engine(TinyModel(), RecallOptions({}));
    Session session(engine);
    EXPECT_OK(session.Append(RandomTokens(100, 100, 1)));
  }
  if (before == nullptr) {
    ::unsetenv("TMPDIR");
  } else {
    ::setenv("TMPDIR", kept.c_str(), 1);
  }
}

}  // namespace
}  // namespace qwen25
