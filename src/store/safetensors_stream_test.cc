#include "store/safetensors_stream.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/test_util.h"
#include "store/safetensors.h"

namespace qwen25 {
namespace {

template <typename T>
std::span<const std::byte> BytesOf(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

size_t NumFiles(const std::filesystem::path& folder) {
  return static_cast<size_t>(
      std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()));
}

TEST(SafetensorsStreamTest, TensorsOfAnyNumberOfRowsAreReadAsTheyWereWritten) {
  const TemporaryDirectory directory;
  std::vector<int32_t> numbers(300);
  std::iota(numbers.begin(), numbers.end(), -7);
  const std::vector<uint8_t> bytes = {1, 2, 3, 4, 5, 6};
  {
    ASSERT_OK_AND_ASSIGN(SafetensorsStream stream, SafetensorsStream::Open(directory / "a", 500));
    stream.Begin("numbers", DType::kI32, {5, 2});
    for (size_t i = 0; i < numbers.size(); i += 4) {  // rows in parts
      ASSERT_OK(stream.Append(BytesOf(numbers).subspan(4 * i, 16)));
    }
    stream.Begin("none", DType::kF32, {3});
    stream.Begin("bytes", DType::kU8, {});
    ASSERT_OK(stream.Append(BytesOf(bytes)));
    ASSERT_OK(stream.Commit({{"what", "a \"test\""}}));
  }
  ASSERT_OK_AND_ASSIGN(const SafetensorsReader reader, SafetensorsReader::Open(directory / "a"));
  EXPECT_EQ(reader.metadata().at("what"), "a \"test\"");
  ASSERT_EQ(reader.tensors().size(), 3u);
  const TensorInfo* read = reader.Find("numbers");
  ASSERT_NE(read, nullptr);
  EXPECT_EQ(read->shape, (std::vector<uint64_t>{30, 5, 2}));
  EXPECT_TRUE(std::ranges::equal(read->bytes, BytesOf(numbers)));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(read->bytes.data()) % 64, 0u);
  EXPECT_EQ(reader.Find("none")->shape, (std::vector<uint64_t>{0, 3}));
  EXPECT_EQ(reader.Find("bytes")->shape, (std::vector<uint64_t>{6}));
  EXPECT_TRUE(std::ranges::equal(reader.Find("bytes")->bytes, BytesOf(bytes)));
}

TEST(SafetensorsStreamTest, WhatIsNotCommittedLeavesEverythingAsItWas) {
  const TemporaryDirectory directory;
  ASSERT_OK(WriteFileAtomically(directory / "a", "before"));
  const std::vector<uint8_t> bytes(1000);
  {
    ASSERT_OK_AND_ASSIGN(SafetensorsStream stream, SafetensorsStream::Open(directory / "a", 100));
    stream.Begin("bytes", DType::kU8, {10});
    ASSERT_OK(stream.Append(BytesOf(bytes)));
  }
  EXPECT_EQ(*ReadFile(directory / "a"), "before");
  EXPECT_EQ(NumFiles(directory.path()), 1u);
  {
    ASSERT_OK_AND_ASSIGN(SafetensorsStream stream, SafetensorsStream::Open(directory / "a", 60));
    stream.Begin("a name", DType::kU8, {10});
    EXPECT_ERROR_CONTAINS(stream.Commit({{"much", std::string(200, 'x')}}), "were left for it");
  }
  EXPECT_EQ(*ReadFile(directory / "a"), "before");
  EXPECT_EQ(NumFiles(directory.path()), 1u);
}

}  // namespace
}  // namespace qwen25
