#include "pretrained/sentence_settings.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "base/test_util.h"
#include "pretrained/load_wordpiece.h"
#include "store/gguf.h"

namespace qwen25 {
namespace {

class SentenceSettingsTest : public testing::Test {
 protected:
  void SetUp() override { Modules({"Transformer", "Pooling", "Normalize"}); }

  // Each module has its name as folder; the transformer is the folder itself.
  void Modules(const std::vector<std::string>& names) {
    Json list = Json::array();
    for (const std::string& name : names) {
      list.push_back(
          {{"type", "sentence_transformers.models." + name}, {"path", name == "Transformer" ? "" : name}});
    }
    Write("modules.json", list);
  }
  void Write(const std::string& name, const Json& json) {
    std::filesystem::create_directories((folder_ / name).parent_path());
    ASSERT_OK(WriteFileAtomically(folder_ / name, json.dump()));
  }
  SentenceSettings Read() {
    auto settings = ReadSentenceSettings(folder_);
    EXPECT_OK(settings);
    return settings.ok() && *settings ? std::move(**settings) : SentenceSettings();
  }
  // The folder gets another name.
  void Rename(const std::string& name) {
    const std::filesystem::path next = directory_.path() / name;
    std::filesystem::create_directories(next.parent_path());
    std::filesystem::rename(folder_, next);
    folder_ = next;
  }

  TemporaryDirectory directory_;
  std::filesystem::path folder_ = [this] {
    std::filesystem::create_directories(directory_.path() / "model/Pooling");
    return directory_.path() / "model";
  }();
};

TEST_F(SentenceSettingsTest, MeanPoolingIsReadBack) {
  std::filesystem::remove(folder_ / "modules.json");
  EXPECT_ERROR_CONTAINS(WriteMeanPooling(folder_, true), "config.json");
  Write("config.json", {{"hidden_size", 8}, {"model_type", "qwen2"}});
  for (const bool causal : {false, true}) {
    ASSERT_OK(WriteMeanPooling(folder_, causal));
    const SentenceSettings settings = Read();
    EXPECT_EQ(settings.model, folder_);
    EXPECT_EQ(settings.poolings, std::vector{SentencePooling::kMean});
    EXPECT_EQ(settings.causal, causal);
    ASSERT_OK_AND_ASSIGN(const Json config, ReadJsonFile((folder_ / "config.json").string()));
    EXPECT_EQ(config.at("model_type"), "qwen2");
    EXPECT_EQ(config.contains("is_causal"), !causal);
  }
  Write("config.json", {{"hidden_size", 8}, {"is_causal", "no"}});
  EXPECT_ERROR_CONTAINS(ReadSentenceSettings(folder_), "is_causal");
}

TEST_F(SentenceSettingsTest, ReadsWhatTheFilesState) {
  Write("Pooling/config.json", {{"pooling_mode_cls_token", true}, {"pooling_mode_mean_tokens", true}});
  Write("sentence_bert_config.json", {{"max_seq_length", 77}, {"do_lower_case", true}});
  Write("config_sentence_transformers.json", {{"prompts", {{"query", "q: "}, {"document", "d: "}}}});
  const SentenceSettings settings = Read();
  EXPECT_EQ(settings.model, folder_);
  EXPECT_EQ(settings.poolings, (std::vector{SentencePooling::kCls, SentencePooling::kMean}));
  EXPECT_EQ(settings.max_tokens, 77u);
  EXPECT_TRUE(settings.lowercase);
  EXPECT_EQ(settings.query_prompt, "q: ");
  EXPECT_EQ(settings.passage_prompt, "d: ");
  EXPECT_TRUE(settings.remarks.empty());
}

TEST_F(SentenceSettingsTest, PoolingsHaveOldAndNewNames) {
  Write("Pooling/config.json", {{"pooling_mode", "lasttoken"}});
  EXPECT_EQ(Read().poolings, (std::vector{SentencePooling::kLast}));
  Write("Pooling/config.json", {{"pooling_mode", {"mean", "cls"}}});
  EXPECT_EQ(Read().poolings, (std::vector{SentencePooling::kCls, SentencePooling::kMean}));
  Write("Pooling/config.json", {{"pooling_mode_weightedmean_tokens", true}});
  EXPECT_EQ(Read().poolings, (std::vector{SentencePooling::kWeightedMean}));
  Write("Pooling/config.json", {{"pooling_mode", "median"}});
  EXPECT_ERROR_CONTAINS(ReadSentenceSettings(folder_), "the pooling \"median\" is not known");
  Write("Pooling/config.json", {{"pooling_mode_cls_token", false}});
  EXPECT_ERROR_CONTAINS(ReadSentenceSettings(folder_), "no pooling is switched on");
  Write("Pooling/config.json", {{"pooling_mode_cls_token", "yes"}});
  EXPECT_ERROR_CONTAINS(ReadSentenceSettings(folder_), "pooling_mode_cls_token");
  Write("Pooling/config.json", {{"pooling_mode_cls_token", true}, {"include_prompt", false}});
  EXPECT_ERROR_CONTAINS(ReadSentenceSettings(folder_), "\"include_prompt\" is false");
}

TEST_F(SentenceSettingsTest, ModulesThatAreNotHandledAreNamed) {
  Write("Pooling/config.json", {{"pooling_mode_cls_token", true}});
  Modules({"Transformer", "Pooling", "LSTM"});
  EXPECT_ERROR_CONTAINS(ReadSentenceSettings(folder_),
                        "\"sentence_transformers.models.LSTM\" is not handled");
  Modules({"Transformer"});
  EXPECT_ERROR_CONTAINS(ReadSentenceSettings(folder_), "no modules Transformer and Pooling");
  Modules({"Pooling", "Transformer"});
  EXPECT_ERROR_CONTAINS(ReadSentenceSettings(folder_), "Pooling\" is not handled at its place");
  Write("modules.json", {{"type", "x"}});
  EXPECT_ERROR_CONTAINS(ReadSentenceSettings(folder_), "the document is not a list");
  Modules({"Transformer", "Pooling", "Dense"});
  Write("Dense/config.json",
        {{"in_features", 4}, {"out_features", 2}, {"activation_function", "torch.nn.ReLU"}});
  EXPECT_ERROR_CONTAINS(ReadSentenceSettings(folder_), "\"torch.nn.ReLU\"; handled are Tanh and Identity");
  std::filesystem::remove(folder_ / "modules.json");
  ASSERT_OK_AND_ASSIGN(const auto none, ReadSentenceSettings(folder_));
  EXPECT_FALSE(none);
}

TEST_F(SentenceSettingsTest, FamiliesAreKnownByName) {
  Write("Pooling/config.json", {{"pooling_mode_cls_token", true}});
  EXPECT_EQ(Read().query_prompt, "");
  Rename("e5-small-v2");
  SentenceSettings settings = Read();
  EXPECT_EQ(settings.query_prompt, "query: ");
  EXPECT_EQ(settings.passage_prompt, "passage: ");
  ASSERT_EQ(settings.remarks.size(), 1u);
  EXPECT_NE(settings.remarks[0].find("E5"), std::string::npos);
  Rename("models--BAAI--bge-base-en-v1.5/snapshots/a5beb1e3e68b9ab74eb54cfd186867f64f240e1a");
  settings = Read();
  EXPECT_EQ(settings.query_prompt, "Represent this sentence for searching relevant passages: ");
  EXPECT_EQ(settings.passage_prompt, "");
  // What a file states comes first, and other names that hold the letters are no E5.
  Write("config_sentence_transformers.json", {{"prompts", {{"query", "?"}}}});
  EXPECT_EQ(Read().query_prompt, "?");
  std::filesystem::remove(folder_ / "config_sentence_transformers.json");
  for (const char* other : {"some5-small", "bge-m3", "multilingual-e5-large-instruct"}) {
    Rename(other);
    EXPECT_EQ(Read().query_prompt, "") << other;
  }
  Rename("mine");
  Write("config.json", {{"_name_or_path", "intfloat/e5-base-v2"}});
  EXPECT_EQ(Read().query_prompt, "query: ");
}

TEST_F(SentenceSettingsTest, ReadsGguf) {
  const std::string path = directory_ / "model.gguf";
  const auto write = [&](std::optional<uint32_t> pooling, const char* name) {
    GgufMetadata metadata;
    metadata.SetString("general.architecture", "bert");
    metadata.SetString("general.name", name);
    if (pooling) metadata.SetU32("bert.pooling_type", *pooling);
    QWEN25_TRY(GgufWriter writer, GgufWriter::Open(path, metadata, {}));
    return writer.Commit();
  };
  for (const auto& [type, pooling] :
       {std::pair{1u, SentencePooling::kMean}, {2u, SentencePooling::kCls}, {3u, SentencePooling::kLast}}) {
    ASSERT_OK(write(type, "x"));
    ASSERT_OK_AND_ASSIGN(const auto settings, ReadSentenceSettings(path));
    ASSERT_TRUE(settings);
    EXPECT_EQ(settings->poolings, std::vector{pooling});
  }
  ASSERT_OK(write(1u, "E5 Small v2"));
  ASSERT_OK_AND_ASSIGN(const auto e5, ReadSentenceSettings(path));
  EXPECT_EQ(e5->query_prompt, "query: ");
  ASSERT_OK(write(4u, "x"));
  EXPECT_ERROR_CONTAINS(ReadSentenceSettings(path), "bert.pooling_type");
  ASSERT_OK(write(std::nullopt, "x"));
  ASSERT_OK_AND_ASSIGN(const auto none, ReadSentenceSettings(path));
  EXPECT_FALSE(none);
}

TEST(LoadWordPieceTest, ReadsGgufAndNamesWhatIsWrong) {
  TemporaryDirectory directory;
  const std::string path = directory / "model.gguf";
  const std::vector<std::string> tokens = {"[UNK]", "[CLS]", "[SEP]",   "\u2581un",
                                           "able",  "",      "\u2581,", "\u2581able"};
  struct Parts {
    std::string model = "bert";
    std::vector<int32_t> types = {3, 3, 3, 1, 1, 1, 1, 1};
    uint32_t cls = 1;
    bool lowercase = true;
  };
  const auto load = [&](const Parts& parts, bool lowercase = false) -> Result<WordPieceTokenizer> {
    GgufMetadata metadata;
    metadata.SetString("tokenizer.ggml.model", parts.model);
    metadata.SetStrings("tokenizer.ggml.tokens", tokens);
    metadata.SetI32s("tokenizer.ggml.token_type", parts.types);
    metadata.SetU32("tokenizer.ggml.cls_token_id", parts.cls);
    metadata.SetU32("tokenizer.ggml.seperator_token_id", 2);
    metadata.SetU32("tokenizer.ggml.unknown_token_id", 0);
    metadata.SetBool("tokenizer.ggml.normalizer.lowercase", parts.lowercase);
    QWEN25_TRY(GgufWriter writer, GgufWriter::Open(path, metadata, {}));
    QWEN25_RETURN_IF_ERROR(writer.Commit());
    return LoadWordPiece(path, lowercase);
  };
  const auto ids = [](const WordPieceTokenizer& tokenizer, std::string_view text) {
    std::vector<int32_t> out;
    tokenizer.Encode(text, out);
    return out;
  };
  ASSERT_OK_AND_ASSIGN(const WordPieceTokenizer tokenizer, load({}));
  EXPECT_EQ(ids(tokenizer, "UNABLE, able [SEP] x"), (std::vector<int32_t>{3, 4, 6, 7, 2, 0}));
  EXPECT_EQ(tokenizer.prefix_ids(), std::vector<int32_t>{1});
  EXPECT_EQ(tokenizer.suffix_ids(), std::vector<int32_t>{2});
  ASSERT_OK_AND_ASSIGN(const WordPieceTokenizer cased, load({.lowercase = false}));
  EXPECT_EQ(ids(cased, "UNABLE able"), (std::vector<int32_t>{0, 7}));
  ASSERT_OK_AND_ASSIGN(const WordPieceTokenizer lowered, load({.lowercase = false}, /*lowercase=*/true));
  EXPECT_EQ(ids(lowered, "UNABLE"), (std::vector<int32_t>{3, 4}));
  EXPECT_ERROR_CONTAINS(load({.model = "t5"}), "tokenizer.ggml.model is \"t5\"");
  EXPECT_ERROR_CONTAINS(load({.types = {1}}), "tokenizer.ggml.token_type is not a list of 8 numbers");
  EXPECT_ERROR_CONTAINS(load({.cls = 8}), "tokenizer.ggml.cls_token_id is 8");
}

}  // namespace
}  // namespace qwen25
