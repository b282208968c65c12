// Sessions with adapters: their numbers, and what they share.
#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <vector>

#include "base/test_util.h"
#include "infer/embed_texts.h"
#include "infer/load_model.h"
#include "infer/session.h"
#include "infer/tiny_model_test_util.h"
#include "memory/block_store.h"
#include "memory/recalled_blocks.h"
#include "model/adapter/adapter_test_util.h"

namespace qwen25 {
namespace {

constexpr size_t kVocabulary = 96;

ModelConfig SomeConfig() {
  return TinyConfig(kVocabulary, /*max_position_embeddings=*/1024, /*head_dim=*/16);
}

// A model as it comes from disk, in a format of the weights.
std::unique_ptr<InferenceEngine> MakeEngine(WeightFormat format, InferenceEngine::Options options = {}) {
  Model model(SomeConfig());
  model.Initialize(3);
  for (float& weight : model.weights()) weight *= 4;
  TemporaryDirectory folder;
  EXPECT_OK(model.Save(folder.path()));
  options.num_threads = 2;
  options.max_total_tokens = std::max<size_t>(options.max_total_tokens, 16 * 1024);
  ThreadPool threads(2);
  return std::make_unique<InferenceEngine>(Model::LoadPacked(folder.path(), format, threads).value(),
                                           options);
}

std::vector<float> LogitsOf(Session& session) {
  return {session.logits().begin(), session.logits().end()};
}

// The logits after some tokens, read alone.
std::vector<float> LogitsAlone(InferenceEngine& engine, const std::shared_ptr<const AdapterSet>& set,
                               std::span<const int32_t> tokens) {
  Session session(engine);
  EXPECT_OK(session.SetAdapters(set));
  EXPECT_OK(session.Append(tokens));
  return LogitsOf(session);
}

// Several sequences with two sets and without any, in one pass after another: chunks of prompts beside single
// tokens.
TEST(AdaptersTest, ASequenceHasTheSameBitsInAnyCompany) {
  const auto first = RandomAdapters(SomeConfig(), 8, 1), second = RandomAdapters(SomeConfig(), 3, 2);
  const std::array<std::shared_ptr<const AdapterSet>, 6> sets = {first, nullptr, second,
                                                                 first, nullptr, second};
  for (const WeightFormat format : {WeightFormat::kFloat32, WeightFormat::kInt8, WeightFormat::kInt4}) {
    const auto engine = MakeEngine(format);
    std::vector<std::vector<int32_t>> tokens;
    std::vector<std::unique_ptr<Session>> sessions;
    for (size_t i = 0; i < sets.size(); ++i) {
      tokens.push_back(RandomTokens(kVocabulary, 30 + 7 * i, i));
      sessions.push_back(std::make_unique<Session>(*engine));
      ASSERT_OK(sessions.back()->SetAdapters(sets[i]));
    }
    for (size_t pass = 0;; ++pass) {
      std::vector<SessionTokens> parts;
      for (size_t i = 0; i < sets.size(); ++i) {
        const size_t done = sessions[i]->tokens().size();
        const size_t count = std::min(tokens[i].size() - done, (pass + i) % 3 == 0 ? size_t{1} : 5 + i);
        if (count == 0) continue;
        parts.push_back({sessions[i].get(), std::span(tokens[i]).subspan(done, count)});
      }
      if (parts.empty()) break;
      ASSERT_OK(AppendTogether(*engine, parts));
    }
    for (size_t i = 0; i < sets.size(); ++i) {
      EXPECT_EQ(LogitsOf(*sessions[i]), LogitsAlone(*engine, sets[i], tokens[i])) << i;
      if (sets[i] == nullptr) continue;
      EXPECT_NE(LogitsOf(*sessions[i]), LogitsAlone(*engine, nullptr, tokens[i])) << i;
    }
  }
}

TEST(AdaptersTest, TheEnginesAdaptersAreTheDefaultAndAnEmptySetIsNone) {
  const auto set = RandomAdapters(SomeConfig(), 8, 1);
  const std::vector<int32_t> tokens = RandomTokens(kVocabulary, 100, 1);
  const auto plain = MakeEngine(WeightFormat::kFloat32),
             adapted = MakeEngine(WeightFormat::kFloat32, {.adapters = set});
  Session session(*adapted);
  ASSERT_OK(session.Append(tokens));
  EXPECT_EQ(session.adapters(), set);
  EXPECT_EQ(LogitsOf(session), LogitsAlone(*plain, set, tokens));
  const std::vector<float> without = LogitsAlone(*plain, nullptr, tokens);
  EXPECT_EQ(LogitsAlone(*adapted, nullptr, tokens), without);
  EXPECT_EQ(LogitsAlone(*adapted, std::make_shared<AdapterSet>(), tokens), without);
}

TEST(AdaptersTest, AdaptersOfAnotherShapeAreRefused) {
  ModelConfig other = SomeConfig();
  other.intermediate_size += 8;
  const auto set = RandomAdapters(other, 2, 1);
  const auto engine = MakeEngine(WeightFormat::kFloat32);
  Session session(*engine);
  EXPECT_ERROR_CONTAINS(session.SetAdapters(set), "of another shape");
  EXPECT_EQ(session.adapters(), nullptr);
  EXPECT_ERROR_CONTAINS(InferenceEngine::Check(SomeConfig(), {.adapters = set}), "of another shape");
}

TEST(AdaptersTest, BlocksAreSharedWithTheSameAdaptersOnly) {
  const auto engine = MakeEngine(WeightFormat::kFloat32);
  const auto first = RandomAdapters(SomeConfig(), 8, 1), same = RandomAdapters(SomeConfig(), 8, 1),
             second = RandomAdapters(SomeConfig(), 8, 2);
  const std::vector<int32_t> tokens = RandomTokens(kVocabulary, 200, 1);
  const auto shared = [&](const std::shared_ptr<const AdapterSet>& set) {
    Session session(*engine);
    EXPECT_OK(session.SetAdapters(set));
    const PrefixReuse reuse = session.HoldExactly(tokens).value();
    EXPECT_EQ(LogitsOf(session), LogitsAlone(*engine, set, tokens));
    return reuse.shared;
  };
  // The one that computes them stays, so that its blocks do.
  Session owner(*engine);
  ASSERT_OK(owner.SetAdapters(first));
  ASSERT_OK(owner.HoldExactly(tokens));
  EXPECT_EQ(shared(nullptr), 0u);
  EXPECT_EQ(shared(second), 0u);
  EXPECT_EQ(shared(same), 192u);
}

TEST(AdaptersTest, TheStoreKeepsThemApart) {
  TemporaryDirectory directory;
  const auto first = RandomAdapters(SomeConfig(), 8, 1), second = RandomAdapters(SomeConfig(), 8, 2);
  const std::vector<int32_t> tokens = RandomTokens(kVocabulary, 200, 1);
  BlockStore store = BlockStore::Open(directory / "blocks", {}).value();
  const auto stored = [&](const std::shared_ptr<const AdapterSet>& of_engine,
                          const std::shared_ptr<const AdapterSet>& of_session) {
    const auto engine = MakeEngine(WeightFormat::kFloat32, {.adapters = of_engine});
    engine->SetStore(&store);
    Session session(*engine);
    EXPECT_OK(session.SetAdapters(of_session));
    const PrefixReuse reuse = session.HoldExactly(tokens).value();
    EXPECT_OK(session.Remember());
    return reuse.stored;
  };
  EXPECT_EQ(stored(first, first), 0u);
  EXPECT_EQ(stored(nullptr, nullptr), 0u);
  EXPECT_EQ(stored(second, second), 0u);
  EXPECT_EQ(stored(first, first), 192u);
  EXPECT_EQ(stored(nullptr, nullptr), 192u);
  // It does not matter whether they are the engine's or the session's own.
  EXPECT_EQ(stored(nullptr, first), 192u);
  EXPECT_EQ(stored(first, nullptr), 192u);
  EXPECT_EQ(stored(first, std::make_shared<AdapterSet>()), 192u);
  const auto third = RandomAdapters(SomeConfig(), 8, 3);
  EXPECT_EQ(stored(first, third), 0u);
  EXPECT_EQ(stored(second, third), 192u);
  EXPECT_EQ(stored(third, third), 192u);
}

TEST(AdaptersTest, RecalledBlocksAndAdaptersOfASessionExcludeEachOther) {
  TemporaryDirectory directory;
  BlockStore store = BlockStore::Open(directory / "blocks", {}).value();
  const RoutingPolicy policy = {
      .kind = RoutingPolicy::Kind::kTopK, .max_blocks = 2, .local_blocks = 0, .dense_below = 64};
  const auto engine = MakeEngine(
      WeightFormat::kFloat32, {.routing = policy, .recall_window = 256, .history_bytes = uint64_t{8} << 20});
  engine->SetStore(&store);
  {
    Session session(*engine);
    ASSERT_OK(session.HoldExactly(RandomTokens(kVocabulary, 200, 1)));
    ASSERT_OK(session.Remember());
  }
  // Of another adapter, which is not recalled.
  {
    Session session(*engine);
    ASSERT_OK(session.SetAdapters(RandomAdapters(SomeConfig(), 2, 1)));
    ASSERT_OK(session.HoldExactly(RandomTokens(kVocabulary, 200, 1)));
    ASSERT_OK(session.Remember());
  }
  ThreadPool threads(1);
  ASSERT_OK_AND_ASSIGN(const auto recalled, RecalledBlocks::Load(store, "default", engine->block_format(),
                                                                 engine->block_shape(), threads));
  ASSERT_NE(recalled, nullptr);
  EXPECT_EQ(recalled->num_blocks(), 3u);
  Session session(*engine);
  ASSERT_OK(session.Recall(*recalled));
  EXPECT_ERROR_CONTAINS(session.SetAdapters(RandomAdapters(SomeConfig(), 2, 1)),
                        "computed with other adapters");
  EXPECT_OK(session.SetAdapters(nullptr));
}

// Numbers that are not finite because of an adapter are found, and only where it is used.
TEST(AdaptersTest, AnOverflowStopsTheSequencesWithTheAdapterOnly) {
  const auto engine = MakeEngine(WeightFormat::kFloat32);
  const auto wild = RandomAdapters(SomeConfig(), 2, 1, 1e18);
  const std::vector<int32_t> tokens = {1, 2, 3};
  Session plain(*engine), adapted(*engine);
  ASSERT_OK(adapted.SetAdapters(wild));
  const SessionTokens parts[] = {{&adapted, tokens}, {&plain, tokens}};
  EXPECT_ERROR_CONTAINS(AppendTogether(*engine, parts), "with adapters, which may be the cause");
  EXPECT_FALSE(adapted.error().ok());
  EXPECT_OK(plain.error());
  EXPECT_EQ(LogitsOf(plain), LogitsAlone(*engine, nullptr, tokens));
}

TEST(AdaptersTest, VectorsOfTextsUseTheEnginesAdapters) {
  const std::vector<std::vector<int32_t>> texts = {RandomTokens(kVocabulary, 20, 1)};
  const auto vector_of = [&](InferenceEngine& engine) {
    std::vector<float> vector(SomeConfig().hidden_size);
    EXPECT_OK(EmbedTokens(engine, EmbedPooling::kCausalMean, 64, texts, vector));
    return vector;
  };
  const auto plain = MakeEngine(WeightFormat::kFloat32),
             adapted = MakeEngine(WeightFormat::kFloat32, {.adapters = RandomAdapters(SomeConfig(), 8, 1)});
  EXPECT_NE(vector_of(*plain), vector_of(*adapted));
}

class LoadWithAdaptersTest : public testing::Test {
 protected:
  const std::filesystem::path fixtures_ = SourcePath("tests/reference/fixtures");
  const ModelSource source_ = {.path = fixtures_ / "model_untied",
                               .adapters = {{fixtures_ / "adapter_everything", 0.5}},
                               .num_threads = 2};
  const std::vector<int32_t> tokens_ = RandomTokens(96, 20, 1);

  std::vector<float> Logits(const ModelSource& source) {
    std::vector<std::string> remarks;
    const auto engine = LoadEngine(source, remarks).value();
    Session session(*engine);
    EXPECT_OK(session.Append(tokens_));
    return LogitsOf(session);
  }
};

TEST_F(LoadWithAdaptersTest, MergedOrNotTheyGiveTheSame) {
  ModelSource merged = source_, without = source_;
  merged.merge_adapters = true;
  without.adapters.clear();
  const std::vector<float> a = Logits(source_), b = Logits(merged), c = Logits(without);
  double worst = 0, moved = 0, greatest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::fabs(double{a[i]} - b[i]));
    moved = std::max(moved, std::fabs(double{a[i]} - c[i]));
    greatest = std::max(greatest, std::fabs(double{a[i]}));
  }
  EXPECT_LT(worst, 1e-5 * greatest);
  EXPECT_GT(moved, 0.1 * greatest);
}

TEST_F(LoadWithAdaptersTest, WhatDoesNotFitIsRefused) {
  std::vector<std::string> remarks;
  ModelSource bad = source_;
  bad.adapters.push_back({fixtures_ / "adapter_tied"});
  EXPECT_ERROR_CONTAINS(LoadEngine(bad, remarks), "made for another model");
  bad = source_;
  bad.merge_adapters = bad.cache_weights = true;
  EXPECT_ERROR_CONTAINS(LoadEngine(bad, remarks), "packed weights are not kept with merged adapters");
}

}  // namespace
}  // namespace qwen25
