#include "base/format.h"

#include "base/test_util.h"

namespace qwen25 {
namespace {

TEST(FormatTest, Durations) {
  EXPECT_EQ(FormatDuration(0), "0:00");
  EXPECT_EQ(FormatDuration(7), "0:07");
  EXPECT_EQ(FormatDuration(754), "12:34");
  EXPECT_EQ(FormatDuration(3 * 3600 + 5 * 60 + 9), "3:05:09");
  EXPECT_EQ(FormatDuration(4 * 86400 + 3 * 3600 + 5 * 60), "4d 03:05");
  EXPECT_EQ(FormatDuration(-5), "0:00");
}

TEST(FormatTest, Sizes) {
  EXPECT_EQ(*ParseByteCount("141GiB"), uint64_t{141} << 30);
  EXPECT_EQ(*ParseByteCount("1.5KB"), 1500u);
  EXPECT_EQ(*ParseByteCount("77"), 77u);
  for (const char* bad : {"", "GiB", "12 GiB", "-1GB", "1e300TB", "nan", "3XB"}) {
    EXPECT_ERROR_CONTAINS(ParseByteCount(bad), "is no size");
  }
  EXPECT_EQ(FormatBytes(1536), "1.50 KiB");
  EXPECT_EQ(FormatCount(1543714304), "1.54 B");
}

}  // namespace
}  // namespace qwen25
