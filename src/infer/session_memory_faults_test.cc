// Sessions and the store when blocks are erased, a disk is slow, full or broken, or blocks have no names.
#include <cerrno>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/test_util.h"
#include "infer/passages.h"
#include "infer/session.h"
#include "infer/tiny_model_test_util.h"
#include "memory/block_store.h"
#include "memory/recalled_blocks.h"
#include "memory/system_faults_test_util.h"

namespace qwen25 {
namespace {

Model TinyModel() {
  ModelConfig config = TinyConfig(100);
  config.max_position_embeddings = 8192;
  Model model(config);
  model.Initialize(3);
  return model;
}

std::vector<int32_t> SomeTokens(size_t count, uint64_t seed) {
  return RandomTokens(100, count, seed);
}

std::vector<float> Logits(Session& session) {
  return {session.logits().begin(), session.logits().end()};
}

constexpr RoutingPolicy kRouted = {.kind = RoutingPolicy::Kind::kTopK,
                                   .max_blocks = 2,
                                   .sink_blocks = 1,
                                   .local_blocks = 1,
                                   .dense_below = 0};
const InferenceEngine::Options kPlain = {.num_threads = 1, .max_total_tokens = 16384};
const InferenceEngine::Options kWindow = {
    .num_threads = 2, .max_total_tokens = 16384, .routing = kRouted, .recall_window = 256};

struct Process {
  explicit Process(const std::filesystem::path& folder, const InferenceEngine::Options& options = kPlain)
      : engine(TinyModel(), options) {
    Result<BlockStore> opened = BlockStore::Open(folder, {});
    EXPECT_OK(opened);
    if (!opened.ok()) return;
    store.emplace(std::move(opened).value());
    engine.SetStore(&*store);
  }
  std::optional<BlockStore> store;
  InferenceEngine engine;
};

TEST(SessionMemoryTest, RememberingTellsWhatHasNoName) {
  const TemporaryDirectory folder;
  Process process(folder.path(), {.num_threads = 1, .max_total_tokens = 4096, .routing = kRouted});
  Session session(process.engine);
  ASSERT_OK(session.Append(SomeTokens(150, 1)));
  ASSERT_OK_AND_ASSIGN(Remembered remembered, session.Remember());
  EXPECT_EQ(remembered.num_stored, 2u);
  EXPECT_EQ(remembered.num_unnamed, 0u);
  ASSERT_OK(session.SetRouting({}));
  ASSERT_OK(session.Append(SomeTokens(150, 2)));
  ASSERT_OK_AND_ASSIGN(remembered, session.Remember());
  EXPECT_EQ(remembered.num_stored, 2u);
  EXPECT_EQ(remembered.num_unnamed, 2u);
  EXPECT_EQ(process.store->Stats().num_blocks, 2u);
}

TEST(SessionMemoryTest, WhatWasErasedIsNeitherSharedNorStoredAgain) {
  const TemporaryDirectory folder;
  Process process(folder.path());
  const std::vector<int32_t> tokens = SomeTokens(300, 1);
  Session mine(process.engine, "mine"), yours(process.engine, "yours");
  for (Session* session : {&mine, &yours}) {
    ASSERT_OK(session->HoldExactly(tokens));
    ASSERT_OK(session->Remember());
  }
  ASSERT_OK(process.store->Erase("mine"));
  {
    Session later(process.engine, "mine");
    ASSERT_OK_AND_ASSIGN(const PrefixReuse reuse, later.HoldExactly(tokens));
    EXPECT_EQ(reuse.total(), 0u);
    EXPECT_EQ(Logits(later), Logits(mine));
  }
  Session other(process.engine, "yours");
  ASSERT_OK_AND_ASSIGN(PrefixReuse reuse, other.HoldExactly(tokens));
  EXPECT_EQ(reuse.shared, 256u);
  // The living session goes on and leaves no blocks.
  ASSERT_OK(mine.Append(SomeTokens(100, 2)));
  ASSERT_OK_AND_ASSIGN(const Remembered remembered, mine.Remember());
  EXPECT_EQ(remembered.num_stored, 0u);
  EXPECT_EQ(remembered.num_unnamed, 6u);
  EXPECT_TRUE(process.store->List("mine", process.engine.block_format()).empty());
  // Tokens added after the erasure are shared and stored as always.
  Session anew(process.engine, "mine"), also(process.engine, "mine");
  ASSERT_OK_AND_ASSIGN(reuse, anew.HoldExactly(tokens));
  ASSERT_OK(anew.Remember());
  ASSERT_OK_AND_ASSIGN(reuse, also.HoldExactly(tokens));
  EXPECT_EQ(reuse.shared, 256u);
  EXPECT_EQ(process.store->List("mine", process.engine.block_format()).size(), 4u);
}

TEST(SessionMemoryTest, NotesLeaveNothingInThePool) {
  const TemporaryDirectory folder;
  Process process(folder.path());
  const std::vector<Passage> notes = {{.name = {1, 1}, .tokens = SomeTokens(200, 5)}};
  ASSERT_OK_AND_ASSIGN(const PassageReport report, SyncPassages(process.engine, "mine", notes, nullptr));
  EXPECT_EQ(report.num_computed, 1u);
  EXPECT_EQ(process.engine.blocks().num_unheld(), 0u);
  EXPECT_EQ(process.engine.blocks().num_used(), 0u);
}

TEST(SessionMemoryTest, ASlowDiskHoldsUpNobodyButWhoWaitsForIt) {
  const TemporaryDirectory folder;
  Process process(folder.path());
  const std::vector<int32_t> tokens = SomeTokens(6000, 1);
  Session session(process.engine), other(process.engine);
  {
    PausedSyncs paused;
    ASSERT_OK_AND_ASSIGN(const PrefixReuse reuse, session.HoldExactly(tokens));
    EXPECT_OK(reuse.store);
    paused.WaitForOne();
    ASSERT_OK(other.Append(SomeTokens(100, 2)));
    EXPECT_OK(session.RememberLater());
    EXPECT_EQ(process.store->Stats().num_blocks, 0u);
  }
  ASSERT_OK_AND_ASSIGN(const Remembered remembered, session.Remember());
  EXPECT_EQ(remembered.num_stored, 93u);
  EXPECT_EQ(process.store->Stats().num_blocks, 93u);
}

TEST(SessionMemoryTest, WhatIsOnItsWayMayBeForgotten) {
  const TemporaryDirectory folder;
  Process process(folder.path());
  const std::vector<int32_t> tokens = SomeTokens(400, 1);
  std::optional<Session> session(std::in_place, process.engine);
  {
    PausedSyncs paused;
    ASSERT_OK(session->Append(tokens));
    ASSERT_OK(session->RememberLater());
    paused.WaitForOne();
    session->Truncate(100);
    ASSERT_OK(session->Append(SomeTokens(100, 9)));
  }
  ASSERT_OK_AND_ASSIGN(const Remembered remembered, session->Remember());
  EXPECT_EQ(remembered.num_stored, 3u);
  EXPECT_EQ(process.store->Stats().num_blocks, 8u) << "six, and two that follow the first";
  session.reset();
  Session again(process.engine);
  ASSERT_OK_AND_ASSIGN(const PrefixReuse reuse, again.HoldExactly(tokens));
  EXPECT_EQ(reuse.total(), 384u);
}

TEST(SessionMemoryTest, AFullDiskIsToldAndTriedAgain) {
  const TemporaryDirectory folder;
  Process process(folder.path());
  Session session(process.engine);
  ASSERT_OK(session.Append(SomeTokens(300, 1)));
  {
    const FailingCalls failing(SystemCall::kWrite, ENOSPC);
    const auto remembered = session.Remember();
    EXPECT_EQ(remembered.status().code(), StatusCode::kResourceExhausted);
    EXPECT_ERROR_CONTAINS(remembered, "No space left");
  }
  ASSERT_OK_AND_ASSIGN(const Remembered remembered, session.Remember());
  EXPECT_EQ(remembered.num_stored, 4u);
}

TEST(SessionMemoryTest, AdoptedBlocksAreNotSummarisedAgain) {
  const TemporaryDirectory folder;
  const std::vector<int32_t> tokens = SomeTokens(400, 1);
  {
    Process process(folder.path());
    Session session(process.engine);
    ASSERT_OK(session.Append(std::span(tokens).first(300)));
    ASSERT_OK(session.Remember());
    EXPECT_EQ(process.engine.writer()->num_written(), 4u);
  }
  Process process(folder.path());
  Session session(process.engine);
  ASSERT_OK(session.HoldExactly(tokens));
  ASSERT_OK(session.Remember());
  EXPECT_EQ(process.engine.writer()->num_written(), 2u);
}

// Deletes the contents of a file without a name.
void CutSpillFiles(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    const std::string target = std::filesystem::read_symlink(entry.path(), ignored).string();
    if (target.find(folder.filename().string() + "/qwen25_spill") == std::string::npos) continue;
    std::filesystem::resize_file(entry.path(), 0);
  }
}

TEST(SessionMemoryTest, AHistoryThatCannotBeReadBackEndsTheAnswerAndNotTheProcess) {
  const TemporaryDirectory folder;
  InferenceEngine::Options options = kWindow;
  options.spill_directory = folder.path();
  InferenceEngine engine(TinyModel(), options);
  Session session(engine);
  ASSERT_OK(session.Append(SomeTokens(1000, 1)));
  CutSpillFiles(folder.path());
  const Status status = session.Append(SomeTokens(10, 2));
  EXPECT_EQ(status.code(), StatusCode::kIo);
  EXPECT_ERROR_CONTAINS(status, "cannot be read back");
  EXPECT_EQ(session.tokens().size(), 1000u);
}

TEST(SessionMemoryTest, RecalledBlocksThatCannotBeReadAreLeftOut) {
  const TemporaryDirectory folder;
  {
    Process process(folder.path(), kWindow);
    Session session(process.engine);
    ASSERT_OK(session.HoldExactly(SomeTokens(64 * 70, 1)));
    ASSERT_OK(session.Remember());
  }
  Process process(folder.path(), kWindow);
  InferenceEngine& engine = process.engine;
  ASSERT_OK_AND_ASSIGN(const auto recalled,
                       RecalledBlocks::Load(*process.store, "default", engine.block_format(),
                                            engine.block_shape(), engine.execution().threads));
  ASSERT_NE(recalled, nullptr);
  Session session(engine);
  ASSERT_OK(session.Recall(*recalled));
  ASSERT_OK(session.Append(SomeTokens(100, 2)));
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    if (entry.path().extension() == ".kv") std::filesystem::resize_file(entry.path(), 0);
  }
  const uint64_t failures = process.store->NumReadFailures();
  ASSERT_OK(session.Append(SomeTokens(10, 3)));
  EXPECT_GT(process.store->NumReadFailures(), failures);
  EXPECT_EQ(session.tokens().size(), 110u);
  // The same as from a pass that meets no failure.
  const std::vector<float> logits(session.logits().begin(), session.logits().end());
  const uint64_t known = process.store->NumReadFailures();
  session.Truncate(100);
  ASSERT_OK(session.Append(SomeTokens(10, 3)));
  EXPECT_EQ(process.store->NumReadFailures(), known);
  EXPECT_TRUE(std::ranges::equal(session.logits(), logits));
}

TEST(SessionMemoryTest, DroppedNotesDoNotSteerTheChoice) {
  const TemporaryDirectory folder;
  Process process(folder.path(), kWindow);
  InferenceEngine& engine = process.engine;
  // More blocks than are scored one by one, so that groups are chosen first.
  constexpr uint64_t kNotes = 400;
  std::vector<Passage> notes;
  for (uint64_t i = 0; i < kNotes; ++i) {
    notes.push_back({.name = {.low = i + 1}, .tokens = SomeTokens(64, 100 + i)});
  }
  ASSERT_OK(SyncPassages(engine, "mine", notes, nullptr));
  ASSERT_OK_AND_ASSIGN(const auto recalled,
                       RecalledBlocks::Load(*process.store, "mine", engine.block_format(),
                                            engine.block_shape(), engine.execution().threads));
  ASSERT_NE(recalled, nullptr);
  Session before(engine, "mine");
  ASSERT_OK(before.Recall(*recalled));
  // Removes whole groups, and single notes of others.
  const auto removes = [](const BlockFormat&, const Hash128& passage, const Hash128&) {
    return passage.low % 64 < 48 || passage.low % 3 == 0;
  };
  ASSERT_OK(process.store->RemovePassages("mine", removes, /*erase=*/false));
  ASSERT_OK(recalled->DropRemovedPassages());
  Session after(engine, "mine");
  ASSERT_OK(after.Recall(*recalled));
  const std::vector<int32_t> tokens = SomeTokens(100, 2);
  ASSERT_OK(before.Append(tokens));
  ASSERT_OK(after.Append(tokens));
  EXPECT_EQ(Logits(before), Logits(after));
}

}  // namespace
}  // namespace qwen25
