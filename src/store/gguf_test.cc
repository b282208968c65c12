#include "store/gguf.h"

#include <rapidcheck.h>

#include <fstream>

#include "base/file.h"
#include "base/test_util.h"

namespace qwen25 {
namespace {

template <typename Number>
std::string Le(Number number) {
  return std::string(reinterpret_cast<const char*>(&number), sizeof number);
}
std::string Text(const std::string& text) {
  return Le(uint64_t{text.size()}) + text;
}
std::string Value(const std::string& key, uint32_t type, const std::string& bytes) {
  return Text(key) + Le(type) + bytes;
}
std::string Array(uint32_t type, uint64_t count, const std::string& bytes) {
  return Le(type) + Le(count) + bytes;
}
// `sizes` are in the order of the file: fastest first.
std::string Tensor(const std::string& name, const std::vector<uint64_t>& sizes, uint32_t type,
                   uint64_t offset) {
  std::string bytes = Text(name) + Le(static_cast<uint32_t>(sizes.size()));
  for (const uint64_t size : sizes) bytes += Le(size);
  return bytes + Le(type) + Le(offset);
}
// Assembles a file without any checks, as a hostile writer would.
std::string FileOf(const std::vector<std::string>& values, const std::vector<std::string>& tensors,
                   size_t num_data_bytes, uint32_t version = 3) {
  std::string bytes = "GGUF" + Le(version) + Le(uint64_t{tensors.size()}) + Le(uint64_t{values.size()});
  for (const std::string& value : values) bytes += value;
  for (const std::string& tensor : tensors) bytes += tensor;
  bytes.resize((bytes.size() + 31) / 32 * 32);
  return bytes + std::string(num_data_bytes, '\1');
}

class GgufTest : public testing::Test {
 protected:
  Result<GgufReader> OpenBytes(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary) << bytes;
    return GgufReader::Open(path_);
  }
  TemporaryDirectory directory_;
  const std::string path_ = directory_ / "model.gguf";
};

TEST_F(GgufTest, WhatIsWrittenIsRead) {
  GgufMetadata metadata;
  metadata.SetString("general.architecture", "qwen2");
  metadata.SetU32("qwen2.block_count", 24);
  metadata.SetF32("qwen2.rope.freq_base", 1e6f);
  metadata.SetBool("tokenizer.ggml.add_bos_token", true);
  const std::vector<std::string> tokens = {"", "a", std::string("\0\xff", 2)};
  const std::vector<int32_t> types = {1, -3, 6};
  const std::vector<float> scores = {0.5f, -1.0f};
  metadata.SetStrings("tokenizer.ggml.tokens", tokens);
  metadata.SetI32s("tokenizer.ggml.token_type", types);
  metadata.SetF32s("tokenizer.ggml.scores", scores);
  const std::string first(5 * 4, 'a'), third(2 * 34, 'c');
  ASSERT_OK_AND_ASSIGN(GgufWriter writer,
                       GgufWriter::Open(path_, metadata,
                                        {{"output_norm.weight", GgmlType::kF32, {5}},
                                         {"empty", GgmlType::kF16, {0, 32}},
                                         {"token_embd.weight", GgmlType::kQ8_0, {2, 32}}}));
  const auto bytes_of = [](std::string_view text) { return std::as_bytes(std::span(text)); };
  ASSERT_OK(writer.Write(bytes_of(first).first(7)));
  ASSERT_OK(writer.Write(bytes_of(first).subspan(7)));
  EXPECT_FALSE(std::filesystem::exists(path_));
  ASSERT_OK(writer.Write(bytes_of(third)));
  ASSERT_OK(writer.Commit());

  ASSERT_OK_AND_ASSIGN(const GgufReader reader, GgufReader::Open(path_));
  EXPECT_EQ(reader.version(), 3u);
  EXPECT_EQ(reader.alignment(), 32u);
  EXPECT_EQ(reader.metadata().size(), 7u);
  EXPECT_EQ(reader.Find("general.architecture")->String(), "qwen2");
  EXPECT_EQ(reader.Find("qwen2.block_count")->Integer(), 24);
  EXPECT_EQ(reader.Find("qwen2.rope.freq_base")->Number(), 1e6);
  EXPECT_EQ(reader.Find("tokenizer.ggml.add_bos_token")->Bool(), true);
  const auto strings = reader.Find("tokenizer.ggml.tokens")->Strings();
  ASSERT_TRUE(strings.has_value());
  EXPECT_TRUE(std::ranges::equal(*strings, tokens));
  EXPECT_EQ(reader.Find("tokenizer.ggml.token_type")->Integers(), (std::vector<int64_t>{1, -3, 6}));
  EXPECT_EQ(reader.Find("tokenizer.ggml.scores")->Numbers(), (std::vector<double>{0.5, -1}));
  EXPECT_EQ(reader.Find("tokenizer.ggml.scores")->TypeName(), "array of f32");
  EXPECT_EQ(reader.Find("tokenizer.ggml.tokens")->Integers(), std::nullopt);
  EXPECT_EQ(reader.Find("qwen2.block_count")->String(), std::nullopt);
  EXPECT_EQ(reader.Find("nothing"), nullptr);
  const GgufTensor* embedding = reader.FindTensor("token_embd.weight");
  ASSERT_NE(embedding, nullptr);
  EXPECT_EQ(embedding->shape, (std::vector<uint64_t>{2, 32}));
  EXPECT_EQ(embedding->type, GgmlType::kQ8_0);
  EXPECT_TRUE(std::ranges::equal(embedding->bytes, bytes_of(third)));
  EXPECT_TRUE(std::ranges::equal(reader.FindTensor("output_norm.weight")->bytes, bytes_of(first)));
  EXPECT_EQ(reader.FindTensor("empty")->bytes.size(), 0u);
  EXPECT_EQ(std::filesystem::file_size(path_) % 32, 0u);

  // Copying all values reproduces the bytes.
  GgufMetadata copy;
  for (const auto& [key, value] : reader.metadata()) copy.SetValue(key, value);
  EXPECT_EQ(copy.bytes(), metadata.bytes());
}

TEST_F(GgufTest, ReadsEveryTypeAndNestedArrays) {
  const std::string nested =
      Array(9, 2, Array(3, 2, Le(int16_t{-2}) + Le(int16_t{7})) + Array(8, 1, Text("x")));
  for (const uint32_t version : {2u, 3u}) {
    ASSERT_OK_AND_ASSIGN(
        const GgufReader reader,
        OpenBytes(
            FileOf({Value("a", 0, Le(uint8_t{200})), Value("b", 1, Le(int8_t{-5})),
                    Value("c", 2, Le(uint16_t{60000})), Value("d", 3, Le(int16_t{-300})),
                    Value("e", 4, Le(uint32_t{4'000'000'000})), Value("f", 5, Le(int32_t{-7})),
                    Value("g", 6, Le(0.5f)), Value("h", 7, Le(uint8_t{0})), Value("i", 8, Text("text")),
                    Value("j", 9, nested), Value("k", 10, Le(~uint64_t{0})), Value("l", 11, Le(int64_t{-9})),
                    Value("m", 12, Le(0.25)), Value("n", 10, Le(uint64_t{9})),
                    Value("o", 9, Array(7, 2, std::string("\0\1", 2)))},
                   {}, 0, version)));
    EXPECT_EQ(reader.Find("a")->Integer(), 200);
    EXPECT_EQ(reader.Find("b")->Integer(), -5);
    EXPECT_EQ(reader.Find("c")->Integer(), 60000);
    EXPECT_EQ(reader.Find("d")->Integer(), -300);
    EXPECT_EQ(reader.Find("e")->Integer(), 4'000'000'000);
    EXPECT_EQ(reader.Find("f")->Number(), -7.0);
    EXPECT_EQ(reader.Find("g")->Number(), 0.5);
    EXPECT_EQ(reader.Find("h")->Bool(), false);
    EXPECT_EQ(reader.Find("i")->String(), "text");
    EXPECT_EQ(reader.Find("k")->Integer(), std::nullopt);
    EXPECT_EQ(reader.Find("l")->Integer(), -9);
    EXPECT_EQ(reader.Find("m")->Number(), 0.25);
    EXPECT_EQ(reader.Find("n")->Integer(), 9);
    const auto elements = reader.Find("j")->Elements();
    ASSERT_TRUE(elements && elements->size() == 2);
    EXPECT_EQ((*elements)[0].Integers(), (std::vector<int64_t>{-2, 7}));
    EXPECT_EQ((*elements)[1].Strings(), (std::vector<std::string_view>{"x"}));
    EXPECT_EQ(reader.Find("o")->Elements()->at(1).Bool(), true);
  }
}

TEST_F(GgufTest, SaysWhatIsWrong) {
  const std::string weight = Tensor("w", {32, 2}, 8, 0);
  std::string deep = Array(0, 0, "");
  for (int i = 0; i < 5; ++i) deep = Array(9, 1, deep);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"GGUF", "4 bytes are too few for a GGUF file"},
      {"GGML" + std::string(40, '\0'), "does not begin with \"GGUF\""},
      {FileOf({}, {}, 0, 1), "is GGUF version 1, this program reads 2 and 3"},
      {FileOf({}, {}, 0, 0x03000000), "big-endian"},
      {"GGUF" + Le(3) + Le(uint64_t{0}) + Le(~uint64_t{0}), "claims 18446744073709551615 metadata values"},
      {"GGUF" + Le(3) + Le(uint64_t{1} << 40) + Le(uint64_t{0}), "claims 1099511627776 tensors"},
      {FileOf({Value("key", 13, "")}, {}, 0), "metadata \"key\" has value type 13, expected 0 to 12"},
      {FileOf({Value("", 0, "a")}, {}, 0), "has the key \"\""},
      {FileOf({Value("a\nb", 0, "a")}, {}, 0), "has the key \"a\\x0ab\""},
      {FileOf({Le(~uint64_t{0}) + "abcdefghijk"}, {}, 0), "takes 18446744073709551615 bytes"},
      {FileOf({Value("key", 7, "\2")}, {}, 0), "holds a bool of value 2"},
      {FileOf({Value("key", 9, Array(7, 1, "\3"))}, {}, 0), "holds a bool of value 3"},
      {FileOf({Value("key", 8, Le(uint64_t{1} << 63))}, {}, 0), "metadata \"key\" at byte"},
      {FileOf({Value("key", 9, Array(12, uint64_t{1} << 61, ""))}, {}, 0),
       "claims 2305843009213693952 elements of type f64"},
      {FileOf({Value("key", 9, Array(77, 1, ""))}, {}, 0), "has value type 77"},
      {FileOf({Value("key", 9, deep)}, {}, 0), "nests arrays more than 4 deep"},
      {FileOf({Value("key", 0, "a"), Value("key", 0, "a")}, {}, 0), "metadata key \"key\" comes twice"},
      {FileOf({Value("general.alignment", 4, Le(uint32_t{24}))}, {}, 0), "general.alignment is 24"},
      {FileOf({Value("general.alignment", 8, Text("x"))}, {}, 0), "general.alignment is 0 (string)"},
      {FileOf({}, {weight, weight}, 128), "tensor w comes twice"},
      {FileOf({}, {Tensor("", {1}, 0, 0)}, 64), "tensor 0 has the name \"\""},
      {FileOf({}, {Tensor("w", {1, 1, 1, 1, 1}, 0, 0)}, 64),
       "tensor w: has 5 dimensions, ggml allows at most 4"},
      {FileOf({}, {Tensor("w", {32}, 4, 0)}, 64), "tensor w has ggml type 4"},
      {FileOf({}, {Tensor("w", {32}, 4'000'000'000, 0)}, 64), "has ggml type 4000000000"},
      {FileOf({}, {Tensor("w", {33, 32}, 8, 0)}, 64),
       "rows of 33 numbers are not a whole number of Q8_0 blocks"},
      {FileOf({}, {Tensor("w", {uint64_t{1} << 40, uint64_t{1} << 40}, 0, 0)}, 64), "too large to be true"},
      {FileOf({}, {Tensor("w", {~uint64_t{0}, 2}, 0, 0)}, 64), "too large to be true"},
      {FileOf({}, {Tensor("w", {32}, 0, 8)}, 256), "starts at byte 8 of the data, which is not a multiple"},
      {FileOf({}, {Tensor("w", {32}, 0, 32)}, 128), "needs 128 bytes from byte 32 of the data on"},
      {FileOf({}, {Tensor("w", {32}, 0, uint64_t{0} - 32)}, 128), "of the data on, the file holds 128 bytes"},
      {FileOf({}, {weight, Tensor("v", {32, 2}, 8, 32)}, 128),
       "tensor v starts at byte 32 of the data, inside tensor w"}};
  for (const auto& [bytes, message] : cases) {
    EXPECT_ERROR_CONTAINS(OpenBytes(bytes), message);
    EXPECT_ERROR_CONTAINS(OpenBytes(bytes), path_);
  }
  EXPECT_ERROR_CONTAINS(GgufReader::Open("/nonexistent"), "cannot open");
}

TEST_F(GgufTest, EveryCutIsRefusedAndNoFlippedHeaderByteCrashes) {
  const std::string good = FileOf(
      {Value("general.architecture", 8, Text("llama")), Value("x", 9, Array(8, 2, Text("a") + Text("b")))},
      {Tensor("w", {32, 2}, 8, 0), Tensor("v", {3}, 0, 96)}, 96 + 12);
  ASSERT_OK(OpenBytes(good));
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(OpenBytes(good.substr(0, length)).ok()) << "cut to " << length;
  }
  for (size_t bit = 0; bit < 8 * (good.size() - 108); ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    const auto reader = OpenBytes(bad);
    if (!reader.ok()) {
      EXPECT_NE(reader.status().message().find(path_), std::string::npos);
    }
  }
}

TEST_F(GgufTest, TheSizesOfTensorsFollowFromTypeAndShape) {
  for (const auto& [name, bytes] : std::vector<std::pair<const char*, uint64_t>>{{"F32", 2048},
                                                                                 {"f16", 1024},
                                                                                 {"bf16", 1024},
                                                                                 {"Q8_0", 544},
                                                                                 {"q4_0", 288},
                                                                                 {"Q4_1", 320},
                                                                                 {"Q5_0", 352},
                                                                                 {"Q5_1", 384},
                                                                                 {"q4_K", 288},
                                                                                 {"Q5_K", 352},
                                                                                 {"Q6_K", 420}}) {
    const auto type = ParseGgmlType(name);
    ASSERT_TRUE(type) << name;
    EXPECT_EQ((GgufTensorPlan{"w", *type, {2, 256}}.NumBytes()), bytes) << name;
  }
  EXPECT_EQ(ParseGgmlType("Q4_2"), std::nullopt);
}

TEST_F(GgufTest, PartsOfASplitModelAreOneModel) {
  const auto write = [&](const std::string& name, uint32_t number, uint32_t count, const char* tensor) {
    GgufMetadata metadata;
    metadata.SetU32("split.no", number);
    metadata.SetU32("split.count", count);
    if (number == 0) metadata.SetString("general.architecture", "qwen2");
    auto writer = GgufWriter::Open(directory_ / name, metadata, {{tensor, GgmlType::kF32, {1}}});
    QWEN25_CHECK(writer.ok() && writer->Write(std::as_bytes(std::span("abc", 4))).ok() &&
                 writer->Commit().ok());
  };
  write("m-00001-of-00002.gguf", 0, 2, "a");
  EXPECT_ERROR_CONTAINS(GgufFiles::Open(directory_ / "m-00001-of-00002.gguf"), "m-00002-of-00002.gguf");
  write("m-00002-of-00002.gguf", 1, 2, "b");
  for (const char* part : {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}) {
    ASSERT_OK_AND_ASSIGN(const GgufFiles files, GgufFiles::Open(directory_ / part));
    EXPECT_EQ(files.tensors().size(), 2u);
    EXPECT_NE(files.FindTensor("a"), nullptr);
    EXPECT_NE(files.FindTensor("b"), nullptr);
    EXPECT_EQ(files.FindTensor("c"), nullptr);
    EXPECT_EQ(files.Find("general.architecture")->String(), "qwen2");
  }
  write("m-00002-of-00002.gguf", 1, 2, "a");
  EXPECT_ERROR_CONTAINS(GgufFiles::Open(directory_ / "m-00001-of-00002.gguf"), "more than one part");
  write("other.gguf", 0, 2, "a");
  EXPECT_ERROR_CONTAINS(GgufFiles::Open(directory_ / "other.gguf"), "NAME-00001-of-00002.gguf");
  write("other.gguf", 2, 2, "a");
  EXPECT_ERROR_CONTAINS(GgufFiles::Open(directory_ / "other.gguf"), "split.no is 2 and split.count 2");
}

}  // namespace
}  // namespace qwen25
