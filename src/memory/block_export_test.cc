#include "memory/block_export.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <numeric>
#include <set>

#include "memory/block_export_file.h"
#include "memory/block_id.h"
#include "memory/block_store_test_util.h"

namespace qwen25 {
namespace {

const std::string kKey = "0123456789abcdef0123456789abcdef";
constexpr BlockFormat kNoSummaries = {.fingerprint = {5, 6}, .num_layers = 2, .layer_bytes = 77};

// A sequence with ids as sessions compute them. `number` tells sequences apart.
std::vector<TestBlock> Sequence(uint64_t number, size_t length, const BlockFormat& format = kTestFormat) {
  std::vector<TestBlock> blocks;
  for (size_t i = 0; i < length; ++i) {
    blocks.push_back(MakeBlock(1000 * number + i + 1, i == 0 ? nullptr : &blocks[i - 1], format));
    if (i > 0) blocks[i].id = BlockIdOf(blocks[i].parent, blocks[i].tokens);
  }
  return blocks;
}

BlockStore::Options OptionsOf(bool encrypted, uint64_t max_bytes = uint64_t{1} << 30) {
  return {.max_bytes = max_bytes, .key = encrypted ? std::optional(kKey) : std::nullopt};
}

std::vector<Hash128> Ids(const BlockStore& store, std::string_view name_space,
                         const BlockFormat& format = kTestFormat) {
  std::vector<Hash128> ids;
  for (const StoredBlock& block : store.List(name_space, format)) ids.push_back(block.id);
  return ids;
}

size_t NumFiles(const std::filesystem::path& folder) {
  return static_cast<size_t>(
      std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()));
}

class BlockExportTest : public testing::Test {
 protected:
  std::filesystem::path Folder(const char* name) const { return directory_.path() / name; }
  TemporaryDirectory directory_;
  const std::filesystem::path files_ = directory_.path() / "files";
  const std::filesystem::path file_ = files_ / "blocks.safetensors";
  void SetUp() override { std::filesystem::create_directory(files_); }
};

// Parameters: whether the store exported from has a key, and whether the one imported into has.
class BlockExportKeysTest : public BlockExportTest,
                            public testing::WithParamInterface<std::pair<bool, bool>> {};

TEST_P(BlockExportKeysTest, ImportGivesWhatWasExported) {
  const std::vector<TestBlock> first = Sequence(1, 150), second = Sequence(2, 3), of_others = Sequence(3, 4);
  const std::vector<TestBlock> other_format = Sequence(4, 5, kNoSummaries);
  std::vector<Hash128> ids;
  {
    BlockStore store = MustOpen(Folder("from"), OptionsOf(GetParam().first));
    ASSERT_OK(PutBlocks(store, "ada \"ä\"", first));
    ASSERT_OK(PutBlocks(store, "bob", of_others));
    ASSERT_OK(PutBlocks(store, "ada \"ä\"", second));
    ASSERT_OK(PutBlocks(store, "ada \"ä\"", other_format, kNoSummaries));
    ids = Ids(store, "ada \"ä\"");
    uint64_t last = 0;
    ASSERT_OK_AND_ASSIGN(const BlockExportReport report,
                         ExportBlocks(store, "ada \"ä\"", file_, [&](uint64_t done, uint64_t total) {
                           EXPECT_EQ(total, 158u);
                           last = done;
                           return true;
                         }));
    EXPECT_EQ(last, 158u);
    EXPECT_EQ(report.num_blocks, 158u);
    EXPECT_TRUE(report.damaged.empty());
    EXPECT_EQ(report.num_orphans, 0u);
  }
  EXPECT_TRUE(AnyFileHolds(files_, first[7].layers[1])) << "an export is not encrypted";
  EXPECT_FALSE(AnyFileHolds(files_, of_others[0].layers[1]));
  for (const bool again : {false, true}) {
    BlockStore store = MustOpen(Folder("to"), OptionsOf(GetParam().second));
    if (!again) {
      ASSERT_OK(PutBlocks(store, "ada \"ä\"", {first[0]}));
    }
    ASSERT_OK_AND_ASSIGN(const BlockImportReport report, ImportBlocks(store, file_, nullptr));
    EXPECT_EQ(report.name_space, "ada \"ä\"");
    EXPECT_EQ(report.num_blocks, 158u);
    EXPECT_EQ(report.num_present, again ? 158u : 1u);
    EXPECT_EQ(report.num_stored, again ? 0u : 157u);
    EXPECT_EQ(report.num_orphans + report.num_removed, 0u);
    EXPECT_EQ(Ids(store, "ada \"ä\""), ids) << "in the same order, which recall depends on";
    for (const TestBlock& block : first) EXPECT_OK(ReadAndCompare(store, "ada \"ä\"", block));
    for (const TestBlock& block : second) EXPECT_OK(ReadAndCompare(store, "ada \"ä\"", block));
    for (const TestBlock& block : other_format) {
      EXPECT_OK(ReadAndCompare(store, "ada \"ä\"", block, kNoSummaries));
    }
    EXPECT_EQ(store.Stats().num_blocks, 158u);
    EXPECT_EQ(AnyFileHolds(Folder("to"), first[7].layers[1]), !GetParam().second);
  }
}

INSTANTIATE_TEST_SUITE_P(Keys, BlockExportKeysTest,
                         testing::Values(std::pair(false, false), std::pair(false, true),
                                         std::pair(true, false), std::pair(true, true)),
                         [](const auto& info) {
                           return std::string(info.param.first ? "EncryptedTo" : "PlainTo") +
                                  (info.param.second ? "Encrypted" : "Plain");
                         });

TEST_F(BlockExportTest, ADamagedBlockAndWhatFollowsItStayBehind) {
  const std::vector<TestBlock> broken = Sequence(1, 5), whole = Sequence(2, 3);
  BlockStore from = MustOpen(Folder("from")), to = MustOpen(Folder("to"));
  ASSERT_OK(PutBlocks(from, "ada", broken));
  ASSERT_OK(PutBlocks(from, "ada", whole));
  {
    std::fstream slots(Folder("from") / "blocks-8192.kv", std::ios::in | std::ios::out | std::ios::binary);
    slots.seekp(2 * 8192 + 4096 + 1500);  // layer 1 of broken[2]
    slots.put('x');
  }
  ASSERT_OK_AND_ASSIGN(const BlockExportReport report, ExportBlocks(from, "ada", file_, nullptr));
  EXPECT_EQ(report.num_blocks, 5u);
  ASSERT_EQ(report.damaged.size(), 1u);
  EXPECT_NE(report.damaged[0].find("the sum of layer 1 is wrong"), std::string::npos) << report.damaged[0];
  EXPECT_EQ(report.num_orphans, 2u);
  ASSERT_OK(ImportBlocks(to, file_, nullptr));
  EXPECT_EQ(to.Stats().num_blocks, 5u);
  EXPECT_TRUE(to.Contains("ada", kTestFormat, broken[1].id));
  for (const TestBlock& block : whole) EXPECT_OK(ReadAndCompare(to, "ada", block));

  // Stored again, the block is younger than its successors, and yet comes before them.
  EXPECT_EQ(ReadAndCompare(from, "ada", broken[2]).code(), StatusCode::kCorrupt);
  ASSERT_OK(PutBlocks(from, "ada", {broken[2]}));
  ASSERT_OK_AND_ASSIGN(const BlockExportReport later, ExportBlocks(from, "ada", file_, nullptr));
  EXPECT_EQ(later.num_blocks, 8u);
  ASSERT_OK_AND_ASSIGN(const BlockImportReport import, ImportBlocks(to, file_, nullptr));
  EXPECT_EQ(import.num_stored, 3u);
  for (const TestBlock& block : broken) EXPECT_OK(ReadAndCompare(to, "ada", block));
}

TEST_F(BlockExportTest, AStoppedExportLeavesNothingAndAStoppedImportGoesOn) {
  const std::vector<TestBlock> blocks = Sequence(1, 200);
  BlockStore from = MustOpen(Folder("from")), to = MustOpen(Folder("to"));
  ASSERT_OK(PutBlocks(from, "ada", blocks));
  const auto until = [](uint64_t limit) { return [=](uint64_t done, uint64_t) { return done < limit; }; };
  EXPECT_EQ(ExportBlocks(from, "ada", file_, until(150)).status().code(), StatusCode::kCancelled);
  EXPECT_EQ(NumFiles(files_), 0u);
  EXPECT_EQ(ExportBlocks(from, "bob", file_, nullptr).status().code(), StatusCode::kNotFound);
  ASSERT_OK(ExportBlocks(from, "ada", file_, nullptr));
  EXPECT_EQ(NumFiles(files_), 1u);
  EXPECT_EQ(ImportBlocks(to, file_, until(100)).status().code(), StatusCode::kCancelled);
  const uint64_t num_stored = to.Stats().num_blocks;
  EXPECT_GE(num_stored, 100u);
  EXPECT_LT(num_stored, 200u);
  ASSERT_OK_AND_ASSIGN(const BlockImportReport report, ImportBlocks(to, file_, nullptr));
  EXPECT_EQ(report.num_present, num_stored);
  EXPECT_EQ(report.num_stored, 200 - num_stored);
}

TEST_F(BlockExportTest, AFileThatIsCutShortWhileItIsReadIsAnErrorAndNotASignal) {
  const std::vector<TestBlock> blocks = Sequence(1, 150);
  {
    BlockStore store = MustOpen(Folder("from"));
    ASSERT_OK(PutBlocks(store, "ada", blocks));
    ASSERT_OK(ExportBlocks(store, "ada", file_, nullptr));
  }
  BlockStore store = MustOpen(Folder("to"));
  const auto report = ImportBlocks(store, file_, [&](uint64_t, uint64_t) {
    std::filesystem::resize_file(file_, 4096);
    return true;
  });
  EXPECT_EQ(report.status().code(), StatusCode::kCorrupt);
  EXPECT_ERROR_CONTAINS(report, "the file is damaged");
  EXPECT_EQ(store.Stats().num_blocks, 64u);
  for (size_t i = 0; i < 64; ++i) EXPECT_OK(ReadAndCompare(store, "ada", blocks[i]));
}

TEST_F(BlockExportTest, AnImportKeepsToTheBudget) {
  constexpr uint64_t kMaxBytes = 2 << 20;
  BlockStore from = MustOpen(Folder("from")), to = MustOpen(Folder("to"), OptionsOf(false, kMaxBytes));
  for (uint64_t i = 1; i <= 40; ++i) ASSERT_OK(PutBlocks(from, "ada", Sequence(i, 10)));
  ASSERT_OK(PutBlocks(to, "bob", Sequence(100, 10)));
  ASSERT_OK(to.Pin("bob", true));
  ASSERT_OK(ExportBlocks(from, "ada", file_, nullptr));
  ASSERT_OK_AND_ASSIGN(const BlockImportReport report, ImportBlocks(to, file_, nullptr));
  EXPECT_LE(to.Stats().used_bytes, kMaxBytes);
  EXPECT_EQ(report.num_blocks, 400u);
  EXPECT_EQ(report.num_stored + report.num_orphans, 400u);
  EXPECT_GT(report.num_removed, 0u);
  EXPECT_EQ(to.Stats().num_blocks, 10 + report.num_stored - report.num_removed);
  EXPECT_EQ(to.List("bob", kTestFormat).size(), 10u);
  EXPECT_TRUE(to.Contains("ada", kTestFormat, Sequence(40, 10)[9].id)) << "the youngest";
  for (const StoredBlock& block : to.List("ada", kTestFormat)) {
    EXPECT_TRUE(block.position == 0 || to.Contains("ada", kTestFormat, block.parent));
  }
}

// A small export whose metadata and tensors each test damages before it is written.
class DamagedExportTest : public BlockExportTest {
 protected:
  void SetUp() override {
    BlockExportTest::SetUp();
    BlockStore from = MustOpen(Folder("from"));
    ASSERT_OK(PutBlocks(from, "ada", Sequence(1, 3, kFormat), kFormat));
    ASSERT_OK(PutBlocks(from, "ada", Sequence(2, 1, kFormat), kFormat));
    ASSERT_OK(ExportBlocks(from, "ada", file_, nullptr));
    ASSERT_OK_AND_ASSIGN(const SafetensorsReader reader, SafetensorsReader::Open(file_));
    metadata_ = reader.metadata();
    for (const TensorInfo& tensor : reader.tensors()) {
      tensors_[tensor.name] = {tensor.dtype, tensor.shape, {tensor.bytes.begin(), tensor.bytes.end()}};
    }
  }
  struct Tensor {
    DType dtype;
    std::vector<uint64_t> shape;
    std::vector<std::byte> bytes;
  };
  Status Import() {
    BlockStore store = MustOpen(Folder("to"));
    const Status status = ImportBlocks(store, files_ / "bad", nullptr).status();
    EXPECT_EQ(store.Stats().num_blocks == 0, !status.ok());
    return status;
  }
  Status ImportChanged() {
    std::vector<TensorToWrite> list;
    for (const auto& [name, tensor] : tensors_) {
      list.push_back(TensorToWrite::FromBytes(name, tensor.dtype, tensor.shape, tensor.bytes));
    }
    QWEN25_RETURN_IF_ERROR(WriteSafetensors(files_ / "bad", list, metadata_));
    return Import();
  }
  template <typename T>
  void Set(const std::string& name, size_t index, T value) {
    std::memcpy(tensors_.at(name).bytes.data() + index * sizeof(T), &value, sizeof value);
  }

  static constexpr BlockFormat kFormat = {
      .fingerprint = {0xabcdef, 2}, .num_layers = 2, .layer_bytes = 40, .summary_bytes = 8};
  std::map<std::string, std::string> metadata_;
  std::map<std::string, Tensor> tensors_;
};

TEST_F(DamagedExportTest, SaysWhatIsWrong) {
  ASSERT_OK(ImportChanged());
  std::filesystem::remove_all(Folder("to"));
  const auto metadata = metadata_;
  const auto tensors = tensors_;
  const auto expect = [&](const char* message, const std::function<void()>& change) {
    metadata_ = metadata;
    tensors_ = tensors;
    change();
    EXPECT_ERROR_CONTAINS(ImportChanged(), message);
  };
  expect("does not say that it holds \"qwen25 KV blocks\"", [&] { metadata_["content"] = "weights"; });
  expect("has version \"2\"", [&] { metadata_["version"] = "2"; });
  expect("names no namespace", [&] { metadata_.erase("namespace"); });
  expect("the sum of block 0", [&] { metadata_["namespace"] = "bob"; });
  expect("32 hexadecimal digits", [&] { metadata_["0.fingerprint"] = "12"; });
  expect("the sum of block 0", [&] { metadata_["0.fingerprint"] = std::string(32, '0'); });
  expect("holds 7 tensors, its 0 formats should have 0", [&] { metadata_.erase("0.fingerprint"); });
  expect("there is no tensor 1.keys_values", [&] { metadata_["1.fingerprint"] = std::string(32, '0'); });
  expect("there is no tensor 0.parents", [&] { tensors_.erase("0.parents"); });
  expect("holds 8 tensors, its 1 formats should have 7", [&] { tensors_["more"] = tensors.at("0.sums"); });
  expect("0.tokens is I32 [2, 128], expected I32 [4, 64]", [&] { tensors_["0.tokens"].shape = {2, 128}; });
  expect("0.sums is I32 [4], expected U32 [4]", [&] { tensors_["0.sums"].dtype = DType::kI32; });
  expect("0.keys_values is U8 [4, 80], expected U8 [any, any, any]", [&] {
    tensors_["0.keys_values"].shape = {4, 80};
  });
  expect("0.summaries is U8 [2, 2, 16], expected U8 [4, 2, any]", [&] {
    tensors_["0.summaries"].shape = {2, 2, 16};
  });
  expect("a block has 0 layers", [&] {
    tensors_["0.keys_values"] = {DType::kU8, {4, 0, 40}, {}};
    tensors_.erase("0.summaries");
  });
  expect("block 1 of format 0: follows block 1", [&] { Set<int32_t>("0.parents", 1, 1); });
  expect("block 0 of format 0: follows block -2", [&] { Set<int32_t>("0.parents", 0, -2); });
  expect("block 1 of format 0: has position 1, expected 0", [&] { Set<int32_t>("0.parents", 1, -1); });
  expect("block 2 of format 0: has position 7, expected 2", [&] { Set<int32_t>("0.positions", 2, 7); });
  expect("block 1 of format 0: its id is not that", [&] { Set<int32_t>("0.tokens", 64 + 9, 3); });
  expect("block 3 of format 0: its id is that of an earlier block",
         [&] { std::copy_n(tensors.at("0.ids").bytes.begin(), 16, tensors_["0.ids"].bytes.begin() + 48); });
  expect("the sum of block 3 of format 0", [&] { Set<int32_t>("0.tokens", 3 * 64, 3); });
  expect("the sum of block 2 of format 0", [&] { Set<char>("0.keys_values", 2 * 80 + 79, 'x'); });
  expect("the sum of block 1 of format 0", [&] { Set<char>("0.summaries", 16, 'x'); });
}

TEST_F(DamagedExportTest, NoFlippedBitAndNoCutIsTakenForContent) {
  ASSERT_OK_AND_ASSIGN(const std::string good, ReadFile(file_));
  const auto write = [&](std::string_view bytes) {
    std::ofstream(files_ / "bad", std::ios::binary).write(bytes.data(), static_cast<ptrdiff_t>(bytes.size()));
  };
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ (1 << (i * 5 % 8)));
    if (good[i] == ' ' && bad[i] == '\0') continue;  // only ends the header's JSON earlier: nothing is lost
    write(bad);
    const auto file = BlockExportFile::Open(files_ / "bad");
    if (!file.ok()) continue;
    const ExportedBlocks& blocks = file->formats()[0];
    size_t num_wrong = 0;
    for (size_t row = 0; row < blocks.size(); ++row)
      num_wrong += blocks.SumOf(row) != blocks.columns.sums[row];
    EXPECT_GT(num_wrong, 0u) << "byte " << i;
  }
  for (size_t length = 0; length < good.size(); length += 7) {
    write(std::string_view(good).substr(0, length));
    EXPECT_FALSE(BlockExportFile::Open(files_ / "bad").ok()) << length;
  }
}

}  // namespace
}  // namespace qwen25
