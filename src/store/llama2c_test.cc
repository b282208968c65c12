#include "store/llama2c.h"

#include <cstring>
#include <fstream>

#include "base/file.h"
#include "base/json.h"
#include "base/test_util.h"
#include "store/safetensors.h"

namespace qwen25 {
namespace {

TEST(Llama2cTest, RotaryPairsMoveApart) {
  // Two heads of four rows, one column: pairs (0, 1) and (2, 3) become (0, 2) and (1, 3).
  const std::vector<float> rows = {0, 1, 2, 3, 10, 11, 12, 13};
  EXPECT_EQ(InterleavedToHalfSplit(rows, 2, 4, 1), (std::vector<float>{0, 2, 1, 3, 10, 12, 11, 13}));
}

// Both formats of one published model must give the same tensors.
TEST(Llama2cTest, LegacyAndVersion1GiveTheSameModel) {
  QWEN25_REQUIRE_SHARED_DATA(data);
  TemporaryDirectory legacy, version1;
  ASSERT_OK(ConvertLlama2cWeights(data + "/weights/stories260K.bin", legacy.path()));
  ASSERT_OK(ConvertLlama2cWeights(data + "/weights/stories260K.v1.bin", version1.path()));
  EXPECT_EQ(*ReadFile(legacy / "config.json"), *ReadFile(version1 / "config.json"));
  EXPECT_EQ(*ReadFile(legacy / "model.safetensors"), *ReadFile(version1 / "model.safetensors"));
  ASSERT_OK_AND_ASSIGN(const Json config, ReadJsonFile(legacy / "config.json"));
  EXPECT_EQ(config["hidden_size"], 64);
  EXPECT_EQ(config["num_key_value_heads"], 4);
}

TEST(Llama2cTest, DamagedFilesAreRefused) {
  TemporaryDirectory directory;
  const auto convert = [&](const std::string& bytes) {
    std::ofstream(directory / "bad.bin", std::ios::binary) << bytes;
    return ConvertLlama2cWeights(directory / "bad.bin", directory / "out");
  };
  const auto legacy = [](std::vector<int32_t> numbers, size_t num_floats) {
    return std::string(reinterpret_cast<const char*>(numbers.data()), numbers.size() * 4) +
           std::string(num_floats * 4, '\0');
  };
  // dim 4, hidden 6, one layer, 2 heads, 1 kv head, 8 tokens, 5 positions.
  const std::vector<int32_t> header = {4, 6, 1, 2, 1, 8, 5};
  const size_t num_floats = 8 * 4 + 4 + 16 + 8 + 8 + 16 + 4 + 3 * 24 + 4 + 5 * 2;
  EXPECT_OK(convert(legacy(header, num_floats)));
  EXPECT_ERROR_CONTAINS(convert(legacy(header, num_floats - 1)), "4 bytes are missing at the end");
  EXPECT_ERROR_CONTAINS(convert(legacy(header, num_floats + 1)), "4 bytes follow the last weight");
  EXPECT_ERROR_CONTAINS(convert(legacy({4, 6, 1, 3, 1, 8, 5}, num_floats)), "which is not a valid model");
  EXPECT_ERROR_CONTAINS(convert(legacy({4, 6, -1, 2, 1, 8, 5}, num_floats)), "n_layers -1");
  EXPECT_ERROR_CONTAINS(convert("tiny"), "4 bytes are too few");
  EXPECT_ERROR_CONTAINS(convert(std::string("24ka\2\0\0\0", 8) + std::string(300, '\0')), "of version 2");
  EXPECT_ERROR_CONTAINS(ConvertLlama2cWeights(directory / "none.bin", directory / "out"), "cannot open");
}

}  // namespace
}  // namespace qwen25
