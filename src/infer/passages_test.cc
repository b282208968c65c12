// Passages are stored once, found by attention, and gone when they are no longer wanted.
#include "infer/passages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "base/test_util.h"
#include "infer/session.h"
#include "infer/tiny_model_test_util.h"
#include "memory/block_export.h"
#include "memory/recalled_blocks.h"

namespace qwen25 {
namespace {

constexpr RoutingPolicy kRouted = {.kind = RoutingPolicy::Kind::kTopK,
                                   .max_blocks = 2,
                                   .sink_blocks = 1,
                                   .local_blocks = 1,
                                   .dense_below = 0};
const InferenceEngine::Options kWindow = {.num_threads = 2, .routing = kRouted, .recall_window = 256};

struct Process {
  explicit Process(const std::filesystem::path& folder, const InferenceEngine::Options& options = kWindow,
                   const BlockStore::Options& store_options = {})
      : engine(TinyModel(), options) {
    Result<BlockStore> opened = BlockStore::Open(folder, store_options);
    EXPECT_OK(opened);
    store.emplace(std::move(opened).value());
    engine.SetStore(&*store);
  }
  static Model TinyModel() {
    ModelConfig config = TinyConfig(100);
    config.max_position_embeddings = 1024;
    Model model(config);
    model.Initialize(3);
    return model;
  }
  PassageReport Sync(const std::vector<Passage>& wanted) {
    const auto report = SyncPassages(engine, "mine", wanted, nullptr);
    EXPECT_OK(report);
    return report.ok() ? *report : PassageReport();
  }
  std::vector<StoredBlock> List() const { return store->List("mine", engine.block_format()); }
  std::unique_ptr<RecalledBlocks> Load(const RecallFilter& filter) {
    auto recalled = RecalledBlocks::Load(*store, "mine", engine.block_format(), engine.block_shape(),
                                         engine.execution().threads, filter);
    EXPECT_OK(recalled);
    return recalled.ok() ? std::move(*recalled) : nullptr;
  }
  std::vector<float> LogitsWith(const RecalledBlocks* recalled, std::span<const int32_t> tokens) {
    Session session(engine, "mine");
    if (recalled != nullptr) {
      EXPECT_OK(session.Recall(*recalled));
    }
    EXPECT_OK(session.Append(tokens));
    return {session.logits().begin(), session.logits().end()};
  }

  std::optional<BlockStore> store;
  InferenceEngine engine;
};

std::vector<Passage> SomePassages() {
  std::vector<Passage> passages;
  // Passages of a part of a block, of whole blocks, and of more than a piece.
  for (const size_t count : {10, 64, 100, 300}) {
    passages.push_back({.name = {.low = count}, .tokens = RandomTokens(100, count, count)});
  }
  return passages;
}

std::map<uint64_t, size_t> BlocksByPassage(const std::vector<StoredBlock>& blocks) {
  std::map<uint64_t, size_t> counts;
  for (const StoredBlock& block : blocks) {
    if (block.IsOfPassage()) ++counts[block.parent.low];
  }
  return counts;
}

TEST(PassagesTest, AreStoredOnceAndGoWhenTheyAreNotWanted) {
  TemporaryDirectory folder;
  std::vector<Passage> passages = SomePassages();
  {
    Process process(folder.path());
    Session dialogue(process.engine, "mine");
    ASSERT_OK(dialogue.Append(RandomTokens(100, 200, 7)));
    ASSERT_OK(dialogue.Remember());
    const PassageReport report = process.Sync(passages);
    EXPECT_EQ(report.num_computed, 4u);
    EXPECT_EQ(report.num_known, 0u);
    EXPECT_EQ(report.is_stored, std::vector<bool>(4, true));
    EXPECT_OK(report.status);
    EXPECT_EQ(process.engine.routing(), kRouted);
    EXPECT_EQ(process.store->Stats().namespaces.at(0).num_passage_blocks, 9u);
    // A dialogue that begins with the same tokens does not share them.
    Session same(process.engine, "mine");
    ASSERT_OK(same.Append(passages[1].tokens));
    ASSERT_OK(same.Remember());
  }
  Process process(folder.path());
  EXPECT_EQ(BlocksByPassage(process.List()),
            (std::map<uint64_t, size_t>{{10, 1}, {64, 1}, {100, 2}, {300, 5}}));
  passages[2].tokens[50] ^= 1;  // the same name, another text
  passages.erase(passages.begin() + 1);
  passages.push_back({.name = {.low = 5}, .tokens = {1}});
  const PassageReport report = process.Sync(passages);
  EXPECT_EQ(report.num_known, 2u);
  EXPECT_EQ(report.num_computed, 2u);
  EXPECT_EQ(report.num_removed_blocks, 3u);
  EXPECT_EQ(BlocksByPassage(process.List()),
            (std::map<uint64_t, size_t>{{5, 1}, {10, 1}, {100, 2}, {300, 5}}));
  EXPECT_EQ(process.List().size(), 9u + 3 + 1) << "dialogues stay";
  EXPECT_EQ(process.Sync({}).num_removed_blocks, 9u);
  EXPECT_EQ(process.List().size(), 4u);
}

TEST(PassagesTest, AnotherFormatKeepsItsBlocksOfWhatIsStillWanted) {
  TemporaryDirectory folder;
  std::vector<Passage> passages = SomePassages();
  InferenceEngine::Options half = kWindow;
  half.kv_format = KvFormat::kFloat16;
  EXPECT_EQ(Process(folder.path()).Sync(passages).num_computed, 4u);
  passages.resize(3);
  const PassageReport other = Process(folder.path(), half).Sync(passages);
  EXPECT_EQ(other.num_computed, 3u);
  EXPECT_EQ(other.num_removed_blocks, 5u) << "of the fourth, which nobody wants";
  const PassageReport again = Process(folder.path()).Sync(passages);
  EXPECT_EQ(again.num_known, 3u);
  EXPECT_EQ(again.num_removed_blocks, 0u);
}

TEST(PassagesTest, WhatHasToMakeRoomIsNotStored) {
  TemporaryDirectory folder;
  std::vector<Passage> passages;
  for (uint64_t i = 0; i < 400; ++i)
    passages.push_back({.name = {.low = i}, .tokens = {static_cast<int32_t>(i % 100), 1}});
  Process process(folder.path(), kWindow, {.max_bytes = uint64_t{4} << 20});
  const PassageReport report = process.Sync(passages);
  const auto num_stored = static_cast<size_t>(std::ranges::count(report.is_stored, true));
  EXPECT_GT(num_stored, 0u);
  EXPECT_LT(num_stored, passages.size());
  EXPECT_EQ(num_stored, process.List().size());
}

TEST(PassagesTest, TheirBlocksDependOnThemAlone) {
  const std::vector<Passage> passages = SomePassages();
  const std::vector<int32_t> question = RandomTokens(100, 20, 9);
  std::vector<std::vector<float>> logits;
  for (const bool alone : {false, true}) {
    TemporaryDirectory folder;
    Process process(folder.path(), alone ? InferenceEngine::Options{.num_threads = 1,
                                                                    .routing = RoutingPolicy{},
                                                                    .keep_summaries = true,
                                                                    .recall_window = 0}
                                         : kWindow);
    // In one pass with others, or back to back in their order.
    for (size_t count = alone ? 1 : 3; count <= 3; ++count) {
      process.Sync({passages.begin(), passages.begin() + static_cast<ptrdiff_t>(count)});
    }
    process.store.reset();
    Process reader(folder.path());
    const auto recalled = reader.Load({});
    ASSERT_NE(recalled, nullptr);
    EXPECT_EQ(recalled->num_blocks(), 4u);
    logits.push_back(reader.LogitsWith(recalled.get(), question));
    EXPECT_NE(logits.back(), reader.LogitsWith(nullptr, question));
  }
  EXPECT_EQ(logits[0], logits[1]);
}

TEST(PassagesTest, AreRecalledWithDialoguesOrWithout) {
  TemporaryDirectory folder;
  Process process(folder.path());
  Session dialogue(process.engine, "mine");
  ASSERT_OK(dialogue.Append(RandomTokens(100, 200, 7)));
  ASSERT_OK(dialogue.Remember());
  process.Sync(SomePassages());
  EXPECT_EQ(process.Load({.passages = false})->num_blocks(), 3u);
  EXPECT_EQ(process.Load({.dialogues = false})->num_blocks(), 9u);
  const auto all = process.Load({});
  EXPECT_EQ(all->num_blocks(), 12u);
  process.LogitsWith(all.get(), RandomTokens(100, 20, 9));
  const auto reads = all->TakeReads();
  EXPECT_FALSE(reads.empty());
  for (const auto& [name, count] : reads) {
    EXPECT_TRUE(name == Hash128() || name.low == 10 || name.low == 64 || name.low == 100 || name.low == 300);
  }
  EXPECT_TRUE(all->TakeReads().empty());

  // An export contains only the dialogues.
  const std::string file = folder / "blocks.safetensors";
  ASSERT_OK_AND_ASSIGN(const BlockExportReport report, ExportBlocks(*process.store, "mine", file, nullptr));
  EXPECT_EQ(report.num_blocks, 3u);
}

TEST(PassagesTest, OneThatWasRemovedIsNoLongerFound) {
  TemporaryDirectory folder;
  Process process(folder.path());
  std::vector<Passage> passages = SomePassages();
  const std::vector<int32_t> question = RandomTokens(100, 20, 9);
  passages.resize(3);
  process.Sync(passages);
  const auto recalled = process.Load({});
  const Hash128 name = recalled->name();
  const std::vector<float> before = process.LogitsWith(recalled.get(), question);
  Session session(process.engine, "mine");
  ASSERT_OK(session.Recall(*recalled));
  ASSERT_OK(session.Append(RandomTokens(100, 200, 1)));

  const auto is_last = [](const BlockFormat&, const Hash128& passage, const Hash128&) {
    return passage.low == 100;
  };
  ASSERT_OK_AND_ASSIGN(const size_t removed, process.store->RemovePassages("mine", is_last, /*erase=*/true));
  EXPECT_EQ(removed, 2u);
  ASSERT_OK(recalled->DropRemovedPassages());
  EXPECT_FALSE(recalled->name() == name);
  const std::vector<float> after = process.LogitsWith(recalled.get(), question);
  EXPECT_NE(after, before);
  const auto loaded = process.Load({});
  EXPECT_EQ(loaded->num_blocks(), 2u);
  EXPECT_EQ(after, process.LogitsWith(loaded.get(), question)) << "as if it had never been there";
  for (const auto& [passage, count] : recalled->TakeReads()) EXPECT_NE(passage.low, 100u);
  // Blocks computed with it are not reused without it.
  ASSERT_OK(session.Append(RandomTokens(100, 100, 2)));
  const size_t stored = process.List().size();
  ASSERT_OK(session.Remember());
  EXPECT_EQ(process.List().size(), stored);
}

TEST(PassagesTest, OneThatWasStoredAgainElsewhereIsNotTheOneThatWasListed) {
  TemporaryDirectory folder;
  Process process(folder.path());
  std::vector<Passage> passages = SomePassages();
  passages.resize(2);
  process.Sync(passages);
  const auto recalled = process.Load({});
  const Hash128 name = recalled->name();
  const auto all = [](const BlockFormat&, const Hash128&, const Hash128&) { return true; };
  ASSERT_OK(process.store->RemovePassages("mine", all, /*erase=*/false));
  std::ranges::reverse(passages);
  process.Sync(passages);
  ASSERT_OK(recalled->DropRemovedPassages());
  EXPECT_FALSE(recalled->name() == name);
}

TEST(PassagesTest, OneThatIsStoredInPartIsNotDone) {
  TemporaryDirectory folder;
  Process process(folder.path());
  const std::vector<Passage> passages = {{.name = {.low = 1}, .tokens = RandomTokens(100, 900, 1)}};
  int num_calls = 0;
  const auto stop = [&](size_t, size_t) { return ++num_calls < 2; };
  ASSERT_OK_AND_ASSIGN(const PassageReport report, SyncPassages(process.engine, "mine", passages, stop));
  EXPECT_EQ(num_calls, 2);
  EXPECT_ERROR_CONTAINS(report.status, "stopped after 0 of 1 passages");
}

TEST(PassagesTest, StopsAndGoesOn) {
  TemporaryDirectory folder;
  Process process(folder.path());
  std::vector<Passage> passages;
  for (uint64_t i = 0; i < 20; ++i)
    passages.push_back({.name = {.low = i}, .tokens = RandomTokens(100, 70, i)});
  const auto stop = [](size_t done, size_t total) {
    EXPECT_EQ(total, 20u);
    EXPECT_LE(done, total);
    return done < 8;
  };
  ASSERT_OK_AND_ASSIGN(const PassageReport first, SyncPassages(process.engine, "mine", passages, stop));
  EXPECT_EQ(first.status.code(), StatusCode::kCancelled);
  EXPECT_EQ(first.num_computed, 8u);
  EXPECT_TRUE(first.is_stored[7]);
  EXPECT_FALSE(first.is_stored[8]);
  const PassageReport second = process.Sync(passages);
  EXPECT_EQ(second.num_known, 8u);
  EXPECT_EQ(second.num_computed, 12u);
  passages[3].tokens[5] = 100;
  EXPECT_ERROR_CONTAINS(SyncPassages(process.engine, "mine", passages, nullptr), "vocabulary");
}

}  // namespace
}  // namespace qwen25
