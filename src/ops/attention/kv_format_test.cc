#include "ops/attention/kv_format.h"

#include <gtest/gtest.h>

namespace qwen25 {
namespace {

TEST(KvFormatTest, NamesAreReadBack) {
  for (const std::string_view name : KvFormatNames()) {
    const Result<KvFormat> format = ParseKvFormat(name);
    ASSERT_TRUE(format.ok());
    EXPECT_EQ(KvFormatName(*format), name);
  }
  EXPECT_NE(ParseKvFormat("int4").status().message().find("float32, float16, int8"), std::string::npos);
}

}  // namespace
}  // namespace qwen25
