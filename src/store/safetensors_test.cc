#include "store/safetensors.h"

#include <rapidcheck.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "base/file.h"
#include "base/test_util.h"

namespace qwen25 {
namespace {

// Assembles a file from header text and data bytes without any checks, as a hostile writer would.
std::string FileOf(const std::string& header, size_t num_data_bytes) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + std::string(num_data_bytes, '\1');
}

class SafetensorsTest : public testing::Test {
 protected:
  Result<SafetensorsReader> OpenBytes(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary) << bytes;  // without a flush: there are thousands of files
    return SafetensorsReader::Open(path_);
  }
  TemporaryDirectory directory_;
  const std::string path_ = directory_ / "model.safetensors";
};

TEST_F(SafetensorsTest, RoundTripInEveryDType) {
  const std::vector<float> values = {0.0f, -1.5f, 3.0f, 0.25f, 1024.0f, -0.0f};
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const std::vector<TensorToWrite> tensors = {
        TensorToWrite::FromFloat("b", {2, 3}, values, dtype),
        TensorToWrite::FromFloat("a", {6}, values, DType::kF32),
        TensorToWrite::FromBytes("raw", DType::kU8, {3}, std::as_bytes(std::span("xyz", 3)))};
    ASSERT_OK(WriteSafetensors(path_, tensors, {{"format", "pt"}}));
    ASSERT_OK_AND_ASSIGN(const auto reader, SafetensorsReader::Open(path_));
    EXPECT_EQ(reader.metadata().at("format"), "pt");
    ASSERT_EQ(reader.tensors().size(), 3u);
    const TensorInfo* b = reader.Find("b");
    ASSERT_NE(b, nullptr);
    EXPECT_EQ(b->shape, (std::vector<uint64_t>{2, 3}));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(b->bytes.data()) % 64, 0u);
    std::vector<float> again(6);
    ASSERT_OK(CopyToFloat(*b, 0, again, true));
    EXPECT_EQ(again, values);
    EXPECT_EQ(reader.Find("c"), nullptr);
    EXPECT_ERROR_CONTAINS(CopyToFloat(*reader.Find("raw"), 0, std::span(again).first(3), true),
                          "stored as U8");
  }
}

TEST_F(SafetensorsTest, EveryCutIsRefusedAndNoFlippedHeaderByteCrashes) {
  const std::vector<float> values = {1, 2, 3};
  const std::vector<TensorToWrite> tensors = {TensorToWrite::FromFloat("weight", {3}, values)};
  ASSERT_OK(WriteSafetensors(path_, tensors));
  const std::string good = *ReadFile(path_);
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(OpenBytes(good.substr(0, length)).ok()) << "cut to " << length;
  }
  EXPECT_FALSE(OpenBytes(good + "x").ok());
  for (size_t bit = 0; bit < 8 * (good.size() - 12); ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    const auto reader = OpenBytes(bad);  // a changed name is still a valid file; ASan looks for memory errors
    if (!reader.ok()) {
      EXPECT_NE(reader.status().message().find(path_), std::string::npos);
    }
  }
}

TEST_F(SafetensorsTest, SaysWhatIsWrong) {
  const auto entry = [](const std::string& text) { return "{\"w\": " + text + "}"; };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"12", "2 bytes are too few for a safetensors file"},
      {FileOf("{}", 0).replace(0, 8, "\xff\xff\xff\xff\xff\xff\xff\x7f"), "the format allows 100000000"},
      {std::string("\x40\0\0\0\0\0\0\0{}", 10),
       "claims a header of 64 bytes, the file has only 2 after the length"},
      {"", "0 bytes are too few for a safetensors file"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 988097824\n",
       "is the pointer of a Git LFS file, not the file itself; `git lfs pull`"},
      {"<!DOCTYPE html><html><head><title>404</title></head></html>", "this is not a safetensors file"},
      {std::string("PK\x03\x04\x14\0\0\x08\x08\0", 10), "this is not a safetensors file"},
      {FileOf(std::string(5000, '['), 0), "not valid JSON"},
      {FileOf(entry(R"({"dtype":7,"shape":[1],"data_offsets":[0,4]})"), 4), "dtype"},
      {FileOf(entry(R"({"shape":[1],"data_offsets":[0,4]})"), 4), "dtype"},
      {FileOf(entry(R"({"dtype":"F32","data_offsets":[0,4]})"), 4), "shape"},
      {FileOf(entry(R"({"dtype":"F32","shape":[1]})"), 4), "data_offsets"},
      {FileOf(entry(R"({"dtype":"F32","shape":[0.5],"data_offsets":[0,4]})"), 4),
       "shape is not a list of sizes"},
      {FileOf(entry(R"({"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]})"), 4),
       "holds 18446744073709551615 bytes"},
      {FileOf("{\"w\":", 0), "not valid JSON"},
      {FileOf("[]", 0), "expected a JSON object"},
      {FileOf(entry("3"), 0), "tensor w: expected an object with dtype, shape and data_offsets"},
      {FileOf(entry(R"({"dtype":"F33","shape":[1],"data_offsets":[0,4]})"), 4), "dtype \"F33\" is unknown"},
      {FileOf(entry(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})"), 4),
       "shape is not a list of sizes"},
      {FileOf(entry(R"({"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,4]})"), 4),
       "too large to be true"},
      {FileOf(entry(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})"), 4), "out of order"},
      {FileOf(entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})"), 4), "4 bytes are missing"},
      {FileOf(entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"), 4),
       "holds 4 bytes, dtype and shape require 8"},
      {FileOf(entry(R"({"dtype":"F32","shape":[1],"data_offsets":[0]})"), 4), "not two offsets"},
      {FileOf(entry(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})"), 8), "starts at byte 4"},
      {FileOf(entry(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})"), 8),
       "4 bytes follow the last tensor"},
      {FileOf(R"({"__metadata__": 1})", 0), "__metadata__ is not an object"},
      {FileOf(
           R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
           4),
       "starts at byte 0 of the data, the one before it ends at 4"},
      {FileOf(
           R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
           8),
       "tensor a comes twice, in different places"},
      {FileOf(
           R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[9],"data_offsets":[4,40]}})",
           3),
       "37 bytes are missing"}};
  for (const auto& [bytes, message] : cases) EXPECT_ERROR_CONTAINS(OpenBytes(bytes), message);
  EXPECT_ERROR_CONTAINS(SafetensorsReader::Open("/nonexistent"), "cannot open");
}

TEST_F(SafetensorsTest, WhatNothingReadsIsNoObstacle) {
  const std::string a = R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  for (const std::string& header : {
           "{" + a + "}        ",
           "{" + a + "," + a + "}",  // listed twice, and alike
           R"({"__metadata__":null,)" + a + "}",
           R"({"__metadata__":{"format":null,"step":5,"who":"me"},)" + a + "}",
       }) {
    const auto reader = OpenBytes(FileOf(header, 4));
    ASSERT_OK(reader);
    EXPECT_EQ(reader->tensors().size(), 1u) << header;
  }
  // Numbers that no reader here knows are carried, and named where somebody wants them.
  ASSERT_OK_AND_ASSIGN(const SafetensorsReader reader,
                       OpenBytes(FileOf(R"({"x":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[0,3]},)"
                                        R"("y":{"dtype":"C64","shape":[1],"data_offsets":[3,11]}})",
                                        11)));
  std::vector<float> out(3);
  EXPECT_ERROR_CONTAINS(CopyToFloat(*reader.Find("x"), 0, out, false), "tensor x is stored as F8_E4M3");
}

TEST_F(SafetensorsTest, AnEmptyTensorMayLieAnywhere) {
  ASSERT_OK_AND_ASSIGN(
      const auto reader,
      OpenBytes(FileOf(
          R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[0,7],"data_offsets":[0,0]},)"
          R"("c":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}})",
          4)));
  EXPECT_EQ(reader.Find("a")->NumElements(), 0u);
  EXPECT_EQ(reader.Find("b")->NumElements(), 1u);
  EXPECT_EQ(reader.Find("c")->NumElements(), 0u);
}

TEST_F(SafetensorsTest, ManyTensorsOpenInLinearTime) {
  std::string header = "{";
  for (int i = 0; i < 100'000; ++i) {
    header += fmt::format(R"({}"t{}":{{"dtype":"U8","shape":[1],"data_offsets":[{},{}]}})", i == 0 ? "" : ",",
                          i, i, i + 1);
  }
  ASSERT_OK_AND_ASSIGN(const auto reader, OpenBytes(FileOf(header + "}", 100'000)));
  EXPECT_EQ(reader.tensors().size(), 100'000u);
}

TEST_F(SafetensorsTest, NonFiniteNumbersAreNamed) {
  const std::vector<float> values = {1, 2, std::nanf(""), 4};
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const std::vector<TensorToWrite> tensors = {TensorToWrite::FromFloat("weight", {4}, values, dtype)};
    ASSERT_OK(WriteSafetensors(path_, tensors));
    ASSERT_OK_AND_ASSIGN(const auto reader, SafetensorsReader::Open(path_));
    std::vector<float> out(4);
    EXPECT_ERROR_CONTAINS(CopyToFloat(*reader.Find("weight"), 0, out, true),
                          "tensor weight holds nan at element 2");
    EXPECT_OK(CopyToFloat(*reader.Find("weight"), 0, out, false));
  }
}

TEST(CheckpointReaderTest, ReadsShardsAndNamesWhatIsMissing) {
  TemporaryDirectory directory;
  const std::vector<float> values = {1, 2};
  const auto write = [&](const char* file, const char* tensor) {
    const std::vector<TensorToWrite> tensors = {TensorToWrite::FromFloat(tensor, {2}, values)};
    ASSERT_OK(WriteSafetensors(directory / file, tensors));
  };
  EXPECT_ERROR_CONTAINS(CheckpointReader::Open(directory.path()), "there is neither model.safetensors nor");
  ASSERT_OK(WriteFileAtomically(directory / "pytorch_model.bin", "PK"));
  EXPECT_ERROR_CONTAINS(CheckpointReader::Open(directory.path()), "convert them to model.safetensors");
  write("model-00001-of-00002.safetensors", "a");
  const auto index = [&](const std::string& text) {
    QWEN25_CHECK(WriteFileAtomically(directory / "model.safetensors.index.json", text).ok());
    return CheckpointReader::Open(directory.path());
  };
  const std::string both =
      R"({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})";
  EXPECT_ERROR_CONTAINS(index(both), "model-00002-of-00002.safetensors: cannot open");
  write("model-00002-of-00002.safetensors", "b");
  ASSERT_OK_AND_ASSIGN(const auto checkpoint, index(both));
  EXPECT_EQ(checkpoint.tensors().size(), 2u);
  ASSERT_NE(checkpoint.Find("b"), nullptr);
  EXPECT_EQ(checkpoint.Find("c"), nullptr);
  ASSERT_OK_AND_ASSIGN(const auto without,
                       index(R"({"weight_map": {"c": "model-00001-of-00002.safetensors"}})"));
  EXPECT_EQ(without.MissingFrom("c"), "model-00001-of-00002.safetensors");
  EXPECT_EQ(without.MissingFrom("a"), "");
  EXPECT_ERROR_CONTAINS(index(R"({"weight_map": {"a": "../secret.safetensors"}})"),
                        "names no file of this folder");
  EXPECT_ERROR_CONTAINS(index(R"({"weights": {}})"), "expected an object with \"weight_map\"");
  EXPECT_ERROR_CONTAINS(index(R"({"weight_map": ["model-00001-of-00002.safetensors"]})"),
                        "expected an object with \"weight_map\"");
  EXPECT_ERROR_CONTAINS(index("[]"), "expected an object with \"weight_map\"");
  EXPECT_ERROR_CONTAINS(index(both.substr(0, both.size() - 1)),
                        "model.safetensors.index.json: not valid JSON");
  EXPECT_ERROR_CONTAINS(index("version https://git-lfs.github.com/spec/v1\n"),
                        "model.safetensors.index.json: is the pointer of a Git LFS file");
  for (const char* file :
       {"7", "null", "\"\"", "\"/etc/passwd\"", "\"folder/model.safetensors\"", "\"..\"", "\".\""}) {
    EXPECT_ERROR_CONTAINS(index(fmt::format("{{\"weight_map\": {{\"a\": {}}}}}", file)),
                          "tensor a names no file of this folder");
  }
  // A tensor that is equal in two shards is one tensor.
  write("model-00002-of-00002.safetensors", "a");
  ASSERT_OK_AND_ASSIGN(const auto twice, index(both));
  EXPECT_EQ(twice.tensors().size(), 1u);
  EXPECT_EQ(twice.MissingFrom("b"), "model-00002-of-00002.safetensors");
  const std::vector<float> others = {1, 3};
  const std::vector<TensorToWrite> tensors = {TensorToWrite::FromFloat("a", {2}, others)};
  ASSERT_OK(WriteSafetensors(directory / "model-00002-of-00002.safetensors", tensors));
  EXPECT_ERROR_CONTAINS(index(both), "tensor a is in more than one shard, again and different");
}

TEST(CheckpointReaderTest, ShardsWithoutTheirIndexAreReadIfNoneIsMissing) {
  TemporaryDirectory directory;
  const std::vector<float> values = {1, 2};
  const auto write = [&](const char* file, const char* tensor) {
    const std::vector<TensorToWrite> tensors = {TensorToWrite::FromFloat(tensor, {2}, values)};
    ASSERT_OK(WriteSafetensors(directory / file, tensors));
  };
  write("model-00001-of-00002.safetensors", "a");
  EXPECT_ERROR_CONTAINS(CheckpointReader::Open(directory.path()),
                        "no model.safetensors.index.json, and without it another shard should follow");
  write("model-00002-of-00002.safetensors", "b");
  ASSERT_OK_AND_ASSIGN(const auto without_index, CheckpointReader::Open(directory.path()));
  EXPECT_NE(without_index.Find("b"), nullptr);
  std::filesystem::remove(directory / "model-00001-of-00002.safetensors");
  EXPECT_ERROR_CONTAINS(CheckpointReader::Open(directory.path()),
                        "without it model-00001-of-00002.safetensors should follow");
  std::filesystem::remove(directory / "model-00002-of-00002.safetensors");
}

TEST(DTypeTest, HalfFloatsRoundAsIeeeSays) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float wide = Float16ToFloat(half), brain = BFloat16ToFloat(half);
    if (std::isnan(wide)) {
      ASSERT_TRUE(std::isnan(Float16ToFloat(FloatToFloat16(wide))));
    } else {
      ASSERT_EQ(FloatToFloat16(wide), half);
    }
    if (std::isnan(brain)) {
      ASSERT_TRUE(std::isnan(BFloat16ToFloat(FloatToBFloat16(brain))));
    } else {
      ASSERT_EQ(FloatToBFloat16(brain), half);
    }
  }
  // Numbers between two neighbours go to the nearer one, or from the middle to the even one.
  EXPECT_TRUE(rc::check("rounding is to the nearest", [] {
    const float value =
        std::ldexp(static_cast<float>(*rc::gen::inRange(-65000, 65000)), -*rc::gen::inRange(0, 40));
    const uint16_t half = FloatToFloat16(value);
    const float error = std::fabs(Float16ToFloat(half) - value);
    for (int step : {-1, 1}) {
      const float neighbour = Float16ToFloat(static_cast<uint16_t>(half + step));
      RC_ASSERT(!std::isfinite(neighbour) || error <= std::fabs(neighbour - value));
    }
  }));
  EXPECT_EQ(FloatToFloat16(2049.0f), FloatToFloat16(2048.0f));
  EXPECT_EQ(FloatToFloat16(2051.0f), FloatToFloat16(2052.0f));
  EXPECT_EQ(FloatToFloat16(65520.0f), 0x7c00);
  EXPECT_EQ(FloatToFloat16(65519.0f), 0x7bff);
  EXPECT_EQ(FloatToBFloat16(std::numeric_limits<float>::max()), 0x7f80);
}

}  // namespace
}  // namespace qwen25
