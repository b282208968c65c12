// Spill files and the choice of their folder, and what happens if they fail.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "base/test_util.h"
#include "memory/block_pool.h"
#include "memory/spill_folder.h"
#include "memory/system_faults_test_util.h"

namespace qwen25 {
namespace {

constexpr size_t kLayerBytes = 8192;

TEST(SpillTest, AFullDiskIsNamedAndNotASignal) {
  const TemporaryDirectory directory;
  BlockPool pool(kLayerBytes, 2, 5000, directory.path());
  ASSERT_OK(pool.Take());
  const FailingCalls failing(SystemCall::kPosixFallocate, ENOSPC);
  Status status;
  for (int i = 0; i < 5000 && status.ok(); ++i) status = pool.Take().status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_ERROR_CONTAINS(status, "No space left on device");
  EXPECT_ERROR_CONTAINS(status, directory.path().string());
}

TEST(SpillTest, ADiskThatRefusesIsNotCalledFull) {
  const TemporaryDirectory directory;
  BlockPool pool(kLayerBytes, 2, 5000, directory.path());
  const FailingCalls failing(SystemCall::kPosixFallocate, EIO);
  const auto taken = pool.Take();
  EXPECT_EQ(taken.status().code(), StatusCode::kIo);
  EXPECT_ERROR_CONTAINS(taken, "Input/output error");
}

TEST(SpillTest, WhatCannotBeReadBackIsAnErrorAndNotASignal) {
  const TemporaryDirectory directory;
  BlockPool pool(kLayerBytes, 2, 64, directory.path());
  ASSERT_OK_AND_ASSIGN(const auto id, pool.Take());
  std::fill_n(pool.Data(id, 0), kLayerBytes, std::byte{1});
  EXPECT_OK(pool.status());
  // The file has no name, but its descriptor has one in /proc.
  std::filesystem::path file;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    const std::string target = std::filesystem::read_symlink(entry.path(), ignored).string();
    if (target.find(directory.path().filename().string()) != std::string::npos) file = entry.path();
  }
  ASSERT_FALSE(file.empty());
  std::filesystem::resize_file(file, 0);
  EXPECT_EQ(static_cast<int>(*static_cast<const volatile std::byte*>(pool.Data(id, 0))), 0);
  EXPECT_EQ(pool.status().code(), StatusCode::kIo);
  EXPECT_ERROR_CONTAINS(pool.status(), "cannot be read back");
  EXPECT_EQ(pool.Take().status().code(), StatusCode::kIo);
}

TEST(SpillFolderTest, TheFirstFolderOnADiskIsChosen) {
  const TemporaryDirectory first, second;
  const std::filesystem::path missing = first / "missing";
  const auto in_ram = [&](const std::filesystem::path& folder) { return folder == first.path(); };
  const auto never = [](const std::filesystem::path&) { return false; };
  const auto always = [](const std::filesystem::path&) { return true; };
  const std::vector<std::filesystem::path> candidates = {missing, first.path(), second.path()};

  ASSERT_OK_AND_ASSIGN(SpillFolder chosen, ChooseSpillFolder("", candidates, never));
  EXPECT_EQ(chosen.path, first.path());
  EXPECT_FALSE(chosen.lies_in_ram);
  EXPECT_EQ(chosen.remark, "");
  ASSERT_OK_AND_ASSIGN(chosen, ChooseSpillFolder("", candidates, in_ram));
  EXPECT_EQ(chosen.path, second.path());
  EXPECT_NE(chosen.remark.find(first.path().string() + " lies in RAM"), std::string::npos);
  ASSERT_OK_AND_ASSIGN(chosen, ChooseSpillFolder("", candidates, always));
  EXPECT_EQ(chosen.path, first.path());
  EXPECT_TRUE(chosen.lies_in_ram);
  EXPECT_NE(chosen.remark.find("lies in RAM"), std::string::npos);
  // The user's choice is taken, with a remark.
  ASSERT_OK_AND_ASSIGN(chosen, ChooseSpillFolder(first.path(), candidates, in_ram));
  EXPECT_EQ(chosen.path, first.path());
  EXPECT_NE(chosen.remark.find("lies in RAM"), std::string::npos);
  EXPECT_ERROR_CONTAINS(ChooseSpillFolder(missing, candidates, never), "missing");
  EXPECT_ERROR_CONTAINS(ChooseSpillFolder("", {&missing, 1}, never), "missing");
}

TEST(SpillFolderTest, ATemporaryFolderThatIsNotThereIsPassedOver) {
  const char* const before = std::getenv("TMPDIR");
  const std::string kept = before == nullptr ? "" : before;
  ::setenv("TMPDIR", "/nonexistent/folder", 1);
  const auto chosen = ChooseSpillFolder("");
  before == nullptr ? ::unsetenv("TMPDIR") : ::setenv("TMPDIR", kept.c_str(), 1);
  ASSERT_OK(chosen);
  EXPECT_NE(chosen->path, "/nonexistent/folder");
}

TEST(SpillFolderTest, KnowsATmpfs) {
  std::error_code ignored;
  if (!std::filesystem::is_directory("/dev/shm", ignored)) GTEST_SKIP() << "there is no /dev/shm";
  EXPECT_TRUE(LiesInRam("/dev/shm"));
  EXPECT_FALSE(LiesInRam("/proc"));
}

}  // namespace
}  // namespace qwen25
