#include "memory/block_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <thread>

#include "memory/block_store_test_util.h"

namespace qwen25 {
namespace {

const std::string kKey = "0123456789abcdef0123456789abcdef";

// Tests that run both with and without a key.
class BlockStoreTest : public testing::TestWithParam<bool> {
 protected:
  BlockStore::Options Options(uint64_t max_bytes = uint64_t{1} << 30) const {
    return {.max_bytes = max_bytes, .key = GetParam() ? std::optional(kKey) : std::nullopt};
  }
  TemporaryDirectory directory_;
};

TEST_P(BlockStoreTest, GivesBackWhatWasPutAlsoAfterReopening) {
  const TestBlock first = MakeBlock(1), second = MakeBlock(2, &first), third = MakeBlock(3);
  {
    BlockStore store = MustOpen(directory_.path(), Options());
    EXPECT_FALSE(store.Contains("ada", kTestFormat, first.id));
    ASSERT_OK(PutBlocks(store, "ada", {first, second, second}));
    ASSERT_OK(PutBlocks(store, "ada", {second, third}));
    EXPECT_EQ(store.Stats().num_blocks, 3u);
    for (const TestBlock& block : {first, second, third}) EXPECT_OK(ReadAndCompare(store, "ada", block));
  }
  BlockStore store = MustOpen(directory_.path(), Options());
  for (const TestBlock& block : {first, second, third}) {
    EXPECT_TRUE(store.Contains("ada", kTestFormat, block.id));
    EXPECT_OK(ReadAndCompare(store, "ada", block));
  }
  const auto listed = store.List("ada", kTestFormat);
  ASSERT_EQ(listed.size(), 3u);
  EXPECT_EQ(listed[1].id, second.id);
  EXPECT_EQ(listed[1].parent, first.id);
  EXPECT_EQ(listed[1].position, 1u);
  EXPECT_LT(listed[0].sequence, listed[1].sequence);
  EXPECT_LT(listed[1].sequence, listed[2].sequence);
  ASSERT_OK_AND_ASSIGN(const auto tokens, store.Tokens(listed[2]));
  EXPECT_EQ(tokens, third.tokens);
  std::vector<std::byte> summaries(third.summaries.size());
  ASSERT_OK(store.Summaries(store.BeginReading(), listed[2], kTestFormat, summaries));
  EXPECT_EQ(summaries, third.summaries);
  ASSERT_OK_AND_ASSIGN(const BlockStoreReport report, store.Verify(nullptr));
  EXPECT_EQ(report.num_checked, 3u);
  EXPECT_TRUE(report.damaged.empty());
}

TEST_P(BlockStoreTest, LayersLieInTheMapUnlessEncrypted) {
  BlockStore store = MustOpen(directory_.path(), Options());
  std::vector<TestBlock> blocks;
  for (uint64_t i = 1; i <= 20; ++i) blocks.push_back(MakeBlock(i));
  ASSERT_OK(PutBlocks(store, "ada", blocks));
  EXPECT_EQ(store.IsEncrypted(), GetParam());
  const auto listed = store.List("ada", kTestFormat);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (size_t i = 0; i < listed.size(); ++i) {
        for (size_t layer = 0; layer < kTestFormat.num_layers; ++layer) {
          const std::byte* data = store.Layer(listed[i], kTestFormat, layer);
          if (GetParam()) {
            EXPECT_EQ(data, nullptr);
            continue;
          }
          ASSERT_NE(data, nullptr);
          EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0u);
          EXPECT_EQ(std::memcmp(data, blocks[i].layers[layer].data(), kTestFormat.layer_bytes), 0);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_P(BlockStoreTest, NamespacesAndFormatsAreKeptApart) {
  BlockStore store = MustOpen(directory_.path(), Options());
  BlockFormat other = kTestFormat;
  other.fingerprint.high = 99;
  BlockFormat larger = {.fingerprint = {1, 1}, .num_layers = 300, .layer_bytes = 100, .summary_bytes = 0};
  const TestBlock mine = MakeBlock(1), same_id = MakeBlock(1, nullptr, larger);
  ASSERT_OK(PutBlocks(store, "ada", {mine}));
  EXPECT_FALSE(store.Contains("bob", kTestFormat, mine.id));
  EXPECT_FALSE(store.Contains("ada", other, mine.id));
  EXPECT_EQ(ReadAndCompare(store, "bob", mine).code(), StatusCode::kNotFound);
  EXPECT_EQ(ReadAndCompare(store, "ada", mine, other).code(), StatusCode::kNotFound);
  EXPECT_TRUE(store.List("bob", kTestFormat).empty());
  ASSERT_OK(PutBlocks(store, "bob", {mine}));
  ASSERT_OK(PutBlocks(store, "bob", {same_id}, larger));
  EXPECT_OK(ReadAndCompare(store, "ada", mine));
  EXPECT_OK(ReadAndCompare(store, "bob", mine));
  EXPECT_OK(ReadAndCompare(store, "bob", same_id, larger));
  EXPECT_EQ(store.List("bob", kTestFormat).size(), 1u);
  EXPECT_EQ(store.List("bob", larger).size(), 1u);
  const BlockStoreStats stats = store.Stats();
  ASSERT_EQ(stats.namespaces.size(), 2u);
  EXPECT_EQ(stats.namespaces[0].name, "ada");
  EXPECT_EQ(stats.namespaces[1].num_blocks, 2u);
  EXPECT_EQ(stats.used_bytes,
            stats.index_bytes + stats.namespaces[0].used_bytes + stats.namespaces[1].used_bytes);
}

TEST_P(BlockStoreTest, NamesMayBeOfAnyLetters) {
  std::string cyrillic;
  for (int i = 0; i < 100; ++i) cyrillic += "\xd0\xb6";
  {
    BlockStore store = MustOpen(directory_.path(), Options());
    ASSERT_OK(PutBlocks(store, cyrillic, {MakeBlock(1)}));
    EXPECT_ERROR_CONTAINS(PutBlocks(store, cyrillic + "x", {MakeBlock(2)}), "expected at most 200");
  }
  BlockStore store = MustOpen(directory_.path(), Options());
  EXPECT_OK(ReadAndCompare(store, cyrillic, MakeBlock(1)));
}

TEST_P(BlockStoreTest, OtherTokensUnderTheSameIdAreNotFound) {
  BlockStore store = MustOpen(directory_.path(), Options());
  TestBlock block = MakeBlock(1);
  ASSERT_OK(PutBlocks(store, "ada", {block}));
  block.tokens[63] ^= 1;
  const Status status = ReadAndCompare(store, "ada", block);
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_ERROR_CONTAINS(status, "other tokens");
  block.tokens[63] ^= 1;
  EXPECT_OK(ReadAndCompare(store, "ada", block));
}

TEST_P(BlockStoreTest, ErasesWithoutATrace) {
  const TestBlock keep = MakeBlock(1), secret = MakeBlock(2), evicted = MakeBlock(3);
  {
    BlockStore store = MustOpen(directory_.path(), Options());
    for (int i = 0; i < 3; ++i) {  // several versions of the database's pages
      ASSERT_OK(PutBlocks(store, "the secret project", {secret, evicted}));
      ASSERT_OK(PutBlocks(store, "ada", {keep, MakeBlock(100 + i)}));
      EXPECT_OK(ReadAndCompare(store, "the secret project", secret));
    }
    const std::string_view name = "the secret project";
    EXPECT_EQ(AnyFileHolds(directory_.path(), std::as_bytes(std::span(name))), !GetParam());
    EXPECT_EQ(AnyFileHolds(directory_.path(), secret.layers[0]), !GetParam());
    EXPECT_EQ(AnyFileHolds(directory_.path(), std::as_bytes(std::span(&secret.id, 1))), !GetParam());
    ASSERT_OK(store.Erase(name));
    ASSERT_OK(store.Erase(name));
    EXPECT_FALSE(AnyFileHolds(directory_.path(), std::as_bytes(std::span(name))));
    for (const TestBlock& block : {secret, evicted}) {
      EXPECT_FALSE(store.Contains(name, kTestFormat, block.id));
      for (const auto& layer : block.layers) EXPECT_FALSE(AnyFileHolds(directory_.path(), layer));
      EXPECT_FALSE(AnyFileHolds(directory_.path(), std::as_bytes(std::span(block.tokens))));
      EXPECT_FALSE(AnyFileHolds(directory_.path(), std::as_bytes(std::span(&block.id, 1))));
      EXPECT_FALSE(AnyFileHolds(directory_.path(), block.summaries));
    }
    EXPECT_OK(ReadAndCompare(store, "ada", keep));
    EXPECT_EQ(store.Stats().namespaces.size(), 1u);
    ASSERT_OK(PutBlocks(store, "ada", {MakeBlock(200)}));
  }
  BlockStore store = MustOpen(directory_.path(), Options());
  EXPECT_OK(ReadAndCompare(store, "ada", keep));
  EXPECT_EQ(store.Stats().num_blocks, 5u);
}

TEST_P(BlockStoreTest, RemovesPassagesAndNothingElse) {
  TestBlock kept = MakeBlock(1), gone = MakeBlock(2), erased = MakeBlock(3);
  const TestBlock dialogue = MakeBlock(4);
  for (TestBlock* block : {&kept, &gone, &erased}) {
    block->parent = {.low = block->id.low};
    block->position = PassagePosition(block->id.low % 5, 7);
  }
  {
    BlockStore store = MustOpen(directory_.path(), Options());
    ASSERT_OK(PutBlocks(store, "ada", {kept, gone, erased, dialogue}));
    ASSERT_OK(PutBlocks(store, "bob", {gone}));
    EXPECT_EQ(store.Stats().namespaces[0].num_passage_blocks, 3u);
    const auto is = [](const TestBlock& wanted) {
      return [&wanted](const BlockFormat& format, const Hash128& passage, const Hash128& id) {
        EXPECT_EQ(format, kTestFormat);
        EXPECT_EQ(passage.low, id.low);
        EXPECT_EQ(passage.high, 0u);
        return id == wanted.id;
      };
    };
    ASSERT_OK_AND_ASSIGN(size_t count, store.RemovePassages("ada", is(gone), /*erase=*/false));
    EXPECT_EQ(count, 1u);
    ASSERT_OK_AND_ASSIGN(count, store.RemovePassages("ada", is(dialogue), /*erase=*/false));
    EXPECT_EQ(count, 0u);
    ASSERT_OK_AND_ASSIGN(count, store.RemovePassages("nobody", is(gone), /*erase=*/false));
    EXPECT_EQ(count, 0u);
    EXPECT_OK(ReadAndCompare(store, "bob", gone));
    ASSERT_OK_AND_ASSIGN(count, store.RemovePassages("ada", is(erased), /*erase=*/true));
    EXPECT_EQ(count, 1u);
    for (const auto& layer : erased.layers) EXPECT_FALSE(AnyFileHolds(directory_.path(), layer));
    EXPECT_FALSE(AnyFileHolds(directory_.path(), std::as_bytes(std::span(erased.tokens))));
    EXPECT_FALSE(AnyFileHolds(directory_.path(), std::as_bytes(std::span(&erased.id, 1))));
  }
  BlockStore store = MustOpen(directory_.path(), Options());
  EXPECT_OK(ReadAndCompare(store, "ada", kept));
  EXPECT_OK(ReadAndCompare(store, "ada", dialogue));
  EXPECT_FALSE(store.Contains("ada", kTestFormat, gone.id));
  EXPECT_TRUE(store.List("ada", kTestFormat)[0].IsOfPassage());
  EXPECT_EQ(store.List("ada", kTestFormat)[0].NumTokens(), 7u);
  EXPECT_FALSE(store.List("ada", kTestFormat)[1].IsOfPassage());
  EXPECT_EQ(store.List("ada", kTestFormat)[1].NumTokens(), 64u);
}

TEST_P(BlockStoreTest, CompactionKeepsContentAndMovesItTogether) {
  BlockStore store = MustOpen(directory_.path(), Options());
  std::vector<TestBlock> kept;
  for (uint64_t i = 1; i <= 60; i += 6) {
    kept.push_back(MakeBlock(i));
    kept.push_back(MakeBlock(i + 1));
    ASSERT_OK(
        PutBlocks(store, "bob", {MakeBlock(i + 2), MakeBlock(i + 3), MakeBlock(i + 4), MakeBlock(i + 5)}));
    ASSERT_OK(PutBlocks(store, "ada", {kept[kept.size() - 2], kept.back()}));
  }
  const auto file = directory_.path() / "blocks-8192.kv";
  EXPECT_EQ(std::filesystem::file_size(file), 60u * 8192);
  ASSERT_OK(store.Erase("bob"));
  ASSERT_OK_AND_ASSIGN(const uint64_t freed, store.Compact());
  static_cast<void>(freed);
  EXPECT_EQ(std::filesystem::file_size(file), 20u * 8192);
  for (const TestBlock& block : kept) EXPECT_OK(ReadAndCompare(store, "ada", block));
  store = MustOpen(directory_.path() / "elsewhere");  // closes it
  store = MustOpen(directory_.path(), Options());
  for (const TestBlock& block : kept) EXPECT_OK(ReadAndCompare(store, "ada", block));
  ASSERT_OK_AND_ASSIGN(const BlockStoreReport report, store.Verify(nullptr));
  EXPECT_EQ(report.num_checked, 20u);
  EXPECT_TRUE(report.damaged.empty());
}

TEST_P(BlockStoreTest, KeepsToItsBudgetAndToTheOrderOfValue) {
  constexpr uint64_t kMaxBytes = 400 << 10;
  std::vector<TestBlock> put;
  Rng rng(6);
  for (int opening = 0; opening < 3; ++opening) {
    BlockStore store = MustOpen(directory_.path(), Options(kMaxBytes));
    ASSERT_OK(store.Pin("pinned", true));
    ASSERT_OK(PutBlocks(store, "pinned", {MakeBlock(5000), MakeBlock(5001)}));
    for (int i = 0; i < 20; ++i) {
      const bool follows = !put.empty() && rng.Below(2) == 0;
      const TestBlock parent =
          follows ? put[put.size() - 1 - rng.Below(std::min<size_t>(put.size(), 4))] : TestBlock();
      std::vector<TestBlock> batch = {MakeBlock(put.size() + 1, follows ? &parent : nullptr)};
      batch.push_back(MakeBlock(put.size() + 2, &batch[0]));
      ASSERT_OK(PutBlocks(store, "ada", batch));
      put.insert(put.end(), batch.begin(), batch.end());
      EXPECT_LE(store.Stats().used_bytes, kMaxBytes);
      for (const TestBlock& block : batch) EXPECT_TRUE(store.Contains("ada", kTestFormat, block.id));
      // Only the first sequence stays in use.
      EXPECT_OK(ReadAndCompare(store, "ada", put[1]));
    }
    EXPECT_OK(ReadAndCompare(store, "pinned", MakeBlock(5000)));
    EXPECT_OK(ReadAndCompare(store, "pinned", MakeBlock(5001)));
    const BlockStoreStats stats = store.Stats();
    EXPECT_LT(stats.num_blocks, put.size());
    EXPECT_GT(stats.num_blocks, 15u);
    EXPECT_EQ(stats.num_pinned, 2u);
    // Every block that is still there still has its parent.
    for (const StoredBlock& block : store.List("ada", kTestFormat)) {
      EXPECT_TRUE(block.position == 0 || store.Contains("ada", kTestFormat, block.parent));
    }
    ASSERT_OK_AND_ASSIGN(const BlockStoreReport report, store.Verify(nullptr));
    EXPECT_TRUE(report.damaged.empty());
  }
}

TEST_P(BlockStoreTest, SaysWhenNothingMayGo) {
  BlockStore store = MustOpen(directory_.path(), Options(300 << 10));
  ASSERT_OK(store.Pin("ada", true));
  std::vector<TestBlock> put;
  Status status;
  while (status.ok() && put.size() < 100) {
    put.push_back(MakeBlock(put.size() + 1));
    status = PutBlocks(store, "ada", {put.back()});
  }
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_ERROR_CONTAINS(status, "unpin or erase a namespace, or raise the limit");
  put.pop_back();
  EXPECT_EQ(store.Stats().num_blocks, put.size());
  for (const TestBlock& block : put) EXPECT_OK(ReadAndCompare(store, "ada", block));
  std::vector<TestBlock> many;
  for (uint64_t i = 0; i < 100; ++i) many.push_back(MakeBlock(1000 + i));
  EXPECT_EQ(PutBlocks(store, "bob", many).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(store.Stats().num_blocks, put.size());
  EXPECT_EQ(store.Stats().namespaces.size(), 1u);
  ASSERT_OK(store.Pin("ada", false));
  ASSERT_OK(PutBlocks(store, "bob", {many[0]}));
  EXPECT_FALSE(store.Contains("ada", kTestFormat, put[0].id));
  EXPECT_TRUE(store.Contains("ada", kTestFormat, put.back().id));
}

// A walk over all blocks for each Put would make a full store slow.
TEST_P(BlockStoreTest, AFullStoreSeldomMakesRoom) {
  // Slots of 20 KiB: with smaller ones, the index alone would need more than one block removed at a time.
  constexpr BlockFormat kFormat = {
      .fingerprint = {1, 2}, .num_layers = 3, .layer_bytes = 5120, .summary_bytes = 64};
  constexpr uint64_t kMaxBytes = 20 << 20;
  constexpr size_t kPuts = 300;
  BlockStore store = MustOpen(directory_.path(), Options(kMaxBytes));
  uint64_t number = 0;
  const auto put = [&](size_t count) {
    std::vector<TestBlock> blocks;
    for (size_t i = 0; i < count; ++i) blocks.push_back(MakeBlock(++number, nullptr, kFormat));
    return PutBlocks(store, "ada", blocks, kFormat);
  };
  while (store.Stats().num_blocks == number) ASSERT_OK(put(20));
  const uint64_t num_held = store.Stats().num_blocks;
  size_t num_evictions = 0;
  for (size_t i = 0; i < kPuts; ++i) {
    const uint64_t before = store.Stats().num_blocks;
    ASSERT_OK(put(1));
    const BlockStoreStats stats = store.Stats();
    num_evictions += stats.num_blocks != before + 1;
    EXPECT_LE(stats.used_bytes, kMaxBytes);
    EXPECT_GT(stats.num_blocks, num_held - num_held / 16) << "what it makes beyond need is little";
  }
  EXPECT_GT(num_evictions, 0u);
  EXPECT_LT(num_evictions, kPuts / 10);
}

TEST_P(BlockStoreTest, LayersThatWereReadCountAsUsed) {
  BlockStore store = MustOpen(directory_.path(), Options(300 << 10));
  const TestBlock wanted = MakeBlock(1);
  ASSERT_OK(PutBlocks(store, "ada", {wanted}));
  for (uint64_t i = 2; i < 40; ++i) {
    if (!GetParam()) {
      EXPECT_NE(store.Layer(store.List("ada", kTestFormat)[0], kTestFormat, 1), nullptr);
    } else {
      EXPECT_OK(ReadAndCompare(store, "ada", wanted));
    }
    ASSERT_OK(PutBlocks(store, "ada", {MakeBlock(i)}));
  }
  EXPECT_TRUE(store.Contains("ada", kTestFormat, wanted.id));
  EXPECT_FALSE(store.Contains("ada", kTestFormat, MakeBlock(2).id));
}

TEST_P(BlockStoreTest, RefusesNamesAndFormatsBeyondTheLimits) {
  BlockStore store = MustOpen(directory_.path(), Options());
  EXPECT_ERROR_CONTAINS(store.Put("", kTestFormat, {}), "the name of a namespace is empty");
  EXPECT_ERROR_CONTAINS(store.Pin(std::string(201, 'x'), true), "has 201");
  EXPECT_ERROR_CONTAINS(store.Put("ada", {.num_layers = 2000, .layer_bytes = 1}, {}), "2000 layers");
  EXPECT_ERROR_CONTAINS(store.Put("ada", {.num_layers = 1, .layer_bytes = 1u << 30}, {}), "1073741824 bytes");
}

INSTANTIATE_TEST_SUITE_P(Keys, BlockStoreTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Encrypted" : "Plain"; });

}  // namespace
}  // namespace qwen25
