#include "memory/block_pool.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

#include "base/test_util.h"
#include "memory/block_list.h"

namespace qwen25 {
namespace {

constexpr size_t kLayerBytes = 8192;

TEST(BlockPoolTest, BlocksAreZeroedDistinctAndReused) {
  BlockPool pool(kLayerBytes, 3, 4);
  std::set<std::byte*> seen;
  std::vector<BlockPool::BlockId> ids;
  for (int i = 0; i < 4; ++i) {
    ASSERT_OK_AND_ASSIGN(const auto id, pool.Take());
    ids.push_back(id);
    for (size_t layer = 0; layer < 3; ++layer) {
      EXPECT_TRUE(seen.insert(pool.Data(id, layer)).second);
      std::fill_n(pool.Data(id, layer), kLayerBytes, std::byte{1});
    }
  }
  EXPECT_EQ(pool.num_used(), 4u);
  EXPECT_ERROR_CONTAINS(pool.Take(), "all 4 KV blocks (256 tokens");
  pool.Give(ids[2]);
  ASSERT_OK_AND_ASSIGN(const auto again, pool.Take());
  EXPECT_EQ(again, ids[2]);
  for (size_t i = 0; i < kLayerBytes; ++i) ASSERT_EQ(pool.Data(again, 2)[i], std::byte{0});
}

TEST(BlockPoolTest, ASpilledPoolHoldsItsBlocksInAFileWithoutAName) {
  TemporaryDirectory directory;
  BlockPool pool(kLayerBytes, 3, 5000, directory.path());
  std::vector<BlockPool::BlockId> ids;
  for (int i = 0; i < 2000; ++i) {
    ASSERT_OK_AND_ASSIGN(const auto id, pool.Take());
    ids.push_back(id);
    for (size_t layer = 0; layer < 3; ++layer) {
      std::fill_n(pool.Data(id, layer), kLayerBytes, static_cast<std::byte>(i + layer));
    }
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
  const size_t before = ReadFileBackedBytes();
  pool.ReleaseRam();
  EXPECT_LT(ReadFileBackedBytes() + (size_t{16} << 20), before);
  for (int i = 0; i < 2000; ++i) {
    for (size_t layer = 0; layer < 3; ++layer) {
      ASSERT_EQ(pool.Data(ids[i], layer)[kLayerBytes - 1], static_cast<std::byte>(i + layer));
    }
  }
}

TEST(BlockPoolTest, ItsFileReadsBlocksWithoutMappingThem) {
  constexpr int kBlocks = 2000;
  TemporaryDirectory directory;
  BlockPool pool(kLayerBytes, 3, kBlocks, directory.path());
  EXPECT_EQ(pool.file(), nullptr);
  std::vector<BlockPool::BlockId> ids;
  for (int i = 0; i < kBlocks; ++i) {
    ASSERT_OK_AND_ASSIGN(const auto id, pool.Take());
    ids.push_back(id);
    std::fill_n(pool.Data(id, 0), pool.bytes_per_block(), static_cast<std::byte>(i));
  }
  const BlockFile* file = pool.file();
  ASSERT_NE(file, nullptr);
  pool.ReleaseRam();
  const size_t before = ReadFileBackedBytes();
  std::vector<std::byte> copy(kLayerBytes);
  for (int i = 0; i < kBlocks; ++i) {
    ASSERT_TRUE(file->Read(pool.Data(ids[i], 1), kLayerBytes, copy.data()));
    ASSERT_EQ(copy, std::vector(kLayerBytes, static_cast<std::byte>(i)));
  }
  EXPECT_LT(ReadFileBackedBytes(), before + (size_t{4} << 20));
  // Not an address in the file.
  EXPECT_FALSE(file->Read(copy.data(), copy.size(), copy.data()));
  EXPECT_FALSE(file->Read(pool.Data(ids[0], 0), size_t{1} << 40, copy.data()));
}

std::vector<int32_t> BlockTokens(int32_t first) {
  std::vector<int32_t> tokens(kBlockTokens);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

TEST(BlockPoolTest, PublishedBlocksAreSharedAndOutliveTheirHolders) {
  BlockPool pool(kLayerBytes, 1, 2);
  ASSERT_OK_AND_ASSIGN(const auto first, pool.Take());
  const Hash128 name = {1, 2};
  pool.Publish(first, name, BlockTokens(0));
  EXPECT_EQ(pool.Find({2, 1}, BlockTokens(0)), std::nullopt);
  EXPECT_EQ(pool.Find(name, BlockTokens(1)), std::nullopt) << "the tokens are compared, not only the name";
  EXPECT_EQ(pool.Find(name, BlockTokens(0)), first);
  pool.Give(first);
  EXPECT_EQ(pool.num_used(), 1u);
  pool.Give(first);
  EXPECT_EQ(pool.num_used(), 0u);
  EXPECT_EQ(pool.num_unheld(), 1u);
  EXPECT_EQ(pool.Find(name, BlockTokens(0)), first);
  pool.Give(first);
  // The pool has room for two blocks: a third replaces the one without holders.
  ASSERT_OK(pool.Take());
  ASSERT_OK(pool.Take());
  EXPECT_EQ(pool.num_unheld(), 0u);
  EXPECT_EQ(pool.Find(name, BlockTokens(0)), std::nullopt);
  EXPECT_ERROR_CONTAINS(pool.Take(), "all 2 KV blocks");
}

TEST(BlockPoolTest, WhatAnOwnerHasIsForgotten) {
  BlockPool pool(kLayerBytes, 1, 4);
  const Hash128 ada = {1, 1}, bob = {2, 2};
  std::vector<BlockPool::BlockId> ids;
  for (int32_t i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(const auto id, pool.Take());
    pool.Publish(id, {static_cast<uint64_t>(i), 9}, BlockTokens(i), i == 2 ? bob : ada);
    ids.push_back(id);
  }
  pool.Give(ids[0]);
  pool.Forget(ada);
  EXPECT_EQ(pool.Find({0, 9}, BlockTokens(0)), std::nullopt);
  EXPECT_EQ(pool.Find({1, 9}, BlockTokens(1)), std::nullopt);
  EXPECT_EQ(pool.Find({2, 9}, BlockTokens(2)), ids[2]);
  EXPECT_EQ(pool.num_used(), 2u) << "whoever holds one keeps it";
  EXPECT_EQ(pool.num_unheld(), 0u);
  pool.Give(ids[1]);
  EXPECT_EQ(pool.num_used(), 1u);
  // The name can be published again.
  ASSERT_OK_AND_ASSIGN(const auto again, pool.Take());
  pool.Publish(again, {1, 9}, BlockTokens(1), ada);
  EXPECT_EQ(pool.Find({1, 9}, BlockTokens(1)), again);
}

TEST(BlockPoolTest, OtherThreadsHoldAndGive) {
  BlockPool pool(kLayerBytes, 1, 64);
  ASSERT_OK_AND_ASSIGN(const auto id, pool.Take());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        pool.Hold(id);
        pool.Give(id);
      }
    });
  }
  for (int i = 0; i < 1000; ++i) {
    ASSERT_OK_AND_ASSIGN(const auto other, pool.Take());
    pool.Give(other);
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool.num_used(), 1u);
  pool.Give(id);
  EXPECT_EQ(pool.num_used(), 0u);
}

TEST(BlockPoolTest, TheLongestUnusedGoesFirst) {
  BlockPool pool(kLayerBytes, 1, 3);
  std::vector<BlockPool::BlockId> ids;
  for (int32_t i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(const auto id, pool.Take());
    pool.Publish(id, {static_cast<uint64_t>(i), 0}, BlockTokens(i));
    ids.push_back(id);
  }
  for (const auto id : ids) pool.Give(id);
  pool.Give(*pool.Find({0, 0}, BlockTokens(0)));  // used again
  ASSERT_OK_AND_ASSIGN(const auto taken, pool.Take());
  EXPECT_EQ(taken, ids[1]);
}

TEST(BlockPoolTest, SharedBlocksAreCopiedBeforeTheyAreWrittenTo) {
  BlockPool pool(kLayerBytes, 2, 4);
  ASSERT_OK_AND_ASSIGN(const auto id, pool.Take());
  std::fill_n(pool.Data(id, 1), kLayerBytes, std::byte{7});
  pool.Publish(id, {1, 1}, BlockTokens(0));
  EXPECT_EQ(pool.Find({1, 1}, BlockTokens(0)), id);
  ASSERT_OK_AND_ASSIGN(const auto copy, pool.MakeWritable(id));
  EXPECT_NE(copy, id);
  EXPECT_EQ(pool.Data(copy, 1)[5], std::byte{7});
  EXPECT_EQ(pool.Find({1, 1}, BlockTokens(0)), id) << "the original stays published";
  pool.Give(id);
  ASSERT_OK_AND_ASSIGN(const auto same, pool.MakeWritable(id));
  EXPECT_EQ(same, id);
  EXPECT_EQ(pool.Find({1, 1}, BlockTokens(0)), std::nullopt) << "it may change now";
}

TEST(BlockPoolTest, TakingBlocksOfAFileDoesNotBringThemIntoRam) {
  const TemporaryDirectory directory;
  constexpr size_t kOneLayer = size_t{128} << 10;
  constexpr size_t kBytes = size_t{96} << 20, kMost = size_t{32} << 20;
  const size_t num_blocks = kBytes / (2 * kOneLayer);
  BlockPool pool(kOneLayer, 2, num_blocks, directory.path());
  const size_t before = ReadFileBackedBytes();
  std::vector<BlockPool::BlockId> ids(num_blocks);
  for (int round = 0; round < 2; ++round) {  // new blocks, then those that a session gave back
    for (BlockPool::BlockId& id : ids) {
      ASSERT_OK_AND_ASSIGN(id, pool.Take());
    }
    EXPECT_LT(ReadFileBackedBytes(), before + kMost) << round;
    for (const BlockPool::BlockId id : ids) {
      const std::byte* data = pool.Data(id, 0);
      ASSERT_TRUE(
          std::all_of(data, data + pool.bytes_per_block(), [](std::byte b) { return b == std::byte{0}; }));
      std::memset(pool.Data(id, 0), 7, pool.bytes_per_block());
    }
    pool.ReleaseRam();
    for (const BlockPool::BlockId id : ids) pool.Give(id);
  }
}

TEST(BlockPoolTest, AFolderThatIsNotThereIsAnError) {
  BlockPool pool(kLayerBytes, 1, 8, "/nonexistent/folder");
  EXPECT_ERROR_CONTAINS(pool.Take(), "/nonexistent/folder");
}

TEST(BlockListTest, GrowsShrinksAndGivesBack) {
  BlockPool pool(kLayerBytes, 2, 4);
  {
    BlockList list(&pool, 2, 4);
    ASSERT_OK(list.Grow(3));
    EXPECT_EQ(list.Layer(1).size(), 3u);
    EXPECT_EQ(pool.num_used(), 3u);
    list.Shrink(1);
    EXPECT_EQ(list.size(), 1u);
    EXPECT_EQ(pool.num_used(), 1u);
    EXPECT_ERROR_CONTAINS(list.Grow(5), "all 4 KV blocks");
    EXPECT_EQ(list.size(), 4u);
  }
  EXPECT_EQ(pool.num_used(), 0u);
  BlockList none(nullptr, 2, 4);
  ASSERT_OK(none.Grow(3));
  EXPECT_EQ(none.size(), 0u);
}

}  // namespace
}  // namespace qwen25
