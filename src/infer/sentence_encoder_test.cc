// Sentences to vectors, held to transformers with the poolings of sentence-transformers: fixtures of
// tests/reference/make_encoder_fixtures.py.
#include "infer/sentence_encoder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/file.h"
#include "base/json.h"
#include "base/test_util.h"
#include "infer/pool_tokens.h"
#include "model/encoder_fixture_test_util.h"

namespace qwen25 {
namespace {

const std::filesystem::path kFixtures = SourcePath("tests/reference/fixtures");

std::vector<std::string> Texts(const std::filesystem::path& folder) {
  return (*ReadJsonFile((folder / "expected.json").string()))["texts"].get<std::vector<std::string>>();
}

std::unique_ptr<SentenceEncoder> Load(const std::filesystem::path& path, uint32_t max_tokens = 0) {
  auto encoder = SentenceEncoder::Load({.path = path, .max_tokens = max_tokens, .num_threads = 2});
  EXPECT_OK(encoder);
  return encoder.ok() ? std::move(*encoder) : nullptr;
}

TEST(PoolTokensTest, EqualsTheFormulas) {
  const ExpectedTensors expected(kFixtures / "encoder_mean");
  std::vector<float> hidden = expected.Floats("hidden");
  const std::vector<int32_t> starts = expected.Ints("sequence_starts");
  const MatrixView<const float> rows(hidden.data(), hidden.size() / 32, 32);
  for (const SentencePooling pooling :
       {SentencePooling::kCls, SentencePooling::kMax, SentencePooling::kMean,
        SentencePooling::kMeanSqrtLength, SentencePooling::kWeightedMean, SentencePooling::kLast}) {
    const std::vector<float> wanted = expected.Floats(fmt::format("pooled.{}", SentencePoolingName(pooling)));
    for (size_t s = 0; s + 1 < starts.size(); ++s) {
      std::vector<double> pooled(32, 7.0);
      PoolTokens(pooling, rows.Rows(static_cast<size_t>(starts[s]), static_cast<size_t>(starts[s + 1])),
                 pooled);
      for (size_t d = 0; d < 32; ++d) {
        EXPECT_NEAR(pooled[d], wanted[s * 32 + d], 2e-6) << SentencePoolingName(pooling) << " " << s;
      }
    }
  }
}

TEST(SentenceEncoderTest, VectorsAreThoseOfTheReference) {
  for (const char* fixture : {"encoder_mean", "encoder_dense"}) {
    SCOPED_TRACE(fixture);
    const std::filesystem::path folder = kFixtures / fixture;
    const ExpectedTensors expected(folder);
    const auto encoder = Load(folder);
    ASSERT_NE(encoder, nullptr);
    EXPECT_TRUE(encoder->remarks().empty());
    const std::vector<std::string> texts = Texts(folder);
    for (const auto& [name, prompt] : {std::pair{"queries", encoder->settings().query_prompt},
                                       {"passages", encoder->settings().passage_prompt}}) {
      const std::vector<float> wanted = expected.Floats(name);
      ASSERT_EQ(wanted.size(), texts.size() * encoder->dimension());
      std::vector<float> out(wanted.size());
      ASSERT_OK(encoder->Embed(prompt, texts, out));
      for (size_t i = 0; i < out.size(); ++i) EXPECT_NEAR(out[i], wanted[i], 5e-6) << name << " " << i;
    }
  }
}

TEST(SentenceEncoderTest, EmptyAndLongTextsHaveVectors) {
  const std::filesystem::path folder = kFixtures / "encoder_mean";
  const auto encoder = Load(folder, 10);
  ASSERT_NE(encoder, nullptr);
  const size_t width = encoder->dimension();
  std::string longer;
  for (int i = 0; i < 200; ++i) longer += "cats and dogs and a mat ";
  const std::vector<std::string> texts = {"", "cats and dogs", longer, " \n"};
  std::vector<float> out(texts.size() * width);
  ASSERT_OK(encoder->Embed("", texts, out));
  for (size_t t = 0; t < texts.size(); ++t) {
    double square = 0;
    for (size_t d = 0; d < width; ++d) square += out[t * width + d] * out[t * width + d];
    EXPECT_NEAR(square, t == 0 || t == 3 ? 0 : 1, 1e-5) << t;
  }
  // Each alone, and each with other threads, is the same vector.
  for (size_t t = 0; t < texts.size(); ++t) {
    std::vector<float> alone(width);
    ASSERT_OK(encoder->Embed("", {&texts[t], 1}, alone));
    EXPECT_EQ(std::memcmp(alone.data(), out.data() + t * width, width * sizeof(float)), 0) << t;
  }
}

TEST(SentenceEncoderTest, ALongTextIsReadToItsEnd) {
  const auto encoder = Load(kFixtures / "encoder_mean", 12);
  ASSERT_NE(encoder, nullptr);
  std::string begin;
  for (int i = 0; i < 20; ++i) begin += "the mat ";
  const std::vector<std::string> texts = {begin, begin + "question"};
  std::vector<float> out(2 * encoder->dimension());
  ASSERT_OK(encoder->Embed("a prompt that is longer than a window, which then leaves it out ", texts, out));
  EXPECT_NE(std::memcmp(out.data(), out.data() + encoder->dimension(), encoder->dimension() * sizeof(float)),
            0);
}

TEST(SentenceEncoderTest, FingerprintsTellModelsApart) {
  const std::string mean = Load(kFixtures / "encoder_mean")->Fingerprint();
  EXPECT_EQ(mean, Load(kFixtures / "encoder_mean")->Fingerprint());
  EXPECT_NE(mean, Load(kFixtures / "encoder_mean", 20)->Fingerprint());
  EXPECT_NE(mean, Load(kFixtures / "encoder_dense")->Fingerprint());
  TemporaryDirectory directory;
  const std::filesystem::path copy = directory.path() / "copy";
  std::filesystem::copy(kFixtures / "encoder_mean", copy, std::filesystem::copy_options::recursive);
  EXPECT_EQ(mean, Load(copy)->Fingerprint());
  ASSERT_OK(WriteFileAtomically(copy / "1_Pooling/config.json", R"({"pooling_mode_cls_token": true})"));
  EXPECT_NE(mean, Load(copy)->Fingerprint());
  ASSERT_OK(WriteFileAtomically(copy / "1_Pooling/config.json", R"({"pooling_mode_mean_tokens": true})"));
  ASSERT_OK(WriteFileAtomically(copy / "tokenizer_config.json", R"({"do_lower_case": false})"));
  EXPECT_NE(mean, Load(copy)->Fingerprint());
}

TEST(SentenceEncoderTest, PartsThatDoNotBelongTogetherAreNamed) {
  TemporaryDirectory directory;
  const std::filesystem::path copy = directory.path() / "copy";
  std::filesystem::copy(kFixtures / "encoder_dense", copy, std::filesystem::copy_options::recursive);
  const std::string modules = *ReadFile(copy / "modules.json");
  ASSERT_OK(WriteFileAtomically(copy / "1_Pooling/config.json", R"({"pooling_mode_cls_token": true})"));
  EXPECT_ERROR_CONTAINS(SentenceEncoder::Load({.path = copy}),
                        "a Dense module takes 48 numbers, but gets 24");
  std::filesystem::remove(copy / "modules.json");
  const auto plain = Load(copy);
  ASSERT_NE(plain, nullptr);
  EXPECT_EQ(plain->dimension(), 24u);
  ASSERT_EQ(plain->remarks().size(), 1u);
  EXPECT_NE(plain->remarks()[0].find("states no pooling"), std::string::npos);
  const std::string vocabulary = *ReadFile(copy / "vocab.txt");
  ASSERT_OK(WriteFileAtomically(copy / "vocab.txt", vocabulary + "more\n"));
  EXPECT_ERROR_CONTAINS(SentenceEncoder::Load({.path = copy}),
                        "has ids up to 240, but the model has only 240");
}

}  // namespace
}  // namespace qwen25
