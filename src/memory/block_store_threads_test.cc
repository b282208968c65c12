// A store used by several threads: a writer must neither stop readers nor remove a block while they read it.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <thread>

#include "memory/block_store_test_util.h"
#include "memory/system_faults_test_util.h"

namespace qwen25 {
namespace {

TEST(BlockStoreThreadsTest, ReadersGoOnWhileAWriterFlushes) {
  const TemporaryDirectory directory;
  BlockStore store = MustOpen(directory.path());
  const TestBlock first = MakeBlock(1), second = MakeBlock(2, &first);
  ASSERT_OK(PutBlocks(store, "ada", {first}));
  std::optional<PausedSyncs> paused(std::in_place);
  std::thread writer([&] { EXPECT_OK(PutBlocks(store, "ada", {second})); });
  paused->WaitForOne();
  // The writer is in the middle of Put, and none of these calls waits for it.
  EXPECT_OK(ReadAndCompare(store, "ada", first));
  EXPECT_FALSE(store.Contains("ada", kTestFormat, second.id));
  EXPECT_TRUE(store.Use("ada", kTestFormat, first.id));
  const auto listed = store.List("ada", kTestFormat);
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_OK(store.Tokens(listed[0]));
  EXPECT_EQ(store.Stats().num_blocks, 1u);
  {
    const BlockStore::Reading reading = store.BeginReading();
    EXPECT_NE(store.Layer(listed[0], kTestFormat, 0), nullptr);
  }
  paused.reset();
  writer.join();
  EXPECT_OK(ReadAndCompare(store, "ada", second));
}

TEST(BlockStoreThreadsTest, WhatIsReadStaysWhileOthersMakeRoom) {
  const TemporaryDirectory directory;
  BlockStore store = MustOpen(directory.path(), {.max_bytes = 400 << 10});
  std::vector<TestBlock> blocks;
  for (uint64_t i = 1; i <= 8; ++i) blocks.push_back(MakeBlock(i));
  ASSERT_OK(PutBlocks(store, "ada", blocks));
  const auto listed = store.List("ada", kTestFormat);
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (uint64_t i = 0; i < 300; ++i) EXPECT_OK(PutBlocks(store, "eve", {MakeBlock(1000 + i)}));
    done = true;
  });
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([&] {
      while (!done) {
        {
          const BlockStore::Reading reading = store.BeginReading();
          for (size_t i = 0; i < listed.size(); ++i) {
            const std::byte* layer = store.Layer(listed[i], kTestFormat, 1);
            if (layer == nullptr) continue;  // the block was evicted
            EXPECT_EQ(std::memcmp(layer, blocks[i].layers[1].data(), kTestFormat.layer_bytes), 0);
          }
        }
        for (const TestBlock& block : blocks) {
          const Status status = ReadAndCompare(store, "ada", block);
          if (status.code() != StatusCode::kNotFound) {
            EXPECT_OK(status);
          }
        }
        std::this_thread::yield();
      }
    });
  }
  writer.join();
  for (std::thread& reader : readers) reader.join();
  EXPECT_LE(store.Stats().used_bytes, uint64_t{400} << 10);
}

TEST(BlockStoreThreadsTest, WhatWasErasedIsNotStoredByWhoComesLate) {
  const TemporaryDirectory directory;
  BlockStore store = MustOpen(directory.path());
  const TestBlock block = MakeBlock(1);
  std::vector<const std::byte*> layers;
  for (const auto& layer : block.layers) layers.push_back(layer.data());
  const NewBlock late = {block.id, block.parent, block.position, block.tokens, layers, block.summaries};
  const uint64_t before = store.NumErasures("ada");
  ASSERT_OK(store.Erase("bob"));
  EXPECT_OK(store.Put("ada", kTestFormat, {&late, 1}, before));
  ASSERT_OK(store.Erase("ada"));
  EXPECT_EQ(store.Put("ada", kTestFormat, {&late, 1}, before).code(), StatusCode::kCancelled);
  EXPECT_FALSE(store.Contains("ada", kTestFormat, block.id));
  EXPECT_OK(store.Put("ada", kTestFormat, {&late, 1}, store.NumErasures("ada")));
}

TEST(BlockStoreThreadsTest, AFileThatIsCutShortCostsItsBlocksAndNotTheProcess) {
  const TemporaryDirectory directory;
  BlockStore store = MustOpen(directory.path());
  std::vector<TestBlock> blocks;
  for (uint64_t i = 1; i <= 4; ++i) blocks.push_back(MakeBlock(i));
  ASSERT_OK(PutBlocks(store, "ada", blocks));
  const auto listed = store.List("ada", kTestFormat);
  const auto layer = [&](size_t i) { return store.Layer(listed[i], kTestFormat, 2); };
  for (size_t i = 0; i < 4; ++i) ASSERT_NE(layer(i), nullptr);
  const std::byte* address = layer(3);
  const uint64_t before = store.NumReadFailures();
  // As another program might do; a failing disk looks the same.
  std::filesystem::resize_file(directory / "blocks-8192.kv", 2 * 8192 + 100);
  EXPECT_EQ(static_cast<int>(*static_cast<const volatile std::byte*>(address)), 0);
  EXPECT_GT(store.NumReadFailures(), before);
  EXPECT_NE(layer(0), nullptr);
  EXPECT_NE(layer(1), nullptr);
  EXPECT_EQ(layer(2), nullptr);
  EXPECT_EQ(layer(3), nullptr);
  EXPECT_EQ(ReadAndCompare(store, "ada", blocks[3]).code(), StatusCode::kCorrupt);
  // A block that is stored again is read through the map again.
  ASSERT_OK(PutBlocks(store, "ada", {blocks[3]}));
  const auto again = store.List("ada", kTestFormat);
  const std::byte* data = store.Layer(again.back(), kTestFormat, 2);
  ASSERT_NE(data, nullptr);
  EXPECT_EQ(std::memcmp(data, blocks[3].layers[2].data(), kTestFormat.layer_bytes), 0);
}

TEST(BlockStoreThreadsTest, ADiskThatCannotReadCostsABlock) {
  const TemporaryDirectory directory;
  BlockStore store = MustOpen(directory.path());
  ASSERT_OK(PutBlocks(store, "ada", {MakeBlock(1), MakeBlock(2)}));
  {
    const FailingCalls failing(SystemCall::kRead, EIO, 0, 1);
    const Status status = ReadAndCompare(store, "ada", MakeBlock(1));
    EXPECT_EQ(status.code(), StatusCode::kCorrupt);
    EXPECT_ERROR_CONTAINS(status, "Input/output error");
  }
  EXPECT_OK(ReadAndCompare(store, "ada", MakeBlock(2)));
}

}  // namespace
}  // namespace qwen25
