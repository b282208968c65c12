// Blocks that sessions share, and blocks that outlive them.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <optional>
#include <vector>

#include "base/rng.h"
#include "base/test_util.h"
#include "infer/session.h"
#include "infer/tiny_model_test_util.h"
#include "memory/block_export.h"
#include "memory/block_store.h"
#include "memory/recalled_blocks.h"

namespace qwen25 {
namespace {

Model TinyModel(uint64_t seed = 3, size_t positions = 1024) {
  ModelConfig config = TinyConfig(100);
  config.max_position_embeddings = static_cast<uint32_t>(positions);
  Model model(config);
  model.Initialize(seed);
  return model;
}

std::vector<int32_t> SomeTokens(size_t count, uint64_t seed) {
  return RandomTokens(100, count, seed);
}

std::vector<float> Logits(Session& session) {
  return {session.logits().begin(), session.logits().end()};
}

// The logits that a session computes on its own.
std::vector<float> LogitsOf(std::span<const int32_t> tokens, const InferenceEngine::Options& options) {
  InferenceEngine engine(TinyModel(), options);
  Session session(engine);
  EXPECT_OK(session.Append(tokens));
  return Logits(session);
}

constexpr RoutingPolicy kRouted = {.kind = RoutingPolicy::Kind::kTopK,
                                   .max_blocks = 2,
                                   .sink_blocks = 1,
                                   .local_blocks = 1,
                                   .dense_below = 0};

std::vector<InferenceEngine::Options> AllKinds() {
  const InferenceEngine::Options plain = {.num_threads = 2, .max_total_tokens = 4096};
  InferenceEngine::Options half = plain, codes = plain, routed = plain, window = plain, window_codes;
  half.kv_format = KvFormat::kFloat16;
  codes.kv_format = KvFormat::kInt8;
  routed.routing = kRouted;
  routed.kv_format = KvFormat::kFloat16;
  window.routing = kRouted;
  window.recall_window = 256;
  window_codes = window;
  window_codes.kv_format = KvFormat::kInt8;
  return {plain, half, codes, routed, window, window_codes};
}

TEST(SharedBlocksTest, GiveTheSameLogitsAsComputedOnes) {
  const std::vector<int32_t> tokens = SomeTokens(500, 1);
  for (const InferenceEngine::Options& options : AllKinds()) {
    const std::vector<float> alone = LogitsOf(tokens, options);
    InferenceEngine engine(TinyModel(), options);
    Session first(engine);
    ASSERT_OK(first.HoldExactly(std::span(tokens).first(400)));
    const size_t used = engine.blocks().num_used();
    Session second(engine);
    ASSERT_OK_AND_ASSIGN(const PrefixReuse reuse, second.HoldExactly(tokens));
    EXPECT_EQ(reuse.shared, 384u);
    EXPECT_EQ(reuse.total(), 384u);
    EXPECT_EQ(engine.blocks().num_used(), used + 2) << "six blocks are held by both";
    EXPECT_EQ(Logits(second), alone);
  }
}

TEST(SharedBlocksTest, StayAfterTheSessionThatMadeThem) {
  const std::vector<int32_t> tokens = SomeTokens(300, 1);
  InferenceEngine engine(TinyModel(), {.num_threads = 1});
  std::vector<float> logits;
  {
    Session session(engine);
    ASSERT_OK(session.Append(tokens));
    logits = Logits(session);
  }
  EXPECT_EQ(engine.blocks().num_used(), 0u);
  Session again(engine);
  ASSERT_OK_AND_ASSIGN(const PrefixReuse reuse, again.HoldExactly(tokens));
  EXPECT_EQ(reuse.shared, 256u);
  EXPECT_EQ(Logits(again), logits);
}

TEST(SharedBlocksTest, WhoeverGoesAnotherWayDoesNotDisturbTheOthers) {
  const std::vector<int32_t> tokens = SomeTokens(320, 1), other = SomeTokens(100, 2);
  InferenceEngine engine(TinyModel(), {.num_threads = 1, .max_total_tokens = 4096});
  Session a(engine), b(engine);
  ASSERT_OK(a.HoldExactly(tokens));
  ASSERT_OK(b.HoldExactly(tokens));
  // b goes back into a block that both hold, and continues from there.
  b.Truncate(150);
  ASSERT_OK(b.Append(other));
  std::vector<int32_t> all(tokens.begin(), tokens.begin() + 150);
  all.insert(all.end(), other.begin(), other.end());
  EXPECT_EQ(Logits(b), LogitsOf(all, {.num_threads = 1}));
  const int32_t next = 5;
  ASSERT_OK(a.Append({&next, 1}));
  all = tokens;
  all.push_back(next);
  EXPECT_EQ(Logits(a), LogitsOf(all, {.num_threads = 1}));
}

TEST(SharedBlocksTest, AHeldPartOfABlockGivesWayToAWholeOne) {
  const std::vector<int32_t> tokens = SomeTokens(300, 1);
  InferenceEngine engine(TinyModel(), {.num_threads = 1, .max_total_tokens = 4096});
  Session a(engine), b(engine);
  ASSERT_OK(a.HoldExactly(tokens));
  ASSERT_OK(b.Append(std::span(tokens).first(100)));
  ASSERT_OK_AND_ASSIGN(const PrefixReuse reuse, b.HoldExactly(tokens));
  EXPECT_EQ(reuse.held, 64u);
  EXPECT_EQ(reuse.shared, 192u);
  EXPECT_EQ(Logits(b), Logits(a));
}

TEST(SharedBlocksTest, NamespacesAndRoutingKeepApart) {
  const std::vector<int32_t> tokens = SomeTokens(300, 1);
  InferenceEngine engine(TinyModel(), {.num_threads = 1, .max_total_tokens = 4096, .routing = kRouted});
  Session mine(engine, "mine"), yours(engine, "yours");
  ASSERT_OK(mine.HoldExactly(tokens));
  ASSERT_OK_AND_ASSIGN(PrefixReuse reuse, yours.HoldExactly(tokens));
  EXPECT_EQ(reuse.total(), 0u);
  Session dense(engine, "mine");
  ASSERT_OK(dense.SetRouting({}));
  ASSERT_OK_AND_ASSIGN(reuse, dense.HoldExactly(tokens));
  EXPECT_EQ(reuse.total(), 0u);
  // After a change of its policy, a session has no names for further blocks.
  ASSERT_OK(mine.SetRouting({}));
  ASSERT_OK(mine.Append(SomeTokens(100, 3)));
  ASSERT_OK(mine.Remember());
  Session late(engine, "mine");
  ASSERT_OK(late.SetRouting({}));
  ASSERT_OK_AND_ASSIGN(reuse, late.HoldExactly(mine.tokens()));
  EXPECT_EQ(reuse.total(), 256u) << "those of `dense`, and no block after them";
  // Not even if its routing returns to the first policy.
  Session back(engine, "back");
  ASSERT_OK(back.SetRouting({}));
  ASSERT_OK(back.Append(std::span(tokens).first(100)));
  ASSERT_OK(back.SetRouting(kRouted));
  ASSERT_OK(back.Append(std::span(tokens).subspan(100)));
  ASSERT_OK(back.SetRouting({}));
  ASSERT_OK(back.Remember());
  Session other(engine, "back");
  ASSERT_OK(other.SetRouting({}));
  ASSERT_OK_AND_ASSIGN(reuse, other.HoldExactly(tokens));
  EXPECT_EQ(reuse.total(), 0u);
}

// An engine with a store in a folder, as a process would have them.
struct Process {
  Process(const std::filesystem::path& folder, const InferenceEngine::Options& options, uint64_t seed = 3,
          size_t positions = 1024, const std::optional<std::string>& key = std::nullopt)
      : engine(TinyModel(seed, positions), options) {
    Result<BlockStore> opened = BlockStore::Open(folder, {.key = key});
    EXPECT_OK(opened);
    if (!opened.ok()) return;
    store.emplace(std::move(opened).value());
    engine.SetStore(&*store);
  }
  std::optional<BlockStore> store;
  InferenceEngine engine;
};

TEST(StoredBlocksTest, ADialogueGoesOnAfterARestartBitByBit) {
  const std::vector<int32_t> tokens = SomeTokens(500, 1);
  for (const InferenceEngine::Options& options : AllKinds()) {
    const std::vector<float> alone = LogitsOf(tokens, options);
    TemporaryDirectory folder;
    {
      Process process(folder.path(), options);
      Session session(process.engine);
      ASSERT_OK(session.HoldExactly(std::span(tokens).first(300)));
      ASSERT_OK(session.Append(std::span(tokens).subspan(300, 100)));
      ASSERT_OK(session.Remember());
    }
    Process process(folder.path(), options);
    Session session(process.engine);
    ASSERT_OK_AND_ASSIGN(const PrefixReuse reuse, session.HoldExactly(tokens));
    EXPECT_EQ(reuse.stored, 384u);
    EXPECT_EQ(reuse.total(), 384u);
    EXPECT_OK(reuse.store);
    EXPECT_EQ(Logits(session), alone);
    Session other(process.engine, "somebody else");
    ASSERT_OK_AND_ASSIGN(const PrefixReuse none, other.HoldExactly(tokens));
    EXPECT_EQ(none.total(), 0u);
  }
}

TEST(StoredBlocksTest, AnotherModelOrFormatFindsNothing) {
  const std::vector<int32_t> tokens = SomeTokens(300, 1);
  TemporaryDirectory folder;
  {
    Process process(folder.path(), {.num_threads = 1});
    Session session(process.engine);
    ASSERT_OK(session.HoldExactly(tokens));
    ASSERT_OK(session.Remember());
  }
  const auto num_stored = [&](const InferenceEngine::Options& options, uint64_t seed) {
    Process process(folder.path(), options, seed);
    Session session(process.engine);
    const Result<PrefixReuse> reuse = session.HoldExactly(tokens);
    EXPECT_OK(reuse);
    return reuse.ok() ? reuse->stored : 0;
  };
  EXPECT_EQ(num_stored({.num_threads = 1}, 4), 0u);
  EXPECT_EQ(num_stored({.num_threads = 1, .kv_format = KvFormat::kFloat16}, 3), 0u);
  EXPECT_EQ(num_stored({.num_threads = 1, .kv_format = KvFormat::kInt8}, 3), 0u);
  EXPECT_EQ(num_stored({.num_threads = 1, .routing = kRouted}, 3), 0u);
  EXPECT_EQ(num_stored({.num_threads = 2}, 3), 256u);
}

TEST(StoredBlocksTest, ADamagedBlockCostsItselfAndWhatFollows) {
  const std::vector<int32_t> tokens = SomeTokens(500, 1);
  TemporaryDirectory folder;
  const std::vector<float> alone = LogitsOf(tokens, {.num_threads = 1});
  {
    Process process(folder.path(), {.num_threads = 1});
    Session session(process.engine);
    ASSERT_OK(session.HoldExactly(tokens));
    ASSERT_OK(session.Remember());
  }
  // One bit in the middle of the largest file.
  std::filesystem::path largest;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    if (entry.path().extension() == ".kv") largest = entry.path();
  }
  ASSERT_FALSE(largest.empty());
  std::fstream file(largest, std::ios::in | std::ios::out | std::ios::binary);
  const auto middle = static_cast<std::streamoff>(std::filesystem::file_size(largest) / 2);
  file.seekg(middle);
  const char byte = static_cast<char>(file.get() ^ 4);
  file.seekp(middle);
  file.put(byte);
  file.close();
  Process process(folder.path(), {.num_threads = 1});
  Session session(process.engine);
  ASSERT_OK_AND_ASSIGN(const PrefixReuse reuse, session.HoldExactly(tokens));
  EXPECT_EQ(reuse.stored, 192u) << "three of seven blocks stand before the damaged one";
  EXPECT_EQ(reuse.store.code(), StatusCode::kCorrupt);
  EXPECT_EQ(Logits(session), alone);
  ASSERT_OK(session.Remember());
  Session again(process.engine, "default");
  EXPECT_EQ(process.store->Stats().num_blocks, 7u) << "what was damaged is stored anew";
}

TEST(StoredBlocksTest, AStoppedPromptGoesOnWhereItWasStored) {
  const std::vector<int32_t> tokens = SomeTokens(6000, 1);
  TemporaryDirectory folder;
  {
    Process process(folder.path(), {.num_threads = 2}, 3, 8192);
    Session session(process.engine);
    EXPECT_EQ(session.HoldExactly(tokens, [](size_t done) { return done < 5000; }).status().code(),
              StatusCode::kCancelled);
  }
  Process process(folder.path(), {.num_threads = 2}, 3, 8192);
  Session session(process.engine);
  ASSERT_OK_AND_ASSIGN(const PrefixReuse reuse, session.HoldExactly(tokens));
  EXPECT_EQ(reuse.stored, 4096u);
}

TEST(ExportedBlocksTest, ADialogueGoesOnInAnotherMemoryBitByBit) {
  using Key = std::optional<std::string>;
  const Key none, key = std::string(32, 'k'), other = std::string(32, 'o');
  const std::vector<int32_t> tokens = SomeTokens(500, 1);
  for (const InferenceEngine::Options& options : AllKinds()) {
    for (const auto& [from_key, to_key] : {std::pair(none, none), {key, none}, {none, key}, {key, other}}) {
      TemporaryDirectory folder;
      const std::string file = folder / "blocks.safetensors";
      {
        Process process(folder.path() / "from", options, 3, 1024, from_key);
        Session session(process.engine);
        ASSERT_OK(session.HoldExactly(std::span(tokens).first(400)));
        ASSERT_OK(session.Remember());
        ASSERT_OK(ExportBlocks(*process.store, "default", file, nullptr));
      }
      // The reuse and the logits of a restarted process with the blocks of `name`.
      const auto go_on = [&](const char* name, const Key& of_store, PrefixReuse& reuse) {
        Process process(folder.path() / name, options, 3, 1024, of_store);
        Session session(process.engine);
        const auto held = session.HoldExactly(tokens);
        EXPECT_OK(held);
        if (held.ok()) reuse = *held;
        return Logits(session);
      };
      PrefixReuse in_original, in_copy;
      const std::vector<float> original = go_on("from", from_key, in_original);
      {
        Process process(folder.path() / "to", options, 3, 1024, to_key);
        ASSERT_OK(ImportBlocks(*process.store, file, nullptr));
      }
      EXPECT_EQ(go_on("to", to_key, in_copy), original);
      EXPECT_EQ(in_original.stored, 384u);
      EXPECT_EQ(in_copy.stored, 384u);
      EXPECT_EQ(in_copy.total(), in_original.total());
      EXPECT_OK(in_copy.store);
    }
  }
}

TEST(ExportedBlocksTest, AreRecalledInTheSameOrder) {
  const InferenceEngine::Options options = {.num_threads = 2, .routing = kRouted, .recall_window = 256};
  const std::vector<int32_t> tokens = SomeTokens(200, 2);
  TemporaryDirectory folder;
  const std::string file = folder / "blocks.safetensors";
  {
    Process process(folder.path() / "from", options);
    Session first(process.engine), second(process.engine);
    // In turn, so that the list does not follow the order of any one sequence.
    for (size_t i = 0; i < 4; ++i) {
      ASSERT_OK(first.Append(SomeTokens(100, 10 + i)));
      ASSERT_OK(first.Remember());
      ASSERT_OK(second.Append(SomeTokens(150, 20 + i)));
      ASSERT_OK(second.Remember());
    }
    ASSERT_OK(ExportBlocks(*process.store, "default", file, nullptr));
  }
  std::vector<Hash128> names;
  std::vector<std::vector<float>> logits;
  for (const char* name : {"from", "to"}) {
    Process process(folder.path() / name, options);
    if (name == std::string_view("to")) {
      ASSERT_OK(ImportBlocks(*process.store, file, nullptr));
    }
    InferenceEngine& engine = process.engine;
    ASSERT_OK_AND_ASSIGN(const auto recalled,
                         RecalledBlocks::Load(*process.store, "default", engine.block_format(),
                                              engine.block_shape(), engine.execution().threads));
    ASSERT_NE(recalled, nullptr);
    names.push_back(recalled->name());
    Session session(engine);
    ASSERT_OK(session.Recall(*recalled));
    ASSERT_OK(session.HoldExactly(tokens));
    logits.push_back(Logits(session));
  }
  EXPECT_EQ(names[0], names[1]);
  EXPECT_EQ(logits[0], logits[1]);
}

// A session's attention finds the tokens of a session of an earlier process.
class RecalledBlocksTest : public testing::TestWithParam<KvFormat> {};

TEST_P(RecalledBlocksTest, AreReadAsTheBeginningOfTheList) {
  const InferenceEngine::Options options = {
      .num_threads = 2, .kv_format = GetParam(), .routing = kRouted, .recall_window = 256};
  const std::vector<int32_t> old_tokens = SomeTokens(64 * 70, 1), tokens = SomeTokens(200, 2);
  TemporaryDirectory folder;
  {
    Process process(folder.path(), options);
    Session session(process.engine, "mine");
    ASSERT_OK(session.HoldExactly(old_tokens));
    ASSERT_OK(session.Remember());
    Session other(process.engine, "somebody else");
    ASSERT_OK(other.HoldExactly(SomeTokens(64 * 70, 9)));
    ASSERT_OK(other.Remember());
  }
  Process process(folder.path(), options);
  InferenceEngine& engine = process.engine;
  const auto load = [&](const char* name_space) {
    return RecalledBlocks::Load(*process.store, name_space, engine.block_format(), engine.block_shape(),
                                engine.execution().threads);
  };
  ASSERT_OK_AND_ASSIGN(const auto nothing, load("nobody"));
  EXPECT_EQ(nothing, nullptr);
  ASSERT_OK_AND_ASSIGN(const auto recalled, load("mine"));
  ASSERT_NE(recalled, nullptr);
  EXPECT_EQ(recalled->num_blocks(), 70u);
  EXPECT_EQ(recalled->size(), 128u);
  Session with(engine, "mine"), without(engine, "mine");
  ASSERT_OK(with.Recall(*recalled));
  ASSERT_OK(with.HoldExactly(tokens));
  EXPECT_GT(with.routing_counts()[0].routed_rows, 0u);
  ASSERT_OK_AND_ASSIGN(const PrefixReuse reuse, without.HoldExactly(tokens));
  EXPECT_EQ(reuse.total(), 0u) << "blocks that saw other conversations are not those that saw none";
  EXPECT_NE(Logits(with), Logits(without));
  for (const float logit : with.logits()) EXPECT_TRUE(std::isfinite(logit));
  // The same in chunks, and after a restart.
  Session chunks(engine, "mine");
  ASSERT_OK(chunks.Recall(*recalled));
  for (const int32_t token : tokens) ASSERT_OK(chunks.Append({&token, 1}));
  EXPECT_EQ(Logits(chunks), Logits(with));
  // An erased block is not read.
  ASSERT_OK(process.store->Erase("mine"));
  Session late(engine, "mine");
  ASSERT_OK(late.Recall(*recalled));
  ASSERT_OK(late.Append(tokens));
  EXPECT_NE(Logits(late), Logits(with));
}

INSTANTIATE_TEST_SUITE_P(Formats, RecalledBlocksTest, testing::Values(KvFormat::kFloat32, KvFormat::kInt8),
                         [](const auto& info) { return std::string(KvFormatName(info.param)); });

TEST(FingerprintTest, ChangesWithWeightsAndFormat) {
  ThreadPool threads(2);
  const auto fingerprint = [&](Model model) {
    model.PackForInference(threads);
    return model.Fingerprint(threads);
  };
  const Hash128 plain = fingerprint(TinyModel());
  EXPECT_EQ(fingerprint(TinyModel()), plain);
  EXPECT_NE(fingerprint(TinyModel(4)), plain);
  Model changed = TinyModel();
  changed.layers[1].input_layernorm.data[3] += 1e-6f;
  EXPECT_NE(fingerprint(std::move(changed)), plain);
  ModelConfig config = TinyModel().config();
  config.rope_theta *= 2;
  Model turned(config);
  turned.Initialize(3);
  EXPECT_NE(fingerprint(std::move(turned)), plain);
}

}  // namespace
}  // namespace qwen25
