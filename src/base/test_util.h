// Helpers for the tests of several layers. Included by *_test.cc only.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/status.h"

#define ASSERT_OK(expression) ASSERT_TRUE(::qwen25::IsOk(expression))
#define EXPECT_OK(expression) EXPECT_TRUE(::qwen25::IsOk(expression))
// ASSERT_OK_AND_ASSIGN(auto x, F()): x is the value of F(), or the test fails with its message.
#define ASSERT_OK_AND_ASSIGN(declaration, expression) \
  ASSERT_OK_AND_ASSIGN_IMPL(declaration, expression, QWEN25_JOIN(qwen25_test_value_, __LINE__))
#define ASSERT_OK_AND_ASSIGN_IMPL(declaration, expression, result) \
  auto result = (expression);                                      \
  ASSERT_OK(result);                                               \
  declaration = std::move(result).value()
// The call must fail with a message that contains `text`.
#define EXPECT_ERROR_CONTAINS(expression, text) EXPECT_TRUE(::qwen25::FailsWith(expression, text))

namespace qwen25 {

inline std::string MessageOf(const Status& status) {
  return status.message();
}
template <typename T>
std::string MessageOf(const Result<T>& result) {
  return result.status().message();
}

// Of a Status or a Result. Functions, since what a macro keeps of an expression can outlive what it refers
// to.
template <typename T>
testing::AssertionResult IsOk(const T& result) {
  if (result.ok()) return testing::AssertionSuccess();
  return testing::AssertionFailure() << MessageOf(result);
}
template <typename T>
testing::AssertionResult FailsWith(const T& result, const std::string& text) {
  if (result.ok())
    return testing::AssertionFailure() << "succeeded, expected an error with \"" << text << '"';
  if (MessageOf(result).find(text) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "message is: " << MessageOf(result);
}

// An empty folder, removed by the destructor.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "qwen25_test.XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

// The path of `below` ("tests/reference/fixtures") in the checkout. One source file holds the checkout's
// path, so that the others need not be compiled again in every checkout.
std::string SourcePath(const std::string& below);
// ../shared/data beside the checkout; need not exist.
std::string SharedDataFolder();

}  // namespace qwen25

// Sets `name` to the folder of real data beside the checkout, or skips the test, with a message, if it is
// missing.
#define QWEN25_REQUIRE_SHARED_DATA(name)               \
  const std::string name = qwen25::SharedDataFolder(); \
  if (!std::filesystem::exists(name)) GTEST_SKIP() << "SKIPPED: needs the shared data folder " << name
