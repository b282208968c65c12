// Block stores whose files are damaged, foreign or in use, and operations that stop half-way.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

#include "memory/block_store_test_util.h"
#include "store/lmdb.h"

namespace qwen25 {
namespace {

const std::string kKey = "0123456789abcdef0123456789abcdef";
constexpr size_t kSlotBytes = 8192;

class OpenFile {
 public:
  explicit OpenFile(const std::filesystem::path& path) : descriptor_(::open(path.c_str(), O_RDWR)) {
    EXPECT_GE(descriptor_, 0);
  }
  ~OpenFile() { ::close(descriptor_); }
  void Flip(size_t bit) {
    unsigned char byte = 0;
    EXPECT_EQ(::pread(descriptor_, &byte, 1, static_cast<off_t>(bit / 8)), 1);
    byte = static_cast<unsigned char>(byte ^ (1 << (bit % 8)));
    EXPECT_EQ(::pwrite(descriptor_, &byte, 1, static_cast<off_t>(bit / 8)), 1);
  }

 private:
  int descriptor_;
};

// Without temporary file and flush, which would take too long for the many files here.
void WriteQuickly(const std::filesystem::path& path, std::string_view content) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(std::fwrite(content.data(), 1, content.size(), file), content.size());
  std::fclose(file);
}

TEST(BlockStoreDamageTest, EveryFlippedBitIsFoundAndCostsOneBlock) {
  for (const bool is_encrypted : {false, true}) {
    const TemporaryDirectory directory;
    BlockStore store = MustOpen(directory.path(), {.key = is_encrypted ? std::optional(kKey) : std::nullopt});
    const TestBlock first = MakeBlock(1), second = MakeBlock(2);
    ASSERT_OK(PutBlocks(store, "ada", {first, second}));
    OpenFile file(directory / "blocks-8192.kv");
    // The rest of the slot is never read.
    const size_t used_bytes = 4096 + size_t{3} * 1024 + first.summaries.size();
    for (size_t bit = 0; bit < 8 * used_bytes; bit += is_encrypted ? 5 : 1) {
      file.Flip(8 * kSlotBytes + bit);
      const auto report = store.Verify(nullptr);
      ASSERT_OK(report);
      ASSERT_EQ(report->damaged.size(), 1u) << bit;
      file.Flip(8 * kSlotBytes + bit);
    }
    file.Flip(8 * (kSlotBytes + 4096 + 1500));
    ASSERT_OK_AND_ASSIGN(const auto report, store.Verify(nullptr));
    EXPECT_NE(report.damaged[0].find("namespace ada (slot 1): the sum of layer 1 is wrong"),
              std::string::npos)
        << report.damaged[0];
    if (!is_encrypted) {
      const auto listed = store.List("ada", kTestFormat);
      EXPECT_NE(store.Layer(listed[1], kTestFormat, 0), nullptr);
      EXPECT_EQ(store.Layer(listed[1], kTestFormat, 1), nullptr);
    }
    const Status status = ReadAndCompare(store, "ada", second);
    EXPECT_EQ(status.code(), StatusCode::kCorrupt);
    EXPECT_ERROR_CONTAINS(status, "it was removed, and can be computed again");
    EXPECT_FALSE(store.Contains("ada", kTestFormat, second.id));
    EXPECT_OK(ReadAndCompare(store, "ada", first));
    ASSERT_OK(PutBlocks(store, "ada", {second}));
    EXPECT_OK(ReadAndCompare(store, "ada", second));
  }
}

TEST(BlockStoreDamageTest, ACutFileCostsTheBlocksBehindTheCut) {
  const TemporaryDirectory directory;
  std::vector<TestBlock> blocks = {MakeBlock(1), MakeBlock(2), MakeBlock(3)};
  ASSERT_OK(PutBlocks(*std::make_unique<BlockStore>(MustOpen(directory.path())), "ada", blocks));
  const std::filesystem::path path = directory / "blocks-8192.kv";
  const std::string whole = *ReadFile(path), index = *ReadFile(directory / "index.mdb");
  for (const size_t length : {0, 1, 4096, 7359, 8191, 8192, 8193, 12288, 16383, 16384, 20480, 23000}) {
    WriteQuickly(path, whole.substr(0, length));
    WriteQuickly(directory / "index.mdb", index);
    BlockStore store = MustOpen(directory.path());
    const auto listed = store.List("ada", kTestFormat);
    ASSERT_EQ(listed.size(), 3u);
    for (size_t i = 0; i < 3; ++i) {
      const size_t end = i * kSlotBytes + 7360;
      EXPECT_EQ(store.Layer(listed[i], kTestFormat, 2) != nullptr, (i + 1) * kSlotBytes <= length) << length;
      EXPECT_EQ(ReadAndCompare(store, "ada", blocks[i]).code(),
                end <= length ? StatusCode::kOk : StatusCode::kCorrupt)
          << length;
    }
    ASSERT_OK(PutBlocks(store, "ada", blocks));
    for (const TestBlock& block : blocks) EXPECT_OK(ReadAndCompare(store, "ada", block));
  }
}

TEST(BlockStoreDamageTest, ADamagedIndexIsRefusedOrStillRight) {
  const TemporaryDirectory directory;
  std::vector<TestBlock> blocks;
  for (uint64_t i = 1; i <= 30; ++i) blocks.push_back(MakeBlock(i));
  {
    BlockStore store = MustOpen(directory.path());
    ASSERT_OK(PutBlocks(store, "ada", blocks));
    ASSERT_OK(PutBlocks(store, "bob", {blocks[0]}));
  }
  const std::filesystem::path path = directory / "index.mdb";
  const std::string good = *ReadFile(path), slots = *ReadFile(directory / "blocks-8192.kv");
  Rng rng(4);
  size_t num_refused = 0, num_partly = 0;
  const auto try_index = [&](const std::string& bad) {
    WriteQuickly(path, bad);
    WriteQuickly(directory / "blocks-8192.kv", slots);
    auto store = BlockStore::Open(directory.path(), {});
    if (!store.ok()) {
      ++num_refused;
      EXPECT_ERROR_CONTAINS(store, path.string());
      return;
    }
    // Damaged records cost only their own blocks, and are reported; all other blocks are unchanged.
    const auto report = store->Verify(nullptr);
    ASSERT_OK(report);
    for (const std::string& line : report->damaged) {
      EXPECT_NE(line.find("are damaged; their blocks are lost"), std::string::npos) << line;
    }
    for (const TestBlock& block : blocks) {
      if (!store->Contains("ada", kTestFormat, block.id)) continue;
      EXPECT_OK(ReadAndCompare(*store, "ada", block));
    }
    num_partly += !report->damaged.empty();
  };
  for (int i = 0; i < 250; ++i) {
    std::string bad = good;
    const size_t at = rng.Below(bad.size());
    bad[at] = static_cast<char>(bad[at] ^ (1 << rng.Below(8)));
    try_index(bad);
  }
  for (size_t length = 1; length < good.size(); length += 1 + rng.Below(2000))
    try_index(good.substr(0, length));
  EXPECT_GT(num_refused, 30u);
  EXPECT_GT(num_partly, 3u);
  std::filesystem::remove(path);
  const auto without = BlockStore::Open(directory.path(), {});
  EXPECT_EQ(without.status().code(), StatusCode::kCorrupt);
  EXPECT_ERROR_CONTAINS(without, "index.mdb: is missing");
}

void SetVersion(const std::filesystem::path& path, uint32_t version) {
  constexpr const char* kTables[] = {"meta"};
  const std::string_view key = "version";
  ASSERT_OK_AND_ASSIGN(LmdbEnvironment database, LmdbEnvironment::Open(path, 1 << 20, kTables));
  ASSERT_OK_AND_ASSIGN(LmdbTransaction transaction, database.BeginWrite());
  ASSERT_OK(transaction.Put(0, std::as_bytes(std::span(key)), std::as_bytes(std::span(&version, 1))));
  ASSERT_OK(transaction.Commit());
}

TEST(BlockStoreDamageTest, OtherVersionsAreRefused) {
  const TemporaryDirectory directory;
  MustOpen(directory.path());
  for (const auto& [version, advice] :
       {std::pair(2u, "use a newer program"), std::pair(0u, "use an older program")}) {
    SetVersion(directory / "index.mdb", version);
    const auto store = BlockStore::Open(directory.path(), {});
    EXPECT_EQ(store.status().code(), StatusCode::kUnsupported);
    EXPECT_ERROR_CONTAINS(store, advice);
    EXPECT_ERROR_CONTAINS(store, "index.mdb");
  }
  SetVersion(directory / "index.mdb", 1);
  EXPECT_OK(BlockStore::Open(directory.path(), {}));

  const TemporaryDirectory sealed;
  MustOpen(sealed.path(), {.key = kKey});
  SetVersion(sealed / "index.mdb", 1);  // version 1 did not encrypt names of namespaces
  EXPECT_ERROR_CONTAINS(BlockStore::Open(sealed.path(), {.key = kKey}), "version 1 of the encrypted format");
}

TEST(BlockStoreDamageTest, AnEncryptedStoreShowsNoNamesOfNamespaces) {
  const TemporaryDirectory directory;
  {
    BlockStore store = MustOpen(directory.path(), {.key = kKey});
    ASSERT_OK(PutBlocks(store, "ada-lovelace", {MakeBlock(1), MakeBlock(2)}));
    ASSERT_OK(store.Pin("ada-lovelace", true));
  }
  const std::string_view name = "ada-lovelace";
  EXPECT_FALSE(AnyFileHolds(directory.path(), std::as_bytes(std::span(name))));
  const BlockStore store = MustOpen(directory.path(), {.key = kKey});
  ASSERT_EQ(store.Stats().namespaces.size(), 1u);
  EXPECT_EQ(store.Stats().namespaces[0].name, "ada-lovelace");
  EXPECT_TRUE(store.Stats().namespaces[0].pinned);
}

TEST(BlockStoreDamageTest, OneProcessAtATime) {
  const TemporaryDirectory directory;
  const BlockStore store = MustOpen(directory.path());
  const auto second = BlockStore::Open(directory.path(), {});
  EXPECT_EQ(second.status().code(), StatusCode::kResourceExhausted);
  EXPECT_ERROR_CONTAINS(second, "another process");
}

TEST(BlockStoreDamageTest, TheKeyMustBeTheOneItWasMadeWith) {
  const TemporaryDirectory plain, sealed;
  MustOpen(plain.path());
  MustOpen(sealed.path(), {.key = kKey});
  const auto expect = [](const TemporaryDirectory& directory, std::optional<std::string> key,
                         const char* text) {
    const auto store = BlockStore::Open(directory.path(), {.key = std::move(key)});
    EXPECT_EQ(store.status().code(), StatusCode::kInvalidArgument);
    EXPECT_ERROR_CONTAINS(store, text);
  };
  expect(plain, kKey, "is not encrypted; open it without a key");
  expect(sealed, std::nullopt, "is encrypted; give the key");
  expect(sealed, std::string(32, 'x'), "the key is not the one");
  expect(sealed, std::string(31, 'x'), "has 31 bytes, expected 32");
}

TEST(BlockStoreDamageTest, ADamagedRecordOfTheKeyIsNotCalledAWrongKey) {
  const TemporaryDirectory directory;
  {
    BlockStore store = MustOpen(directory.path(), {.key = kKey});
    ASSERT_OK(PutBlocks(store, "ada", {MakeBlock(1)}));
  }
  const std::string other(32, 'x');
  EXPECT_ERROR_CONTAINS(BlockStore::Open(directory.path(), {.key = other}), "the key is not the one");
  {
    constexpr const char* kTables[] = {"meta", "namespaces", "formats", "blocks"};
    ASSERT_OK_AND_ASSIGN(LmdbEnvironment index,
                         LmdbEnvironment::Open(directory / "index.mdb", 64 << 20, kTables));
    ASSERT_OK_AND_ASSIGN(LmdbTransaction transaction, index.BeginWrite());
    const LmdbBytes name = std::as_bytes(std::span(std::string_view("key check")));
    ASSERT_OK_AND_ASSIGN(const auto check, transaction.Get(0, name));
    ASSERT_TRUE(check);
    std::vector<std::byte> flipped(check->begin(), check->end());
    flipped.back() ^= std::byte{1};
    ASSERT_OK(transaction.Put(0, name, flipped));
    ASSERT_OK(transaction.Commit());
  }
  EXPECT_ERROR_CONTAINS(BlockStore::Open(directory.path(), {.key = other}), "the key is not the one");
  {
    BlockStore store = MustOpen(directory.path(), {.key = kKey});
    ASSERT_OK_AND_ASSIGN(const BlockStoreReport report, store.Verify(nullptr));
    ASSERT_EQ(report.damaged.size(), 1u);
    EXPECT_NE(report.damaged[0].find("the record that identifies its key is damaged"), std::string::npos);
    EXPECT_OK(ReadAndCompare(store, "ada", MakeBlock(1)));
  }
  BlockStore store = MustOpen(directory.path(), {.key = kKey});
  ASSERT_OK_AND_ASSIGN(const BlockStoreReport report, store.Verify(nullptr));
  EXPECT_TRUE(report.damaged.empty());
}

TEST(BlockStoreDamageTest, ADamagedRecordOfTheIndexCostsWhatItNames) {
  for (const bool is_encrypted : {false, true}) {
    const BlockStore::Options options = {.key = is_encrypted ? std::optional(kKey) : std::nullopt};
    const TemporaryDirectory directory;
    const std::vector<TestBlock> blocks = {MakeBlock(1), MakeBlock(2), MakeBlock(3)};
    {
      BlockStore store = MustOpen(directory.path(), options);
      ASSERT_OK(PutBlocks(store, "ada", blocks));
      ASSERT_OK(PutBlocks(store, "bob", {blocks[0]}));
    }
    const auto flip_first = [&](LmdbTable table) {
      constexpr const char* kTables[] = {"meta", "namespaces", "formats", "blocks"};
      ASSERT_OK_AND_ASSIGN(LmdbEnvironment index,
                           LmdbEnvironment::Open(directory / "index.mdb", 64 << 20, kTables));
      std::vector<std::byte> first, value;
      {
        ASSERT_OK_AND_ASSIGN(const LmdbTransaction transaction, index.BeginRead());
        ASSERT_OK(transaction.ForEach(table, [&](LmdbBytes key, LmdbBytes bytes) -> Status {
          if (!first.empty()) return {};
          first.assign(key.begin(), key.end());
          value.assign(bytes.begin(), bytes.end());
          return {};
        }));
      }
      value[value.size() / 2] ^= std::byte{1};
      ASSERT_OK_AND_ASSIGN(LmdbTransaction transaction, index.BeginWrite());
      ASSERT_OK(transaction.Put(table, first, value));
      ASSERT_OK(transaction.Commit());
    };
    flip_first(3);
    {
      BlockStore store = MustOpen(directory.path(), options);
      EXPECT_EQ(store.Stats().num_blocks, 3u);
      ASSERT_OK_AND_ASSIGN(const BlockStoreReport report, store.Verify(nullptr));
      ASSERT_EQ(report.damaged.size(), 1u);
      EXPECT_NE(report.damaged[0].find("1 records of blocks are damaged"), std::string::npos);
      ASSERT_OK(PutBlocks(store, "ada", blocks));
      for (const TestBlock& block : blocks) EXPECT_OK(ReadAndCompare(store, "ada", block));
    }
    flip_first(1);  // the record of "ada", which was stored first
    {
      BlockStore store = MustOpen(directory.path(), options);
      EXPECT_EQ(store.Stats().num_blocks, 1u);
      EXPECT_OK(ReadAndCompare(store, "bob", blocks[0]));
      ASSERT_OK(PutBlocks(store, "ada", blocks));
    }
    BlockStore store = MustOpen(directory.path(), options);
    ASSERT_OK_AND_ASSIGN(const BlockStoreReport report, store.Verify(nullptr));
    EXPECT_TRUE(report.damaged.empty());
    EXPECT_EQ(store.Stats().num_blocks, 4u);
  }
}

TEST(BlockStoreDamageTest, WhatNoEntryNamesIsEmptiedAtTheNextOpening) {
  const TemporaryDirectory directory;
  const TestBlock keep = MakeBlock(1), gone = MakeBlock(2), last = MakeBlock(3);
  const std::filesystem::path path = directory / "blocks-8192.kv";
  {
    BlockStore store = MustOpen(directory.path());
    ASSERT_OK(PutBlocks(store, "ada", {keep}));
    ASSERT_OK(PutBlocks(store, "bob", {gone}));
    ASSERT_OK(PutBlocks(store, "ada", {last}));
    const std::string before = *ReadFile(path);
    ASSERT_OK(store.Erase("bob"));
    // As if the process had died before it emptied the slot, and while it wrote another one.
    OpenFile file(path);
    WriteQuickly(path, before + before.substr(8192, 5000));
  }
  EXPECT_TRUE(AnyFileHolds(directory.path(), gone.layers[0]));
  BlockStore store = MustOpen(directory.path());
  EXPECT_FALSE(AnyFileHolds(directory.path(), gone.layers[0]));
  EXPECT_FALSE(AnyFileHolds(directory.path(), std::as_bytes(std::span(gone.tokens))));
  EXPECT_EQ(std::filesystem::file_size(path), 3 * kSlotBytes);
  EXPECT_OK(ReadAndCompare(store, "ada", keep));
  EXPECT_OK(ReadAndCompare(store, "ada", last));
}

TEST(BlockStoreDamageTest, AnErasureThatStopsHalfWayIsFinishedAtTheNextOpening) {
  const TemporaryDirectory directory;
  const std::string_view name = "the secret project";
  const TestBlock keep = MakeBlock(1);
  {
    BlockStore store = MustOpen(directory.path());
    ASSERT_OK(PutBlocks(store, "ada", {keep}));
    ASSERT_OK(PutBlocks(store, name, {MakeBlock(2)}));
    // The database cannot be rewritten: its temporary name is taken by a folder that is not empty.
    std::filesystem::create_directories(directory / "index.mdb.tmp/file");
    EXPECT_FALSE(store.Erase(name).ok());
    EXPECT_OK(ReadAndCompare(store, "ada", keep));
    ASSERT_OK(PutBlocks(store, "ada", {MakeBlock(3)}));
  }
  std::filesystem::remove_all(directory / "index.mdb.tmp");
  EXPECT_TRUE(AnyFileHolds(directory.path(), std::as_bytes(std::span(name))));
  BlockStore store = MustOpen(directory.path());
  EXPECT_FALSE(AnyFileHolds(directory.path(), std::as_bytes(std::span(name))));
  EXPECT_OK(ReadAndCompare(store, "ada", keep));
  EXPECT_EQ(store.Stats().num_blocks, 2u);
}

}  // namespace
}  // namespace qwen25
