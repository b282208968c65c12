// The encoder and its files, held to transformers: fixtures of tests/reference/make_encoder_fixtures.py.
#include "model/encoder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/file.h"
#include "base/test_util.h"
#include "model/encoder_fixture_test_util.h"
#include "quant/gguf_blocks.h"
#include "store/safetensors.h"

namespace qwen25 {
namespace {

const std::filesystem::path kFixtures = SourcePath("tests/reference/fixtures");

class EncoderTest : public testing::Test {
 protected:
  struct Expected {
    std::vector<int32_t> tokens, starts, positions;
    std::vector<float> hidden;
  };
  static Expected Read(const std::filesystem::path& folder) {
    const ExpectedTensors tensors(folder);
    Expected expected = {
        tensors.Ints("tokens"), tensors.Ints("sequence_starts"), {}, tensors.Floats("hidden")};
    for (size_t s = 0; s + 1 < expected.starts.size(); ++s) {
      for (int32_t i = 0; i < expected.starts[s + 1] - expected.starts[s]; ++i)
        expected.positions.push_back(i);
    }
    return expected;
  }
  Tensor Forward(const EncoderModel& model, const Expected& expected) {
    return model.Forward(execution_, {expected.tokens, expected.positions, expected.starts});
  }
  // The greatest difference, as a share of the greatest number.
  static double Difference(const Tensor& hidden, const std::vector<float>& wanted) {
    double greatest = 0, difference = 0;
    for (size_t i = 0; i < wanted.size(); ++i) {
      greatest = std::max(greatest, std::fabs(double{wanted[i]}));
      difference = std::max(difference, std::fabs(double{hidden.data()[i]} - wanted[i]));
    }
    return difference / greatest;
  }
  // A copy of a fixture's folder, to be changed.
  std::filesystem::path Copy(const std::string& fixture) {
    const std::filesystem::path folder = directory_.path() / fixture;
    std::filesystem::copy(kFixtures / fixture, folder, std::filesystem::copy_options::recursive);
    return folder;
  }
  // Changes config.json of a folder.
  template <typename Change>
  static void ChangeConfig(const std::filesystem::path& folder, Change change) {
    Json json = *ReadJsonFile((folder / "config.json").string());
    change(json);
    ASSERT_OK(WriteFileAtomically(folder / "config.json", json.dump()));
  }
  // Writes model.safetensors of a folder again, without the tensors for which keep() is false.
  template <typename Keep>
  static void ChangeTensors(const std::filesystem::path& folder, Keep keep) {
    std::vector<TensorToWrite> tensors;
    const SafetensorsReader reader = SafetensorsReader::Open(folder / "model.safetensors").value();
    for (const TensorInfo& tensor : reader.tensors()) {
      TensorToWrite copy = TensorToWrite::FromBytes(tensor.name, tensor.dtype, tensor.shape, tensor.bytes);
      if (keep(copy)) tensors.push_back(copy);
    }
    ASSERT_OK(WriteSafetensors(folder / "new", tensors));
    std::filesystem::rename(folder / "new", folder / "model.safetensors");
  }
  // Writes the fixture "encoder_mean" as llama.cpp does, matrices in `type` where rows are whole blocks.
  void WriteGguf(const std::string& path, GgmlType type, bool with_types = true);

  TemporaryDirectory directory_;
  ThreadPool threads_{2};
  TensorPool tensors_;
  Scratch scratch_{2};
  Execution execution_{threads_, tensors_, scratch_, nullptr};
};

void EncoderTest::WriteGguf(const std::string& path, GgmlType type, bool with_types) {
  const SafetensorsReader reader =
      SafetensorsReader::Open(kFixtures / "encoder_mean/model.safetensors").value();
  GgufMetadata metadata;
  metadata.SetString("general.architecture", "bert");
  for (const auto& [key, value] : {std::pair{"embedding_length", 32},
                                   {"feed_forward_length", 56},
                                   {"block_count", 2},
                                   {"attention.head_count", 4},
                                   {"context_length", 150}}) {
    metadata.SetU32(fmt::format("bert.{}", key), static_cast<uint32_t>(value));
  }
  metadata.SetF32("bert.attention.layer_norm_epsilon", 1e-12f);
  metadata.SetBool("bert.attention.causal", false);
  std::vector<GgufTensorPlan> plans;
  std::vector<std::vector<std::byte>> contents;
  const std::vector<std::pair<std::string, std::string>> names = {
      {"bert.embeddings.word_embeddings", "token_embd"},
      {"bert.embeddings.position_embeddings", "position_embd"},
      {"bert.embeddings.token_type_embeddings", "token_types"},
      {"bert.embeddings.LayerNorm", "token_embd_norm"},
      {"attention.self.query", "attn_q"},
      {"attention.self.key", "attn_k"},
      {"attention.self.value", "attn_v"},
      {"attention.output.dense", "attn_output"},
      {"attention.output.LayerNorm", "attn_output_norm"},
      {"intermediate.dense", "ffn_up"},
      {"output.dense", "ffn_down"},
      {"output.LayerNorm", "layer_output_norm"}};
  for (const TensorInfo& tensor : reader.tensors()) {
    std::string name = tensor.name;
    const size_t dot = name.rfind('.');
    const std::string ending = name.substr(dot);
    name.resize(dot);
    std::string prefix;
    constexpr std::string_view kLayer = "bert.encoder.layer.";
    if (name.starts_with(kLayer)) {
      prefix = fmt::format("blk.{}.", name[kLayer.size()]);
      name = name.substr(kLayer.size() + 2);
    }
    const auto found = std::ranges::find(names, name, &std::pair<std::string, std::string>::first);
    if (found == names.end() || (found->second == "token_types" && !with_types)) continue;
    const bool matrix = tensor.shape.size() == 2;
    const uint64_t cols = tensor.shape.back(), rows = tensor.NumElements() / cols;
    const GgmlType stored = matrix && cols % FindGgmlType(type)->elements == 0 ? type : GgmlType::kF32;
    std::vector<float> values(tensor.NumElements());
    ASSERT_OK(CopyToFloat(tensor, 0, values, true));
    std::vector<std::byte> bytes(rows * GgmlRowBytes(stored, cols));
    for (uint64_t row = 0; row < rows; ++row) {
      EncodeGgufRow(stored, values.data() + row * cols, cols,
                    bytes.data() + row * GgmlRowBytes(stored, cols));
    }
    plans.push_back({prefix + found->second + ending, stored, tensor.shape});
    contents.push_back(std::move(bytes));
  }
  ASSERT_OK_AND_ASSIGN(GgufWriter writer, GgufWriter::Open(path, metadata, plans));
  for (const std::vector<std::byte>& bytes : contents) ASSERT_OK(writer.Write(bytes));
  ASSERT_OK(writer.Commit());
}

TEST_F(EncoderTest, HiddenStatesAreThoseOfTransformers) {
  for (const char* fixture : {"encoder_mean", "encoder_dense"}) {
    SCOPED_TRACE(fixture);
    const Expected expected = Read(kFixtures / fixture);
    ASSERT_OK_AND_ASSIGN(const EncoderModel model,
                         EncoderModel::Load(kFixtures / fixture, std::nullopt, threads_));
    EXPECT_TRUE(model.remarks().empty());
    EXPECT_LT(Difference(Forward(model, expected), expected.hidden), 5e-6);
    for (const auto& [format, tolerance] :
         {std::pair{WeightFormat::kFloat16, 5e-3}, {WeightFormat::kInt8, 0.1}}) {
      ASSERT_OK_AND_ASSIGN(const EncoderModel packed,
                           EncoderModel::Load(kFixtures / fixture, format, threads_));
      EXPECT_LT(Difference(Forward(packed, expected), expected.hidden), tolerance)
          << WeightFormatName(format);
      const bool same =
          std::string(fixture) == "encoder_dense" && format == WeightFormat::kFloat16;  // as stored
      EXPECT_EQ(packed.Fingerprint() == model.Fingerprint(), same);
    }
  }
}

TEST_F(EncoderTest, ATextDoesNotDependOnItsCompany) {
  const Expected expected = Read(kFixtures / "encoder_mean");
  ASSERT_OK_AND_ASSIGN(const EncoderModel model,
                       EncoderModel::Load(kFixtures / "encoder_mean", std::nullopt, threads_));
  const Tensor together = Forward(model, expected);
  for (size_t s = 0; s + 1 < expected.starts.size(); ++s) {
    const auto begin = static_cast<size_t>(expected.starts[s]),
               end = static_cast<size_t>(expected.starts[s + 1]);
    const std::vector<int32_t> starts = {0, static_cast<int32_t>(end - begin)};
    const std::span<const int32_t> tokens = expected.tokens, positions = expected.positions;
    const Tensor alone = model.Forward(
        execution_, {tokens.subspan(begin, end - begin), positions.subspan(begin, end - begin), starts});
    EXPECT_EQ(std::memcmp(alone.data(), together.view().Row(begin), (end - begin) * 32 * sizeof(float)), 0)
        << s;
  }
}

TEST_F(EncoderTest, GgufFilesAreTheSameModel) {
  const Expected expected = Read(kFixtures / "encoder_mean");
  const std::string path = directory_ / "model.gguf";
  for (const auto& [type, tolerance] : {std::pair{GgmlType::kF32, 5e-6},
                                        {GgmlType::kF16, 5e-3},
                                        {GgmlType::kQ8_0, 0.1},
                                        {GgmlType::kQ4_0, 0.6}}) {
    WriteGguf(path, type);
    ASSERT_OK_AND_ASSIGN(const EncoderModel model, EncoderModel::Load(path, std::nullopt, threads_));
    EXPECT_LT(Difference(Forward(model, expected), expected.hidden), tolerance) << GgmlTypeName(type);
  }
  EXPECT_TRUE(IsEncoder(path));
  EXPECT_TRUE(IsEncoder(kFixtures / "encoder_mean"));
  EXPECT_FALSE(IsEncoder(kFixtures / "model_tied"));
  EXPECT_FALSE(IsEncoder(directory_.path()));
  WriteGguf(path, GgmlType::kF32, /*with_types=*/false);
  EXPECT_OK(EncoderModel::Load(path, std::nullopt, threads_));
}

TEST_F(EncoderTest, OldNamesAndOtherPrefixesAreFound) {
  const Expected expected = Read(kFixtures / "encoder_mean");
  const std::filesystem::path folder = Copy("encoder_mean");
  ChangeTensors(folder, [](TensorToWrite& tensor) {
    std::string& name = tensor.name;
    if (name.ends_with("LayerNorm.weight")) name.replace(name.size() - 6, 6, "gamma");
    if (name.ends_with("LayerNorm.bias")) name.replace(name.size() - 4, 4, "beta");
    name = "0.auto_model." + name.substr(5);
    return true;
  });
  ASSERT_OK_AND_ASSIGN(const EncoderModel model, EncoderModel::Load(folder, std::nullopt, threads_));
  EXPECT_LT(Difference(Forward(model, expected), expected.hidden), 5e-6);
}

TEST_F(EncoderTest, WrongWeightsAreNamed) {
  std::filesystem::path folder = Copy("encoder_mean");
  const auto load = [&] { return EncoderModel::Load(folder, std::nullopt, threads_); };
  ChangeTensors(folder, [](TensorToWrite& t) { return t.name != "bert.encoder.layer.1.output.dense.bias"; });
  EXPECT_ERROR_CONTAINS(load(), "hold no tensor encoder.layer.1.output.dense.bias");
  folder = Copy("encoder_dense");
  ChangeConfig(folder, [](Json& json) { json["intermediate_size"] = 41; });
  EXPECT_ERROR_CONTAINS(load(),
                        "encoder.layer.0.intermediate.dense.weight has shape [40, 24], expected [41, 24]");
  ChangeConfig(folder, [](Json& json) { json["intermediate_size"] = 40, json["vocab_size"] = 1000; });
  EXPECT_ERROR_CONTAINS(load(), "embeddings.word_embeddings.weight has shape ");
  ChangeConfig(folder, [](Json& json) { json["vocab_size"] = 240, json["num_hidden_layers"] = 2; });
  EXPECT_ERROR_CONTAINS(load(), "encoder.layer.2.");
  ChangeConfig(folder, [](Json& json) { json["num_hidden_layers"] = 3; });
  std::vector<uint16_t> numbers(40 * 24, 0x7e00);  // NaN
  ChangeTensors(folder, [&](TensorToWrite& t) {
    if (t.name == "encoder.layer.2.intermediate.dense.weight") t.bytes = std::as_bytes(std::span(numbers));
    return true;
  });
  EXPECT_ERROR_CONTAINS(load(), "encoder.layer.2.intermediate.dense.weight: row 0: element 0 is nan");
  ChangeTensors(folder, [&](TensorToWrite& t) { return t.name != "embeddings.word_embeddings.weight"; });
  EXPECT_ERROR_CONTAINS(load(), "no tensor embeddings.word_embeddings.weight");
}

TEST_F(EncoderTest, ConfigurationsThatAreNotHandledAreNamed) {
  const Json good = *ReadJsonFile((kFixtures / "encoder_mean/config.json").string());
  const auto read = [&](const char* key, Json value) {
    Json json = good;
    json[key] = std::move(value);
    return EncoderConfig::FromJson(json, "config.json");
  };
  EXPECT_ERROR_CONTAINS(read("model_type", "xlm-roberta"),
                        "\"xlm-roberta\", which this program does not run");
  EXPECT_ERROR_CONTAINS(read("model_type", "new"), "all-MiniLM, E5, BGE and GTE");
  EXPECT_ERROR_CONTAINS(read("hidden_act", "relu"), "\"hidden_act\" is \"relu\"");
  EXPECT_ERROR_CONTAINS(read("position_embedding_type", "relative_key"), "\"relative_key\"");
  EXPECT_ERROR_CONTAINS(read("is_decoder", true), "\"is_decoder\" is true");
  EXPECT_ERROR_CONTAINS(read("num_attention_heads", 5), "is not divided by");
  EXPECT_ERROR_CONTAINS(read("num_attention_heads", 32), "heads of an even size");
  EXPECT_ERROR_CONTAINS(read("num_hidden_layers", 0), "\"num_hidden_layers\" is 0");
  EXPECT_ERROR_CONTAINS(read("hidden_size", "wide"), "hidden_size");
  EXPECT_ERROR_CONTAINS(read("layer_norm_eps", -1), "\"layer_norm_eps\" is -1");
  EXPECT_ERROR_CONTAINS(EncoderConfig::FromJson(Json::array(), "config.json"), "not a JSON object");
}

}  // namespace
}  // namespace qwen25
