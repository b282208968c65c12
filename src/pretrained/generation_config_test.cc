#include "pretrained/generation_config.h"

#include "base/test_util.h"

namespace qwen25 {
namespace {

Result<GenerationConfig> Parse(const std::string& text) {
  QWEN25_TRY(const Json json, ParseJson(text, "generation_config.json"));
  return GenerationConfig::FromJson(json, "generation_config.json");
}

TEST(GenerationConfigTest, ReadsTheOfficialFiles) {
  ASSERT_OK_AND_ASSIGN(const GenerationConfig instruct, Parse(R"({
    "bos_token_id": 151643, "do_sample": true, "eos_token_id": [151645, 151643], "pad_token_id": 151643,
    "repetition_penalty": 1.1, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "transformers_version": "4.37.0"})"));
  EXPECT_EQ(instruct.sampling.temperature, 0.7f);
  EXPECT_EQ(instruct.sampling.top_k, 20u);
  EXPECT_EQ(instruct.sampling.top_p, 0.8f);
  EXPECT_EQ(instruct.sampling.min_p, 0.0f);
  EXPECT_EQ(instruct.sampling.repetition_penalty, 1.1f);
  EXPECT_EQ(instruct.eos_token_ids, (std::vector<int32_t>{151645, 151643}));
  ASSERT_OK_AND_ASSIGN(const GenerationConfig base, Parse(R"({
    "bos_token_id": 151643, "do_sample": false, "eos_token_id": 151643, "max_new_tokens": 2048})"));
  EXPECT_EQ(base.sampling.temperature, 0.0f);
  EXPECT_EQ(base.eos_token_ids, (std::vector<int32_t>{151643}));
}

TEST(GenerationConfigTest, SharedOfficialFilesAreRead) {
  QWEN25_REQUIRE_SHARED_DATA(data);
  ASSERT_OK_AND_ASSIGN(const GenerationConfig config,
                       GenerationConfig::Load(data + "/qwen25_tokenizer/generation_config.json"));
  EXPECT_EQ(config.sampling.top_k, 20u);
  EXPECT_EQ(config.eos_token_ids, (std::vector<int32_t>{151645, 151643}));
}

TEST(GenerationConfigTest, WithoutTheFileGreedyAndNoEnds) {
  ASSERT_OK_AND_ASSIGN(const GenerationConfig config,
                       GenerationConfig::Load("no/such/generation_config.json"));
  EXPECT_EQ(config.sampling.temperature, 0.0f);
  EXPECT_TRUE(config.eos_token_ids.empty());
}

TEST(GenerationConfigTest, RefusesWhatNoPublisherCanHaveMeant) {
  EXPECT_ERROR_CONTAINS(Parse("[]"), "generation_config.json: expected a JSON object");
  EXPECT_ERROR_CONTAINS(Parse(R"({"do_sample": true)"), "generation_config.json: not valid JSON");
  EXPECT_ERROR_CONTAINS(Parse(R"({"do_sample": "yes"})"), "\"do_sample\" is \"yes\"");
  EXPECT_ERROR_CONTAINS(Parse(R"({"do_sample": true, "temperature": -0.1})"),
                        "generation_config.json: temperature is -0.1, expected 0");
  EXPECT_ERROR_CONTAINS(Parse(R"({"do_sample": true, "temperature": "hot"})"), "\"temperature\" is \"hot\"");
  EXPECT_ERROR_CONTAINS(Parse(R"({"do_sample": true, "top_p": 1.5})"), "top_p is 1.5");
  EXPECT_ERROR_CONTAINS(Parse(R"({"do_sample": true, "top_k": 2.5})"), "\"top_k\" is 2.5");
  EXPECT_ERROR_CONTAINS(Parse(R"({"do_sample": true, "min_p": 2})"), "min_p is 2");
  EXPECT_ERROR_CONTAINS(Parse(R"({"repetition_penalty": 0})"), "repetition_penalty is 0");
  EXPECT_ERROR_CONTAINS(Parse(R"({"eos_token_id": "<|im_end|>"})"), "\"eos_token_id\" holds \"<|im_end|>\"");
}

// What transformers, vLLM or llama.cpp read so.
TEST(GenerationConfigTest, ValuesThatTurnAStepOffAreRead) {
  ASSERT_OK_AND_ASSIGN(const GenerationConfig config,
                       Parse(R"({"do_sample": true, "temperature": null, "top_k": -1, "top_p": 0})"));
  EXPECT_EQ(config.sampling.top_k, 0u);
  EXPECT_GT(config.sampling.top_p, 0);
  EXPECT_LT(config.sampling.top_p, 1e-30);
  EXPECT_EQ(config.sampling.temperature, 1);
}

TEST(GenerationConfigTest, NumbersThatAreNoIdsEndNothing) {
  ASSERT_OK_AND_ASSIGN(
      const GenerationConfig config,
      Parse(R"({"eos_token_id": [-1, null, 7, 4294967296, 18446744073709551615], "pad_token_id": -1})"));
  EXPECT_EQ(config.eos_token_ids, std::vector<int32_t>{7});
}

}  // namespace
}  // namespace qwen25
