#include "pretrained/adapter/peft_config.h"

#include <cmath>

#include "base/test_util.h"

namespace qwen25 {
namespace {

Result<PeftConfig> Read(const std::string& fields) {
  QWEN25_TRY(const Json json, ParseJson(R"({"peft_type": "LORA")" + fields + "}", "test"));
  return PeftConfig::FromJson(json, "adapter_config.json");
}

TEST(PeftConfigTest, TheScaleIsAlphaOverTheRankOrItsRoot) {
  ASSERT_OK_AND_ASSIGN(const PeftConfig plain, Read(R"(, "r": 4, "lora_alpha": 6)"));
  EXPECT_EQ(plain.RankOf("model.layers.0.mlp.up_proj"), 4u);
  EXPECT_EQ(plain.ScaleOf("model.layers.0.mlp.up_proj", 4), 1.5);
  ASSERT_OK_AND_ASSIGN(const PeftConfig root, Read(R"(, "r": 4, "lora_alpha": 6, "use_rslora": true)"));
  EXPECT_EQ(root.ScaleOf("model.layers.0.mlp.up_proj", 4), 3);
  ASSERT_OK_AND_ASSIGN(const PeftConfig defaults, Read(""));
  EXPECT_EQ(defaults.RankOf("lm_head"), 8u);
  EXPECT_EQ(defaults.ScaleOf("lm_head", 8), 1);
}

// The rule of PEFT's get_pattern_key: the first pattern that is the module's name or matches its end from a
// dot on.
TEST(PeftConfigTest, PatternsMatchTheEndsOfNames) {
  ASSERT_OK_AND_ASSIGN(const PeftConfig config, Read(R"(, "r": 8, "lora_alpha": 8,
      "rank_pattern": {"layers.1.mlp.up_proj": 2, "up_proj": 3, ".*attn.(q|k)_proj": 5, "^lm_head": 6},
      "alpha_pattern": {"down_proj": 16, "self_attn": 99})"));
  EXPECT_EQ(config.RankOf("model.layers.1.mlp.up_proj"), 2u);
  EXPECT_EQ(config.RankOf("model.layers.11.mlp.up_proj"), 3u);
  EXPECT_EQ(config.RankOf("model.layers.0.self_attn.k_proj"), 5u);
  EXPECT_EQ(config.RankOf("model.layers.0.self_attn.v_proj"), 8u);
  EXPECT_EQ(config.RankOf("lm_head"), 6u);
  EXPECT_EQ(config.RankOf("model.layers.0.mlp.ungate_up_proj"), 8u);
  EXPECT_EQ(config.ScaleOf("model.layers.0.mlp.down_proj", 8), 2);
  EXPECT_EQ(config.ScaleOf("model.layers.0.self_attn.q_proj", 8), 1);
}

TEST(PeftConfigTest, WhatDoesNotChangeTheResultIsRead) {
  EXPECT_OK(Read(R"(, "fan_in_fan_out": true, "lora_dropout": 0.1, "bias": "none", "modules_to_save": null,
      "target_modules": "all-linear", "init_lora_weights": "gaussian", "use_dora": false, "megatron_config": null,
      "loftq_config": {}, "a_setting_of_the_future": null, "another": false, "layer_replication": [])"));
}

struct BadConfig {
  std::string fields;
  std::string message;
};
TEST(PeftConfigTest, OtherSettingsAreRefusedByNameWithAdvice) {
  const BadConfig cases[] = {
      {R"(, "use_dora": true)", "use_dora is true"},
      {R"(, "modules_to_save": ["lm_head"])", "modules_to_save is [\"lm_head\"]"},
      {R"(, "bias": "all")", "bias is \"all\""},
      {R"(, "lora_bias": true)", "lora_bias"},
      {R"(, "use_qalora": true)", "use_qalora"},
      {R"(, "trainable_token_indices": [1])", "trainable_token_indices"},
      {R"(, "alora_invocation_tokens": [1])", "alora_invocation_tokens"},
      {R"(, "layer_replication": [[0, 2], [1, 3]])", "layer_replication"},
      {R"(, "target_parameters": ["x"])", "target_parameters"},
      {R"(, "a_setting_of_the_future": 1)", "a_setting_of_the_future is 1"},
      {R"(, "init_lora_weights": "pissa_niter_4")", "may change the base model"},
      {R"(, "init_lora_weights": 3)", "init_lora_weights is 3"},
  };
  for (const BadConfig& bad : cases) {
    const Result<PeftConfig> config = Read(bad.fields);
    EXPECT_ERROR_CONTAINS(config, bad.message);
    EXPECT_ERROR_CONTAINS(config, "merge it into its base model");
    EXPECT_EQ(config.status().code(), StatusCode::kUnsupported) << bad.fields;
  }
  EXPECT_ERROR_CONTAINS(PeftConfig::FromJson(ParseJson(R"({"peft_type": "IA3"})", "x").value(), "x"),
                        "peft_type is \"IA3\"");
  EXPECT_ERROR_CONTAINS(PeftConfig::FromJson(Json::object(), "x"), "peft_type is not stated");
  EXPECT_ERROR_CONTAINS(PeftConfig::FromJson(Json::array(), "x"), "not a JSON object");
}

TEST(PeftConfigTest, ValuesOutOfRangeAreRefused) {
  const BadConfig cases[] = {
      {R"(, "r": 0)", "r is 0, expected a number from 1"},
      {R"(, "r": "8")", "r is \"8\""},
      {R"(, "r": null)", "r is null"},
      {R"(, "lora_alpha": 1e300)", "lora_alpha is 1e+300"},
      {R"(, "lora_alpha": [])", "lora_alpha is []"},
      {R"(, "use_rslora": 1)", "use_rslora"},
      {R"(, "rank_pattern": [1])", "rank_pattern is [1]"},
      {R"(, "rank_pattern": {"q_proj": 0})", "rank_pattern \"q_proj\" is 0"},
      {R"(, "alpha_pattern": {"q_proj": true})", "alpha_pattern \"q_proj\" is true"},
      {R"(, "rank_pattern": {"(q_proj": 2})", "adapter_config.json"},
  };
  for (const BadConfig& bad : cases) EXPECT_ERROR_CONTAINS(Read(bad.fields), bad.message);
}

}  // namespace
}  // namespace qwen25
