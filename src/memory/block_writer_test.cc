#include "memory/block_writer.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <numeric>
#include <optional>
#include <vector>

#include "memory/block_store_test_util.h"
#include "memory/block_summaries.h"
#include "memory/system_faults_test_util.h"

namespace qwen25 {
namespace {

constexpr AttentionShape kShape = {.num_heads = 2, .num_kv_heads = 1, .head_dim = 32, .scale = 1};
constexpr size_t kLayers = 2;

bool IsReady(const BlockWriter::Written& written) {
  return written.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

// A pool with the full blocks of a sequence, and a store.
class BlockWriterTest : public testing::Test {
 protected:
  BlockWriterTest()
      : format_(StoredBlockFormat({5, 6}, kShape, kLayers)),
        store_(MustOpen(directory_.path())),
        pool_(kShape.BytesPerBlock(), kLayers, 64) {
    std::iota(tokens_.begin(), tokens_.end(), 7);
  }

  BlockToWrite NewBlock() {
    const auto id = pool_.Take();
    EXPECT_OK(id);
    std::fill_n(reinterpret_cast<float*>(pool_.Data(*id, 0)),
                kShape.BytesPerBlock() * kLayers / sizeof(float), static_cast<float>(++num_blocks_));
    return {.block = *id, .id = {num_blocks_, 1}, .parent = {}, .position = 0, .tokens = tokens_};
  }

  bool IsStored(const BlockToWrite& block) const { return store_.Contains("ada", format_, block.id); }

  TemporaryDirectory directory_;
  const BlockFormat format_;
  BlockStore store_;
  BlockPool pool_;
  std::vector<int32_t> tokens_ = std::vector<int32_t>(kBlockTokens);
  uint64_t num_blocks_ = 0;
};

TEST_F(BlockWriterTest, WritesWithoutHoldingUpWhoeverAdds) {
  BlockWriter writer(store_, pool_, format_, kShape, {});
  const BlockToWrite first = NewBlock(), second = NewBlock();
  std::optional<PausedSyncs> paused(std::in_place);
  const BlockWriter::Written written = writer.Add("ada", {&first, 1}, 0);
  paused->WaitForOne();
  // While the disk is slow, another batch is added, and the sequence ends.
  const auto also = writer.TryAdd("ada", {&second, 1}, 0);
  ASSERT_TRUE(also);
  EXPECT_FALSE(IsReady(written));
  pool_.Give(first.block);
  pool_.Give(second.block);
  EXPECT_EQ(pool_.num_used(), 2u) << "held by the writer";
  paused.reset();
  EXPECT_OK(written.get());
  EXPECT_OK(also->get());
  EXPECT_EQ(pool_.num_used(), 0u);
  EXPECT_TRUE(IsStored(first));
  EXPECT_TRUE(IsStored(second));
  const auto listed = store_.List("ada", format_);
  std::vector<std::byte> layer(kShape.BytesPerBlock());
  std::vector<std::vector<std::byte>> layers(kLayers, layer);
  std::vector<std::byte*> pointers = {layers[0].data(), layers[1].data()};
  std::vector<int32_t> tokens(kBlockTokens);
  ASSERT_OK(store_.Copy(listed[1], format_, tokens, pointers, {}));
  EXPECT_EQ(tokens, tokens_);
  EXPECT_EQ(*reinterpret_cast<const float*>(layers[1].data()), 2.0f);
}

TEST_F(BlockWriterTest, AFullQueueSaysSoAndWaitsOnlyIfAskedTo) {
  std::promise<void> go;
  const std::shared_future<void> gone = go.get_future().share();
  BlockWriter writer(
      store_, pool_, format_, kShape,
      {.max_queued_blocks = 2,
       .put = [&](std::string_view, const BlockFormat&, std::span<const qwen25::NewBlock>, uint64_t) {
         gone.wait();
         return Status();
       }});
  const std::vector<BlockToWrite> three = {NewBlock(), NewBlock(), NewBlock()};
  const auto large = writer.TryAdd("ada", three, 0);
  ASSERT_TRUE(large) << "a batch fits into an empty queue, whatever its size";
  EXPECT_FALSE(writer.TryAdd("ada", std::span(three).first(1), 0));
  const auto waiting =
      std::async(std::launch::async, [&] { return writer.Add("ada", std::span(three).first(1), 0).get(); });
  go.set_value();
  EXPECT_OK(large->get());
  waiting.wait();
  EXPECT_EQ(writer.num_written(), 4u);
}

TEST_F(BlockWriterTest, TellsWhyABatchIsNotStored) {
  BlockWriter writer(store_, pool_, format_, kShape, {});
  const BlockToWrite first = NewBlock(), second = NewBlock();
  {
    const FailingCalls failing(SystemCall::kWrite, ENOSPC);
    const Status status = writer.Add("ada", {&first, 1}, 0).get();
    EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
    EXPECT_ERROR_CONTAINS(status, "No space left");
  }
  EXPECT_FALSE(IsStored(first));
  EXPECT_OK(Status(writer.Add("ada", {&second, 1}, 0).get()));
  EXPECT_TRUE(IsStored(second));
  ASSERT_OK(store_.Erase("ada"));
  EXPECT_EQ(writer.Add("ada", {&first, 1}, 0).get().code(), StatusCode::kCancelled);
  EXPECT_FALSE(IsStored(first));
  EXPECT_OK(Status(writer.Add("ada", {&first, 1}, store_.NumErasures("ada")).get()));
}

TEST_F(BlockWriterTest, WhatTheStoreHasIsNotSummarisedAgain) {
  BlockWriter writer(store_, pool_, format_, kShape, {});
  const std::vector<BlockToWrite> blocks = {NewBlock(), NewBlock(), NewBlock()};
  EXPECT_OK(Status(writer.Add("ada", std::span(blocks).first(2), 0).get()));
  EXPECT_OK(Status(writer.Add("ada", blocks, 0).get()));
  EXPECT_EQ(writer.num_written(), 3u);
}

// These signals must interrupt the main thread, which waits for input.
TEST_F(BlockWriterTest, SignalsThatStopAProgramAreNotForItsThread) {
  sigset_t of_writer{}, of_caller{};
  const auto put = [&](const auto&...) {
    ::pthread_sigmask(SIG_BLOCK, nullptr, &of_writer);
    return Status();
  };
  BlockWriter writer(store_, pool_, format_, kShape, {.put = put});
  const BlockToWrite block = NewBlock();
  EXPECT_OK(Status(writer.Add("ada", {&block, 1}, 0).get()));
  pool_.Give(block.block);
  ::pthread_sigmask(SIG_BLOCK, nullptr, &of_caller);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGALRM}) {
    EXPECT_EQ(::sigismember(&of_writer, signal), 1) << signal;
    EXPECT_EQ(::sigismember(&of_caller, signal), 0) << signal;
  }
}

TEST_F(BlockWriterTest, EndsWithEverythingWritten) {
  std::vector<BlockToWrite> blocks;
  {
    BlockWriter writer(store_, pool_, format_, kShape, {});
    for (int i = 0; i < 20; ++i) {
      blocks.push_back(NewBlock());
      ASSERT_TRUE(writer.TryAdd("ada", {&blocks.back(), 1}, 0));
      pool_.Give(blocks.back().block);
    }
  }
  EXPECT_EQ(pool_.num_used(), 0u);
  for (const BlockToWrite& block : blocks) EXPECT_TRUE(IsStored(block));
}

}  // namespace
}  // namespace qwen25
