#include "model/config.h"

#include <rapidcheck.h>

#include <array>
#include <cmath>
#include <map>

#include "base/test_util.h"

namespace qwen25 {
namespace {

Json OfficialHalfB() {
  return *ParseJson(R"({
    "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151643,
    "hidden_act": "silu", "hidden_size": 896, "initializer_range": 0.02, "intermediate_size": 4864,
    "max_position_embeddings": 32768, "max_window_layers": 24, "model_type": "qwen2", "num_attention_heads": 14,
    "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
    "sliding_window": 32768, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_sliding_window": false,
    "vocab_size": 151936})",
                    "config.json");
}

TEST(ModelConfigTest, ReadsAnOfficialFile) {
  ASSERT_OK_AND_ASSIGN(const ModelConfig config, ModelConfig::FromJson(OfficialHalfB(), "config.json"));
  EXPECT_EQ(config, *FindPreset("0.5b"));
  EXPECT_EQ(config.head_dim, 64u);
  EXPECT_EQ(config.QkvDim(), 14u * 64 + 2 * 2 * 64);
}

// Every official checkpoint: its config.json as published, by family.
struct OfficialModel {
  std::string name, preset;
  uint32_t max_positions;
  double rope_theta;
  float eps;
  int32_t eos;  // 151643 base, 151645 Instruct
};

std::vector<OfficialModel> OfficialModels() {
  constexpr int32_t kBase = 151643, kInstruct = 151645;
  std::vector<OfficialModel> all;
  for (const std::string size : {"0.5b", "1.5b", "3b", "7b", "14b", "32b", "72b"}) {
    const bool large = size == "14b" || size == "32b" || size == "72b";
    const float base_eps = large ? 1e-5f : 1e-6f;
    const uint32_t base_positions = size == "0.5b" || size == "3b" ? 32768 : 131072;
    all.push_back({"Qwen2.5-" + size, size, base_positions, 1e6, base_eps, kBase});
    all.push_back({"Qwen2.5-" + size + "-Instruct", size, 32768, 1e6, 1e-6f, kInstruct});
    if (size != "72b") {
      all.push_back({"Qwen2.5-Coder-" + size, size, 32768, 1e6, base_eps, kBase});
      all.push_back({"Qwen2.5-Coder-" + size + "-Instruct", size, 32768, 1e6, 1e-6f, kInstruct});
    }
    if (size == "1.5b" || size == "7b" || size == "72b") {
      all.push_back({"Qwen2.5-Math-" + size, size, 4096, 1e4, base_eps, kBase});
      all.push_back({"Qwen2.5-Math-" + size + "-Instruct", size, 4096, 1e4, base_eps, kInstruct});
    }
    if (size == "7b" || size == "14b") {
      all.push_back({"Qwen2.5-" + size + "-Instruct-1M", size, 1010000, 1e7, 1e-5f, kInstruct});
    }
  }
  return all;
}

TEST(ModelConfigTest, EveryOfficialModelIsRead) {
  // hidden, layers, heads, key heads, feed-forward, vocabulary, tied
  const std::map<std::string, std::array<uint32_t, 7>> shapes = {
      {"0.5b", {896, 24, 14, 2, 4864, 151936, 1}},  {"1.5b", {1536, 28, 12, 2, 8960, 151936, 1}},
      {"3b", {2048, 36, 16, 2, 11008, 151936, 1}},  {"7b", {3584, 28, 28, 4, 18944, 152064, 0}},
      {"14b", {5120, 48, 40, 8, 13824, 152064, 0}}, {"32b", {5120, 64, 40, 8, 27648, 152064, 0}},
      {"72b", {8192, 80, 64, 8, 29568, 152064, 0}}};
  EXPECT_EQ(OfficialModels().size(), 34u);
  for (const OfficialModel& model : OfficialModels()) {
    const auto& shape = shapes.at(model.preset);
    Json json = OfficialHalfB();
    for (size_t i = 0; i < 6; ++i) {
      const char* const keys[] = {"hidden_size",         "num_hidden_layers", "num_attention_heads",
                                  "num_key_value_heads", "intermediate_size", "vocab_size"};
      json[keys[i]] = shape[i];
    }
    json["tie_word_embeddings"] = shape[6] != 0;
    json["max_position_embeddings"] = model.max_positions;
    json["sliding_window"] = model.max_positions;
    json["max_window_layers"] = shape[1];
    json["rope_theta"] = model.rope_theta;
    json["rms_norm_eps"] = std::stod(fmt::format("{}", model.eps));
    json["eos_token_id"] = model.eos;
    ASSERT_OK_AND_ASSIGN(const ModelConfig config, ModelConfig::FromJson(json, model.name));
    EXPECT_EQ(config.MaxContext(), model.max_positions) << model.name;
    // The preset, but for what differs between families.
    ModelConfig preset = *FindPreset(model.preset);
    if (model.name == "Qwen2.5-" + model.preset) {
      EXPECT_EQ(config, preset);
    }
    preset.max_position_embeddings = model.max_positions;
    preset.rope_theta = model.rope_theta;
    preset.rms_norm_eps = model.eps;
    preset.eos_token_ids = {model.eos};
    EXPECT_EQ(config, preset) << model.name;
  }
}

// As the model cards of the 128k models say, in a file that states the trained length and in one that states
// the stretched one.
TEST(ModelConfigTest, YarnStretchesTheTrainedLength) {
  for (const uint32_t stated : {32768, 131072}) {
    Json json = OfficialHalfB();
    json["max_position_embeddings"] = stated;
    json["rope_scaling"] = {{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}};
    ASSERT_OK_AND_ASSIGN(const ModelConfig config, ModelConfig::FromJson(json, "config.json"));
    EXPECT_EQ(config.MaxContext(), 131072u) << stated;
    EXPECT_EQ(config.rope_scaling->original_max_position_embeddings, 32768u);
  }
}

TEST(ModelConfigTest, SharedOfficialFilesAreReadAndMatchThePreset) {
  QWEN25_REQUIRE_SHARED_DATA(data);
  ASSERT_OK_AND_ASSIGN(const ModelConfig config,
                       ModelConfig::Load(data + "/qwen25_tokenizer/Qwen2.5-0.5B-base.config.json"));
  EXPECT_EQ(config, *FindPreset("0.5b"));
}

// Counts that the publisher states (data/SOURCES.md of the shared data has them with their sources).
TEST(ModelConfigTest, PresetsHaveThePublishedNumberOfParameters) {
  const std::map<std::string, uint64_t> published = {
      {"0.5b", 494032768},      {"1.5b", 1543714304},      {"3b", 3085938688},   {"7b", 7615616512},
      {"14b", 14770033664},     {"32b", 32763876352},      {"72b", 72706203648}, {"qwen3-0.6b", 596049920},
      {"qwen3-8b", 8190735360}, {"qwen3-32b", 32762123264}};
  for (const auto& [name, count] : published) EXPECT_EQ(FindPreset(name)->NumParameters(), count) << name;
}

TEST(ModelConfigTest, EveryPresetIsValidAndSurvivesItsFile) {
  for (const Preset& preset : Presets()) {
    EXPECT_OK(preset.config.Validate(preset.name));
    ASSERT_OK_AND_ASSIGN(const ModelConfig again, ModelConfig::FromJson(preset.config.ToJson(), preset.name));
    EXPECT_EQ(again, preset.config) << preset.name;
  }
  EXPECT_ERROR_CONTAINS(FindPreset("8b"), "there is no preset \"8b\"; there are nano, small");
}

TEST(ModelConfigTest, RefusesByNameWhatItCannotRun) {
  const auto with = [](const char* key, Json value) {
    Json json = OfficialHalfB();
    json[key] = std::move(value);
    return ModelConfig::FromJson(json, "config.json");
  };
  for (const char* name : {"mixtral", "mistral3", "ministral3", "qwen3_moe", "phi3", "gemma3_text"}) {
    EXPECT_ERROR_CONTAINS(
        with("model_type", name),
        fmt::format("config.json: architecture \"{}\" is unknown; this program runs \"qwen2\" "
                    "(Qwen2 and Qwen2.5), \"qwen3\", \"llama\", \"mistral\" and",
                    name));
  }
  EXPECT_ERROR_CONTAINS(with("hidden_act", "gelu"), "activation \"gelu\" is unknown");
  EXPECT_ERROR_CONTAINS(with("num_hidden_layers", 0), "\"num_hidden_layers\" is 0, expected 1 to 256");
  EXPECT_ERROR_CONTAINS(with("num_hidden_layers", 257), "expected 1 to 256");
  EXPECT_ERROR_CONTAINS(with("num_hidden_layers", -3), "\"num_hidden_layers\" is -3");
  EXPECT_ERROR_CONTAINS(with("num_key_value_heads", 3), "is not a multiple of \"num_key_value_heads\" 3");
  EXPECT_ERROR_CONTAINS(with("num_attention_heads", 13), "not a multiple of \"num_attention_heads\" 13");
  EXPECT_ERROR_CONTAINS(with("head_dim", 63), "\"head_dim\" is 63, expected an even number");
  EXPECT_ERROR_CONTAINS(with("hidden_size", "wide"), "\"hidden_size\" is \"wide\"");
  EXPECT_ERROR_CONTAINS(with("rms_norm_eps", 0), "rms_norm_eps");
  EXPECT_ERROR_CONTAINS(with("rope_theta", 0.5), "rope_theta");
  EXPECT_ERROR_CONTAINS(with("eos_token_id", "end"), "expected a token id");
  EXPECT_ERROR_CONTAINS(
      with("rope_scaling", Json{{"rope_type", "su"}, {"factor", 2}}),
      "rope scaling \"su\" is unknown, expected \"linear\", \"yarn\", \"llama3\" or \"longrope\"");
  for (const Json& untyped : {Json{{"factor", 4}}, Json{{"type", ""}, {"factor", 4}}}) {
    EXPECT_ERROR_CONTAINS(with("rope_scaling", untyped),
                          "\"rope_scaling\" has the factor 4 and no \"rope_type\"");
  }
  EXPECT_ERROR_CONTAINS(with("rope_scaling", Json{{"type", "yarn"}, {"factor", 4}, {"truncate", false}}),
                        "rope scaling has \"truncate\" false");
  EXPECT_ERROR_CONTAINS(
      with("rope_scaling",
           Json{{"type", "yarn"}, {"factor", 4}, {"original_max_position_embeddings", 4294967295}}),
      "\"original_max_position_embeddings\" 4294967295 times \"factor\" 4 is more than 16777216");
  EXPECT_ERROR_CONTAINS(with("rope_scaling", 4), "\"rope_scaling\" is not an object");
  EXPECT_ERROR_CONTAINS(with("rope_scaling", Json{{"type", "yarn"}, {"factor", 0.5}}), "\"factor\" is 0.5");
  EXPECT_ERROR_CONTAINS(with("rope_scaling", Json{{"type", "yarn"}, {"factor", 1000}}),
                        "\"max_position_embeddings\" 32768 times \"factor\" 1000 is more than 16777216");
  EXPECT_ERROR_CONTAINS(with("rope_scaling", Json{{"type", "yarn"}, {"attention_factor", -1}}),
                        "\"attention_factor\" is -1");
  EXPECT_ERROR_CONTAINS(with("rope_scaling", Json{{"type", "yarn"}, {"beta_fast", 1}, {"beta_slow", 2}}),
                        "expected beta_fast > beta_slow > 0");
  EXPECT_ERROR_CONTAINS(with("vocab_size", 0), "\"vocab_size\" is 0, expected 1 to 16777216");
  EXPECT_ERROR_CONTAINS(with("intermediate_size", 4294967296), "\"intermediate_size\" is 4294967296");
  EXPECT_ERROR_CONTAINS(with("max_position_embeddings", 0), "\"max_position_embeddings\" is 0");
  EXPECT_ERROR_CONTAINS(with("mlp_bias", true), "mlp_bias");
  Json missing = OfficialHalfB();
  missing.erase("vocab_size");
  EXPECT_ERROR_CONTAINS(ModelConfig::FromJson(missing, "x"), "x: \"vocab_size\" is missing");
  EXPECT_ERROR_CONTAINS(ModelConfig::FromJson(Json::array(), "x"), "expected a JSON object");
}

// Options that are not in use, tokens that no text has, and values for other purposes never block a model.
TEST(ModelConfigTest, WhatDoesNotChangeTheResultIsNoObstacle) {
  const auto with = [](const Json& changes) {
    Json json = OfficialHalfB();
    json.update(changes);
    return ModelConfig::FromJson(json, "config.json");
  };
  ASSERT_OK_AND_ASSIGN(const ModelConfig plain, with(Json::object()));
  const Json full = std::vector<std::string>(24, "full_attention");
  for (const Json& changes : {
           Json{{"use_sliding_window", true}, {"sliding_window", 8}},  // max_window_layers is 24
           Json{{"use_sliding_window", true}, {"sliding_window", 8}, {"max_window_layers", 28}},
           Json{{"use_sliding_window", true}, {"sliding_window", nullptr}, {"max_window_layers", 0}},
           Json{{"use_sliding_window", true}, {"sliding_window", 32768}, {"max_window_layers", 0}},
           Json{{"use_sliding_window", true},
                {"sliding_window", 8},
                {"max_window_layers", 0},
                {"layer_types", full}},
           Json{{"use_sliding_window", nullptr}, {"sliding_window", nullptr}, {"layer_types", full}},
           Json{{"rope_scaling", nullptr}},
           Json{{"rope_scaling", Json::object()}},
           Json{{"rope_scaling", {{"type", "default"}}}},
           Json{{"rope_scaling", {{"rope_type", "default"}, {"mscale", 0.7}, {"truncate", false}}}},
           Json{{"rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}}}},
           Json{{"rope_scaling", {{"type", "mrope"}, {"mrope_section", {16, 24, 24}}}}},
           Json{{"rope_scaling", {{"type", nullptr}, {"factor", 1.0}}}},
           Json{{"model_type", nullptr}},  // "architectures" tells
           Json{{"rope_theta", nullptr},
                {"rope_parameters", {{"rope_theta", 1e6}, {"rope_type", "default"}}}},
           Json{{"rope_theta", nullptr},
                {"rope_parameters", {{"full_attention", {{"rope_theta", 1e6}, {"rope_type", "default"}}}}}},
           Json{{"partial_rotary_factor", 1.0}},
           Json{{"initializer_range", 0}},
           Json{{"initializer_range", nullptr}},
           Json{{"hidden_act", "swish"}},
           Json{{"bos_token_id", 151643}, {"eos_token_id", {151643, 200000, -1, nullptr}}},
           Json{{"pad_token_id", -1},
                {"torch_dtype", nullptr},
                {"dtype", "bfloat16"},
                {"attention_dropout", nullptr}},
           Json{{"architectures", nullptr}, {"auto_map", nullptr}, {"some_new_key", {{"a", 1}}}},
       }) {
    const Result<ModelConfig> config = with(changes);
    ASSERT_TRUE(config.ok()) << changes << ": " << MessageOf(config);
    EXPECT_EQ(*config, plain) << changes << "\n" << config->ToJson();
  }
  ASSERT_OK_AND_ASSIGN(const ModelConfig no_ends,
                       with({{"bos_token_id", -1}, {"eos_token_id", 18446744073709551615u}}));
  EXPECT_FALSE(no_ends.bos_token_id.has_value());
  EXPECT_TRUE(no_ends.eos_token_ids.empty());

  const auto yarn = [&](const Json& more) {
    Json scaling = {{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 8192}};
    scaling.update(more);
    return ComputeRotaryFrequencies(with({{"rope_scaling", scaling}}).value()).score_factor;
  };
  EXPECT_EQ(yarn({{"mscale", 0.7}}), yarn(Json::object()));  // one alone means nothing
  EXPECT_EQ(yarn({{"mscale", 1.0}, {"mscale_all_dim", 1.0}}), 1.0);
  EXPECT_NEAR(yarn({{"mscale", 2.0}, {"mscale_all_dim", 1.0}}),
              std::pow((0.2 * std::log(4) + 1) / (0.1 * std::log(4) + 1), 2), 1e-12);
}

TEST(ModelConfigTest, RefusesFactorsOfFrequenciesThatItCannotRun) {
  const auto with = [](const Json& scaling) {
    Json json = OfficialHalfB();
    json["rope_scaling"] = scaling;
    return ModelConfig::FromJson(json, "config.json");
  };
  Json llama3 = {
      {"rope_type", "llama3"}, {"factor", 8.0}, {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0}};
  ASSERT_OK_AND_ASSIGN(const ModelConfig config, with(llama3));
  EXPECT_EQ(config.rope_scaling->original_max_position_embeddings, 32768u);  // max_position_embeddings
  EXPECT_EQ(config.MaxContext(), 32768u);
  for (const char* key : {"factor", "low_freq_factor", "high_freq_factor"}) {
    Json missing = llama3;
    missing.erase(key);
    EXPECT_ERROR_CONTAINS(with(missing), fmt::format("rope scaling \"llama3\" has no \"{}\"", key));
  }
  llama3["low_freq_factor"] = 4.0;
  EXPECT_ERROR_CONTAINS(with(llama3), "factors are 4 and 4, expected high_freq_factor > low_freq_factor > 0");
  const std::vector<double> some(32, 2.0), others(32, 3.0);
  Json longrope = {{"type", "longrope"}};
  EXPECT_ERROR_CONTAINS(with(longrope), "rope scaling \"longrope\" has no list \"short_factor\"");
  longrope.update(
      {{"short_factor", some}, {"long_factor", some}, {"original_max_position_embeddings", 4096}});
  ASSERT_OK_AND_ASSIGN(const ModelConfig equal, with(longrope));
  EXPECT_NEAR(equal.rope_scaling->attention_factor, std::sqrt(1 + std::log(8) / std::log(4096)), 1e-12);
  longrope["long_factor"] = others;
  EXPECT_ERROR_CONTAINS(with(longrope),
                        "changes from \"short_factor\" to \"long_factor\" beyond 4096 positions");
  longrope["original_max_position_embeddings"] = 32768;
  ASSERT_OK_AND_ASSIGN(const ModelConfig within, with(longrope));
  EXPECT_EQ(within.rope_scaling->divisors, some);
  EXPECT_EQ(within.rope_scaling->attention_factor, 1);
  longrope["short_factor"] = std::vector<double>(31, 2.0);
  EXPECT_ERROR_CONTAINS(with(longrope), "has 31 factors, expected 32");
  longrope["short_factor"] = std::vector<double>(32, 0.0);
  EXPECT_ERROR_CONTAINS(with(longrope), "has the factor 0, expected 0.001 to 1000000");
}

TEST(ModelConfigTest, LlamaModelsHaveTheirOwnDefaultLength) {
  Json json = OfficialHalfB();
  json.erase("max_position_embeddings");
  EXPECT_EQ(ModelConfig::FromJson(json, "config.json")->max_position_embeddings, 32768u);
  json["model_type"] = "llama";
  EXPECT_EQ(ModelConfig::FromJson(json, "config.json")->max_position_embeddings, 2048u);
}

// Each as transformers' class reads it.
TEST(ModelConfigTest, SlidingWindowsAreRead) {
  const auto read = [](const Json& changes) {
    Json json = OfficialHalfB();
    json.erase("sliding_window");
    json.update(changes);
    Result<ModelConfig> config = ModelConfig::FromJson(json, "config.json");
    if (config.ok()) {
      const Result<ModelConfig> again = ModelConfig::FromJson(config->ToJson(), "again");
      EXPECT_TRUE(again.ok() && *again == *config) << changes << MessageOf(again);
    }
    return config;
  };
  const auto sliding = [](const ModelConfig& config) {
    std::vector<size_t> layers;
    for (size_t i = 0; i < config.num_hidden_layers; ++i) {
      if (config.WindowOf(i) != 0) layers.push_back(i);
    }
    return layers;
  };
  ASSERT_OK_AND_ASSIGN(
      ModelConfig config,
      read({{"use_sliding_window", true}, {"sliding_window", 8}, {"max_window_layers", 22}}));
  EXPECT_EQ(config.sliding_window, 8u);
  EXPECT_EQ(sliding(config), (std::vector<size_t>{22, 23}));
  EXPECT_EQ(config.ToJson()["max_window_layers"], 22);
  const double far = config.ForwardFlopsPerToken(1000), near = config.ForwardFlopsPerToken(8);
  EXPECT_DOUBLE_EQ(far - near, 4.0 * 22 * 992 * static_cast<double>(config.QueryDim()));
  Json kinds = std::vector<std::string>(24, "full_attention");
  kinds[3] = "sliding_attention";
  ASSERT_OK_AND_ASSIGN(config, read({{"use_sliding_window", true}, {"layer_types", kinds}}));
  EXPECT_EQ(config.sliding_window, 4096u);
  EXPECT_EQ(sliding(config), std::vector<size_t>{3});
  ASSERT_OK_AND_ASSIGN(config, read({{"model_type", "mistral"}}));
  EXPECT_EQ(config.WindowOf(23), 4096u);
  EXPECT_EQ(config.model_type, "mistral");
  EXPECT_EQ(config.ToJson()["architectures"][0], "MistralForCausalLM");
  ASSERT_OK_AND_ASSIGN(config, read({{"model_type", "mistral"}, {"sliding_window", nullptr}}));
  EXPECT_TRUE(sliding(config).empty());
  ASSERT_OK_AND_ASSIGN(config,
                       read({{"model_type", "mistral"}, {"sliding_window", 8}, {"layer_types", kinds}}));
  EXPECT_EQ(config.model_type, "ministral");
  EXPECT_EQ(sliding(config), std::vector<size_t>{3});
  ASSERT_OK_AND_ASSIGN(config, read({{"model_type", "ministral"}, {"sliding_window", 40000}}));
  EXPECT_TRUE(sliding(config).empty());
  EXPECT_ERROR_CONTAINS(
      read({{"layer_types", kinds}}),
      "has \"sliding_attention\", but there is no window (\"use_sliding_window\" is false)");
  kinds.erase(0);
  EXPECT_ERROR_CONTAINS(read({{"layer_types", kinds}}),
                        "\"layer_types\" is a list of 23, expected a list of \"num_hidden_layers\" 24 names");
  EXPECT_ERROR_CONTAINS(
      read({{"rope_parameters",
             {{"full_attention", {{"rope_theta", 1e6}}}, {"sliding_attention", {{"rope_theta", 1e4}}}}}}),
      "differs between \"full_attention\" and \"sliding_attention\"");
}

TEST(ModelConfigTest, WhatChangesTheResultIsRefused) {
  const auto with = [](const Json& changes) {
    Json json = OfficialHalfB();
    json.update(changes);
    return ModelConfig::FromJson(json, "config.json");
  };
  Json kinds = std::vector<std::string>(24, "full_attention");
  kinds[3] = "linear_attention";
  EXPECT_ERROR_CONTAINS(with({{"layer_types", kinds}}), "\"layer_types\" has \"linear_attention\"");
  EXPECT_ERROR_CONTAINS(with({{"partial_rotary_factor", 0.5}}), "\"partial_rotary_factor\" is 0.5");
  EXPECT_ERROR_CONTAINS(
      with({{"rope_parameters", {{"rope_type", "default"}, {"partial_rotary_factor", 0.25}}}}),
      "\"partial_rotary_factor\" is 0.25");
}

TEST(ModelConfigTest, RefusesFilesThatAreNoConfiguration) {
  const auto parse = [](const std::string& text) -> Status {
    QWEN25_TRY(const Json json, ParseJson(text, "config.json"));
    return ModelConfig::FromJson(json, "config.json").status();
  };
  const std::string good = OfficialHalfB().dump();
  EXPECT_OK(parse(good));
  EXPECT_ERROR_CONTAINS(parse(""), "config.json: not valid JSON");
  EXPECT_ERROR_CONTAINS(parse(good.substr(0, good.size() - 1)), "config.json: not valid JSON");
  EXPECT_ERROR_CONTAINS(parse(good + "}"), "config.json: not valid JSON");
  EXPECT_ERROR_CONTAINS(parse("{\"model_type\": \"\xFF\"}"), "config.json: not valid JSON");
  EXPECT_ERROR_CONTAINS(parse(std::string(100, '[') + std::string(100, ']')), "nested deeper than 64 levels");
  EXPECT_ERROR_CONTAINS(parse("version https://git-lfs.github.com/spec/v1\n"), "config.json: not valid JSON");
  EXPECT_ERROR_CONTAINS(parse("null"), "config.json: expected a JSON object");
  EXPECT_ERROR_CONTAINS(parse("{}"), "config.json: architecture \"\" is unknown");
}

// Found by the fuzzer: a stretched configuration without the trained length, or a linear one with YaRN's
// fields, was written differently from how it had been read.
TEST(ModelConfigTest, RotaryStretchingReadsBackAsItIsWritten) {
  for (const Json& scaling : {Json{{"type", "yarn"}, {"factor", 2.0}},
                              Json{{"type", "linear"}, {"factor", 2.0}, {"beta_slow", 3.0}},
                              Json{{"rope_type", "llama3"},
                                   {"factor", 8.0},
                                   {"low_freq_factor", 1.0},
                                   {"high_freq_factor", 4.0},
                                   {"attention_factor", 3.0},
                                   {"original_max_position_embeddings", 8192}},
                              Json{{"type", "longrope"},
                                   {"factor", 2.0},
                                   {"short_factor", std::vector<double>(32, 1.5)},
                                   {"long_factor", std::vector<double>(32, 1.5)}},
                              Json{{"type", "yarn"}, {"factor", 2.0}, {"attention_factor", 1.5}}}) {
    Json json = OfficialHalfB();
    json["rope_scaling"] = scaling;
    ASSERT_OK_AND_ASSIGN(const ModelConfig config, ModelConfig::FromJson(json, "config.json"));
    ASSERT_OK_AND_ASSIGN(const ModelConfig again, ModelConfig::FromJson(config.ToJson(), "config.json"));
    EXPECT_EQ(again, config) << scaling.dump();
  }
}

TEST(ModelConfigTest, ArbitraryValuesNeverCrash) {
  EXPECT_TRUE(rc::check("any value under any key gives a config or an error", [] {
    Json json = OfficialHalfB();
    std::vector<std::string> keys;
    for (const auto& [key, value] : json.items()) keys.push_back(key);
    const auto& key = keys[*rc::gen::inRange<size_t>(0, keys.size())];
    switch (*rc::gen::inRange(0, 4)) {
      case 0:
        json[key] = *rc::gen::arbitrary<int64_t>();
        break;
      case 1:
        json[key] = *rc::gen::arbitrary<double>();
        break;
      case 2:
        json[key] = nullptr;
        break;
      default:
        json[key] = Json::array({1, "x"});
        break;
    }
    const auto config = ModelConfig::FromJson(json, "config.json");
    if (config.ok()) RC_ASSERT(config->Validate("again").ok());
  }));
}

// The wanted numbers are those of transformers 5.23: ROPE_INIT_FUNCTIONS["yarn"].
TEST(RotaryFrequenciesTest, YarnMatchesTransformers) {
  ModelConfig config = *FindPreset("7b");
  config.rope_scaling = RopeScaling{.type = "yarn", .factor = 4, .original_max_position_embeddings = 32768};
  RotaryFrequencies rotary = ComputeRotaryFrequencies(config);
  EXPECT_NEAR(rotary.score_factor, 1.138629436111989 * 1.138629436111989, 1e-12);
  const std::map<size_t, double> wanted = {{0, 1.0},
                                           {10, 0.11547820270061493},
                                           {20, 0.01333521492779255},
                                           {25, 0.004131738096475601},
                                           {30, 0.0010643609566614032},
                                           {35, 0.0002462583943270147},
                                           {40, 4.4456985051510856e-05},
                                           {63, 3.102344408034696e-07}};
  for (const auto& [i, value] : wanted) EXPECT_NEAR(rotary.inverse_frequencies[i] / value, 1.0, 1e-6) << i;

  config = *FindPreset("nano");
  config.rope_theta = 1e4;
  config.rope_scaling = RopeScaling{.type = "yarn", .factor = 8, .original_max_position_embeddings = 256};
  rotary = ComputeRotaryFrequencies(config);
  EXPECT_NEAR(rotary.inverse_frequencies[1] / 0.4920486509799957, 1.0, 1e-6);
  EXPECT_NEAR(rotary.inverse_frequencies[5] / 0.02108779549598694, 1.0, 1e-6);
  EXPECT_NEAR(rotary.inverse_frequencies[15] / 2.2228492525755428e-05, 1.0, 1e-6);
}

// The wanted numbers are those of transformers 5.24: ROPE_INIT_FUNCTIONS["llama3"] with Llama 3.1's numbers.
TEST(RotaryFrequenciesTest, Llama3MatchesTransformersAndIsKnownByItsFactors) {
  ModelConfig config = *FindPreset("7b");
  config.rope_theta = 500000;
  config.rope_scaling = RopeScaling{.type = "llama3", .factor = 8, .original_max_position_embeddings = 8192};
  const std::vector<double> found = ComputeRotaryFrequencies(config).inverse_frequencies;
  const std::map<size_t, double> wanted = {{0, 1.0},
                                           {10, 0.12868738174438477},
                                           {28, 0.0032114461064338684},
                                           {29, 0.0021665706299245358},
                                           {31, 0.0008567514596506953},
                                           {33, 0.0003126936499029398},
                                           {35, 9.556212171446532e-05},
                                           {36, 7.784655463183299e-05},
                                           {50, 4.411534519022098e-06},
                                           {63, 3.068925877869333e-07}};
  for (const auto& [i, value] : wanted) EXPECT_NEAR(found[i] / value, 1.0, 1e-6) << i;
  const std::vector<float> divisors = DivisorsOf(*config.rope_scaling, config.head_dim, config.rope_theta);
  const std::vector<double> stated(divisors.begin(), divisors.end());
  EXPECT_EQ(RopeScalingByDivisors(stated, config.rope_theta, 131072), config.rope_scaling);
  EXPECT_FALSE(RopeScalingByDivisors(std::vector<double>(64, 1.0), config.rope_theta, 131072));
  EXPECT_EQ(RopeScalingByDivisors(std::vector<double>(64, 2.0), config.rope_theta, 131072)->type, "longrope");
}

TEST(ModelConfigTest, Qwen3ConfigurationsAreRead) {
  Json json = OfficialHalfB();
  json["model_type"] = "qwen3";
  json["architectures"] = {"Qwen3ForCausalLM"};
  ASSERT_OK_AND_ASSIGN(ModelConfig config, ModelConfig::FromJson(json, "config.json"));
  EXPECT_EQ(config.head_dim, 128u);  // of the class
  EXPECT_FALSE(config.attention_bias);
  ASSERT_OK_AND_ASSIGN(const ModelConfig again, ModelConfig::FromJson(config.ToJson(), "config.json"));
  EXPECT_EQ(again, config);
  const uint64_t plain = config.NumParameters();
  json["attention_bias"] = true;
  ASSERT_OK_AND_ASSIGN(config, ModelConfig::FromJson(json, "config.json"));
  EXPECT_TRUE(config.attention_output_bias);
  EXPECT_EQ(config.NumParameters() - plain, 24u * (config.QkvDim() + config.hidden_size));
}

TEST(ModelConfigTest, CountsOperationsAndBytes) {
  const ModelConfig config = *FindPreset("0.5b");
  // 12 KiB in float16, as docs of other engines state.
  EXPECT_EQ(config.KvBytesPerToken(KvFormat::kFloat32), 24576u);
  EXPECT_EQ(config.KvBytesPerToken(KvFormat::kFloat16), 12288u);
  EXPECT_EQ(config.KvBytesPerToken(KvFormat::kInt8), 6528u);
  EXPECT_NEAR(config.ForwardFlopsPerToken(0), 2.0 * 494032768, 2.0 * 494032768 * 0.001);
}

}  // namespace
}  // namespace qwen25
