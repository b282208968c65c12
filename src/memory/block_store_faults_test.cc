// Block stores whose system calls fail. For damaged files see block_store_damage_test.cc.
#include <gtest/gtest.h>

#include <cerrno>

#include "memory/block_store_test_util.h"
#include "memory/system_faults_test_util.h"

namespace qwen25 {
namespace {

// Blocks of "bob" and "ada" alternate, so that Compact moves ada's after bob's were erased.
std::vector<TestBlock> PutInTurn(BlockStore& store, uint64_t num_blocks) {
  std::vector<TestBlock> kept;
  for (uint64_t i = 1; i <= num_blocks; ++i) {
    EXPECT_OK(PutBlocks(store, "bob", {MakeBlock(1000 + i)}));
    kept.push_back(MakeBlock(i));
    EXPECT_OK(PutBlocks(store, "ada", {kept.back()}));
  }
  return kept;
}

TEST(BlockStoreFaultsTest, ACompactionThatCannotEmptyASlotLeavesNoStaleOwners) {
  const TemporaryDirectory directory;
  BlockStore store = MustOpen(directory.path(), {.max_bytes = 400 << 10});
  const std::vector<TestBlock> kept = PutInTurn(store, 8);
  ASSERT_OK(store.Erase("bob"));
  {
    const FailingCalls failing(SystemCall::kFallocate, EIO, 0, 1);
    // Compact may fail or succeed; in both cases List must tell the truth.
    static_cast<void>(store.Compact());
    EXPECT_EQ(failing.num_failed(), 1u);
  }
  const std::vector<StoredBlock> listed = store.List("ada", kTestFormat);
  EXPECT_EQ(listed.size(), kept.size());
  for (const StoredBlock& block : listed) EXPECT_OK(store.Tokens(block));
  // They are all evicted by other blocks; then the remaining blocks move again.
  for (uint64_t i = 0; i < 60; ++i) ASSERT_OK(PutBlocks(store, "eve", {MakeBlock(5000 + i)}));
  for (const TestBlock& block : kept) EXPECT_FALSE(store.Contains("ada", kTestFormat, block.id));
  for (const StoredBlock& block : listed) EXPECT_EQ(store.Layer(block, kTestFormat, 0), nullptr);
  ASSERT_OK(store.Erase("ada"));
  ASSERT_OK(store.Compact());
  ASSERT_OK_AND_ASSIGN(const BlockStoreReport report, store.Verify(nullptr));
  EXPECT_TRUE(report.damaged.empty());
  EXPECT_EQ(report.num_checked, store.Stats().num_blocks);
}

TEST(BlockStoreFaultsTest, AnErasureGoesOnAfterASlotThatCouldNotBeEmptiedAtOnce) {
  const TemporaryDirectory directory;
  const BlockFormat other = {.fingerprint = {1, 1}, .num_layers = 2, .layer_bytes = 9000};
  BlockStore store = MustOpen(directory.path());
  const TestBlock secret = MakeBlock(1), large = MakeBlock(2, nullptr, other);
  ASSERT_OK(PutBlocks(store, "bob", {secret}));
  ASSERT_OK(PutBlocks(store, "bob", {large}, other));
  ASSERT_OK(PutBlocks(store, "ada", {MakeBlock(3)}));
  {
    const FailingCalls failing(SystemCall::kFallocate, EIO, 0, 1);
    ASSERT_OK(store.Erase("bob"));
    EXPECT_EQ(failing.num_failed(), 1u);
  }
  EXPECT_FALSE(AnyFileHolds(directory.path(), secret.layers[0]));
  EXPECT_FALSE(AnyFileHolds(directory.path(), large.layers[0]));
  EXPECT_FALSE(AnyFileHolds(directory.path(), std::as_bytes(std::span(&secret.id, 1))));
}

TEST(BlockStoreFaultsTest, AFullStoreLooksForRoomOnceForEachPut) {
  const TemporaryDirectory directory;
  BlockStore store = MustOpen(directory.path(), {.max_bytes = 400 << 10});
  uint64_t walks = 0;
  for (uint64_t i = 0; i < 50; ++i) {
    ASSERT_OK(PutBlocks(store, "ada", {MakeBlock(2 * i + 1), MakeBlock(2 * i + 2)}));
    const uint64_t now = store.Stats().num_eviction_walks;
    EXPECT_LE(now, walks + 1) << i;
    walks = now;
    EXPECT_LE(store.Stats().used_bytes, uint64_t{400} << 10);
  }
  EXPECT_GT(walks, 0u);
}

TEST(BlockStoreFaultsTest, NewFoldersAreFlushedInTheirParents) {
  const TemporaryDirectory directory;
  const std::filesystem::path root = std::filesystem::canonical(directory.path());
  const SyncedFolders synced;
  BlockStore store = MustOpen(root / "memory" / "of" / "ada");
  ASSERT_OK(PutBlocks(store, "ada", {MakeBlock(1)}));
  const std::vector<std::string> paths = synced.paths();
  for (const std::filesystem::path& folder :
       {root, root / "memory", root / "memory" / "of", root / "memory" / "of" / "ada"}) {
    EXPECT_NE(std::ranges::find(paths, folder.string()), paths.end()) << folder;
  }
}

}  // namespace
}  // namespace qwen25
