#include "serve/audit_log.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "base/test_util.h"

namespace qwen25 {
namespace {

TEST(AuditLogTest, EachRequestIsALine) {
  const TemporaryDirectory folder;
  const std::string path = folder / "log";
  ASSERT_OK_AND_ASSIGN(const auto log, AuditLog::Open(path));
  log->Write(
      {.request_id = "r1", .key_name = "ali\nce", .path = "/v1/x\xff", .status = 200, .answer_tokens = 3});
  log->Write({.request_id = "r2", .status = 500, .reason = "disk"});
  struct stat info;
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(path));
  JsonLines lines(text, "log");
  ASSERT_OK_AND_ASSIGN(const auto first, lines.Next());
  EXPECT_EQ((*first)["key"], "ali\nce");
  EXPECT_EQ((*first)["answer_tokens"], 3);
  ASSERT_OK_AND_ASSIGN(const auto second, lines.Next());
  EXPECT_EQ((*second)["reason"], "disk");
  EXPECT_FALSE(second->contains("answer_tokens"));
}

TEST(AuditLogTest, ARotatedFileIsLeftAlone) {
  const TemporaryDirectory folder;
  const std::string path = folder / "log";
  ASSERT_OK_AND_ASSIGN(const auto log, AuditLog::Open(path));
  log->Write({.request_id = "r1"});
  std::filesystem::rename(path, folder / "old");
  log->Write({.request_id = "r2"});
  ASSERT_OK(log->Reopen());
  log->Write({.request_id = "r3"});
  EXPECT_NE(ReadFile(folder / "old").value().find("r2"), std::string::npos);
  EXPECT_NE(ReadFile(path).value().find("r3"), std::string::npos);
  EXPECT_EQ(ReadFile(path).value().find("r2"), std::string::npos);
}

TEST(AuditLogTest, WithoutAFileNothingIsWritten) {
  ASSERT_OK_AND_ASSIGN(const auto log, AuditLog::Open(""));
  log->Write({.request_id = "r1"});
  EXPECT_OK(log->Reopen());
  EXPECT_ERROR_CONTAINS(AuditLog::Open("/nowhere/at/all"), "/nowhere/at/all");
}

}  // namespace
}  // namespace qwen25
