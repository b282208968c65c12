#include "store/npy.h"

#include <array>
#include <cstring>

#include "base/file.h"
#include "base/test_util.h"

namespace qwen25 {
namespace {

TEST(NpyTest, BytesAreThoseThatNumPyWrites) {
  const TemporaryDirectory directory;
  const std::array values = {1.0f, -2.5f, 3.0f, 4.0f, 5.0f, 6.0f};
  ASSERT_OK(WriteNpy(directory / "a.npy", values, 2, 3));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadFile(directory / "a.npy"));
  ASSERT_EQ(bytes.size(), 128 + sizeof values) << "the numbers are aligned to 64 bytes";
  EXPECT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  EXPECT_EQ(bytes.substr(8, 2), std::string("\x76\x00", 2)) << "118 bytes of header";
  EXPECT_TRUE(bytes.substr(10).starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }  "));
  EXPECT_EQ(bytes[127], '\n');
  EXPECT_EQ(std::memcmp(bytes.data() + 128, values.data(), sizeof values), 0);
}

}  // namespace
}  // namespace qwen25
