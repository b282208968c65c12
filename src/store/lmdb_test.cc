#include "store/lmdb.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "base/file.h"
#include "base/rng.h"
#include "base/test_util.h"
#include "store/lmdb_check.h"

namespace qwen25 {
namespace {

constexpr const char* kTables[] = {"one", "two"};

LmdbBytes Bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}
std::string Text(LmdbBytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Result<LmdbEnvironment> OpenIn(const TemporaryDirectory& directory, uint64_t map_bytes = 64 << 20) {
  return LmdbEnvironment::Open(directory / "test.mdb", map_bytes, kTables);
}

std::map<std::string, std::string> All(const LmdbEnvironment& environment, LmdbTable table) {
  std::map<std::string, std::string> all;
  const auto transaction = environment.BeginRead();
  EXPECT_OK(transaction);
  EXPECT_OK(transaction->ForEach(table, [&](LmdbBytes key, LmdbBytes value) -> Status {
    all[Text(key)] = Text(value);
    return {};
  }));
  return all;
}

// Thousands of entries, some larger than a page, and removals: the file has branches, overflow pages and free
// pages.
std::map<std::string, std::string> FillAtRandom(LmdbEnvironment& environment, int num_rounds = 20) {
  std::map<std::string, std::string> expected;
  Rng rng(5);
  for (int round = 0; round < num_rounds; ++round) {
    auto transaction = environment.BeginWrite();
    EXPECT_OK(transaction);
    for (int i = 0; i < 150; ++i) {
      const std::string key = fmt::format("key {}", rng.Below(1500));
      if (rng.Below(3) == 0) {
        EXPECT_OK(transaction->Delete(1, Bytes(key)));
        expected.erase(key);
      } else {
        const std::string value(rng.Below(40) == 0 ? 9000 : rng.Below(200),
                                static_cast<char>('a' + rng.Below(26)));
        EXPECT_OK(transaction->Put(1, Bytes(key), Bytes(value)));
        expected[key] = value;
      }
    }
    EXPECT_OK(transaction->Commit());
  }
  return expected;
}

TEST(LmdbTest, KeepsWhatIsCommittedAndNothingElse) {
  const TemporaryDirectory directory;
  std::map<std::string, std::string> expected;
  {
    ASSERT_OK_AND_ASSIGN(LmdbEnvironment environment, OpenIn(directory));
    expected = FillAtRandom(environment);
    ASSERT_OK_AND_ASSIGN(LmdbTransaction undone, environment.BeginWrite());
    ASSERT_OK(undone.Put(0, Bytes("never"), Bytes("there")));
  }
  ASSERT_OK_AND_ASSIGN(LmdbEnvironment environment, OpenIn(directory));
  EXPECT_EQ(All(environment, 1), expected);
  EXPECT_TRUE(All(environment, 0).empty());
  ASSERT_OK_AND_ASSIGN(LmdbTransaction transaction, environment.BeginRead());
  ASSERT_OK_AND_ASSIGN(const auto value, transaction.Get(1, Bytes(expected.begin()->first)));
  EXPECT_EQ(Text(value.value()), expected.begin()->second);
  ASSERT_OK_AND_ASSIGN(const auto nothing, transaction.Get(0, Bytes("never")));
  EXPECT_FALSE(nothing.has_value());
}

TEST(LmdbTest, CompactionKeepsContentAndDropsTheRest) {
  const TemporaryDirectory directory;
  ASSERT_OK_AND_ASSIGN(LmdbEnvironment environment, OpenIn(directory));
  const auto expected = FillAtRandom(environment);
  const uint64_t before = environment.FileBytes();
  ASSERT_OK(environment.Compact(directory / "copy"));
  EXPECT_LT(environment.FileBytes(), before);
  EXPECT_FALSE(std::filesystem::exists(directory / "copy"));
  EXPECT_EQ(All(environment, 1), expected);
  EXPECT_FALSE(FillAtRandom(environment).empty());
}

TEST(LmdbTest, IsClosedWhenItCannotBeOpenedAfterACompaction) {
  const TemporaryDirectory directory;
  ASSERT_OK_AND_ASSIGN(LmdbEnvironment environment, OpenIn(directory));
  ASSERT_OK(environment.Compact(directory / "copy"));
  std::filesystem::remove(directory / "test.mdb");
  std::filesystem::create_directories(directory / "test.mdb");  // in the place of the file
  EXPECT_FALSE(environment.Compact(directory / "copy").ok());
  EXPECT_ERROR_CONTAINS(environment.Compact(directory / "copy"), "closed by an earlier error");
  EXPECT_ERROR_CONTAINS(environment.BeginRead(), "closed by an earlier error");
}

TEST(LmdbTest, SaysThatItIsFull) {
  const TemporaryDirectory directory;
  ASSERT_OK_AND_ASSIGN(LmdbEnvironment environment, OpenIn(directory, 256 << 10));
  ASSERT_OK_AND_ASSIGN(LmdbTransaction transaction, environment.BeginWrite());
  const Status status = transaction.Put(0, Bytes("key"), Bytes(std::string(1 << 20, 'x')));
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_ERROR_CONTAINS(status, "largest size");
}

TEST(LmdbTest, SaysWhyAFileCannotBeOpened) {
  const TemporaryDirectory directory;
  EXPECT_EQ(LmdbEnvironment::Open(directory / "no/test.mdb", 1 << 20, kTables).status().code(),
            StatusCode::kNotFound);
  ASSERT_OK(WriteFileAtomically(directory / "test.mdb", std::string(10000, 'x')));
  EXPECT_EQ(OpenIn(directory).status().code(), StatusCode::kCorrupt);
  std::filesystem::remove(directory / "test.mdb");
  ASSERT_OK(OpenIn(directory));
  std::string file = *ReadFile(directory / "test.mdb");
  file[20] = file[4096 + 20] = 2;  // the version in both of its heads
  ASSERT_OK(WriteFileAtomically(directory / "test.mdb", file));
  const auto newer = OpenIn(directory);
  EXPECT_EQ(newer.status().code(), StatusCode::kUnsupported);
  EXPECT_ERROR_CONTAINS(newer, "data format 2");
}

// Found by the fuzzer: LMDB moves entries by their sizes, and wrote past the page if these were wrong.
TEST(LmdbTest, EntriesMustFillTheirPage) {
  const TemporaryDirectory directory;
  {
    ASSERT_OK_AND_ASSIGN(LmdbEnvironment environment, OpenIn(directory));
    ASSERT_OK_AND_ASSIGN(LmdbTransaction transaction, environment.BeginWrite());
    for (const char* key : {"key a", "key b", "key c"})
      ASSERT_OK(transaction.Put(0, Bytes(key), Bytes("value")));
    ASSERT_OK(transaction.Commit());
  }
  const std::string good = *ReadFile(directory / "test.mdb");
  ASSERT_OK(CheckLmdbFile(Bytes(good), "good"));
  const size_t size_at = good.find("key b") - 8;
  for (const int difference : {-4, -2, 2, 4, 100}) {
    std::string bad = good;
    bad[size_at] = static_cast<char>(bad[size_at] + difference);
    const Status status = CheckLmdbFile(Bytes(bad), "bad.mdb");
    EXPECT_EQ(status.code(), StatusCode::kCorrupt);
    EXPECT_ERROR_CONTAINS(status, "has entries that overlap, or a gap between them");
  }
}

// Found by the fuzzer: the number of the next transaction was 0, and LMDB wrote through a null pointer.
TEST(LmdbTest, TransactionsAreFewerThanTheirCountCanHold) {
  const TemporaryDirectory directory;
  ASSERT_OK(OpenIn(directory));
  std::string bad = *ReadFile(directory / "test.mdb");
  constexpr size_t kCountAt = 16 + 128;  // in the first page
  for (size_t i = 0; i < 8; ++i) bad[kCountAt + i] = static_cast<char>(0xff);
  const Status status = CheckLmdbFile(Bytes(bad), "bad.mdb");
  EXPECT_EQ(status.code(), StatusCode::kCorrupt);
  EXPECT_ERROR_CONTAINS(status, "has an impossible number of transactions");
}

// A damaged file is refused, or can be used without a crash.
TEST(LmdbTest, NoDamagedFileCrashes) {
  const TemporaryDirectory directory;
  {
    ASSERT_OK_AND_ASSIGN(LmdbEnvironment environment, OpenIn(directory));
    FillAtRandom(environment, 4);
  }
  const std::string good = *ReadFile(directory / "test.mdb");
  ASSERT_OK(CheckLmdbFile(Bytes(good), "good"));
  Rng rng(9);
  size_t num_refused = 0;
  const auto try_file = [&](const std::string& bad) {
    if (!CheckLmdbFile(Bytes(bad), "bad").ok()) {
      ++num_refused;
      return;
    }
    // Without temporary file and flush, which would take too long for thousands of files.
    const std::string path = directory / "bad.mdb";
    std::FILE* file = std::fopen(path.c_str(), "wb");
    ASSERT_EQ(std::fwrite(bad.data(), 1, bad.size(), file), bad.size());
    std::fclose(file);
    auto environment = LmdbEnvironment::Open(path, 64 << 20, kTables);
    if (environment.ok()) All(*environment, 1);
  };
  for (size_t i = 0; i < 400; ++i) {
    std::string bad = good;
    // Half of the damage goes where the structure is: into the first bytes of a page.
    const size_t page = rng.Below(bad.size() / 4096) * 4096;
    const size_t at = rng.Below(2) == 0 ? page + rng.Below(64) : rng.Below(bad.size());
    bad[at] = static_cast<char>(bad[at] ^ (1 << rng.Below(8)));
    try_file(bad);
  }
  for (size_t length = 0; length < good.size(); length += 1 + rng.Below(16384))
    try_file(good.substr(0, length));
  EXPECT_GT(num_refused, 30u);
}

}  // namespace
}  // namespace qwen25
