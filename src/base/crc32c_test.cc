#include "base/crc32c.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string_view>
#include <vector>

namespace qwen25 {
namespace {

std::span<const std::byte> Bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// Known answers of RFC 3720 B.4, and the usual check value of the catalogue of CRCs.
TEST(Crc32cTest, KnownAnswers) {
  const std::vector<std::byte> zeros(32, std::byte{0}), ones(32, std::byte{0xff});
  std::vector<std::byte> ascending(32);
  for (size_t i = 0; i < 32; ++i) ascending[i] = static_cast<std::byte>(i);
  for (const auto function : {Crc32c, Crc32cPortable}) {
    EXPECT_EQ(function({}, 0), 0u);
    EXPECT_EQ(function(Bytes("123456789"), 0), 0xe3069283u);
    EXPECT_EQ(function(zeros, 0), 0x8a9136aau);
    EXPECT_EQ(function(ones, 0), 0x62a8ab43u);
    EXPECT_EQ(function(ascending, 0), 0x46dd794eu);
  }
}

TEST(Crc32cTest, PathsAgreeAndContinue) {
  EXPECT_TRUE(rc::check("both paths agree for any length, and a checksum continues over a cut",
                        [](const std::vector<uint8_t>& bytes, uint8_t cut_at) {
                          const auto all = std::as_bytes(std::span(bytes));
                          const size_t cut = std::min<size_t>(cut_at, all.size());
                          RC_ASSERT(Crc32c(all) == Crc32cPortable(all));
                          RC_ASSERT(Crc32c(all.subspan(cut), Crc32c(all.first(cut))) == Crc32c(all));
                          RC_ASSERT(Crc32cPortable(all.subspan(cut), Crc32cPortable(all.first(cut))) ==
                                    Crc32c(all));
                        }));
}

}  // namespace
}  // namespace qwen25
