#include "knowledge/load_embedder.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/file.h"
#include "base/test_util.h"
#include "infer/embed_texts.h"
#include "infer/tiny_model_test_util.h"

namespace qwen25 {
namespace {

const std::string kFixtures = SourcePath("tests/reference/fixtures/");

std::vector<float> EmbedOne(Embedder& embedder, EmbedKind kind, const std::string& text) {
  std::vector<float> out(embedder.id().dimension);
  EXPECT_OK(embedder.Embed(kind, {&text, 1}, out));
  return out;
}

TEST(LoadEmbedderTest, EncodersPutTheirPromptsBeforeTexts) {
  const std::string path = "model:" + kFixtures + "encoder_dense";
  ASSERT_OK_AND_ASSIGN(const LoadedEmbedder stated, LoadEmbedder({.embedder = path}));
  ASSERT_OK_AND_ASSIGN(const LoadedEmbedder none,
                       LoadEmbedder({.embedder = path, .prompts = {.query = "", .passage = ""}}));
  EXPECT_EQ(stated.embedder->id().dimension, 20u);
  EXPECT_NE(stated.embedder->id(), none.embedder->id());
  const std::string text = "the cat";
  EXPECT_NE(EmbedOne(*stated.embedder, EmbedKind::kQuery, text),
            EmbedOne(*stated.embedder, EmbedKind::kPassage, text));
  EXPECT_EQ(EmbedOne(*none.embedder, EmbedKind::kQuery, text),
            EmbedOne(*none.embedder, EmbedKind::kPassage, text));
  EXPECT_EQ(EmbedOne(*stated.embedder, EmbedKind::kQuery, text),
            EmbedOne(*none.embedder, EmbedKind::kQuery, "a question: " + text));
}

// A folder as that of Qwen3-Embedding: a decoder, pooled at the last token, which the tokenizer's template
// adds.
TEST(LoadEmbedderTest, LanguageModelsWithModulesEmbedAsTheseSay) {
  TemporaryDirectory directory;
  const std::filesystem::path folder = directory.path() / "model";
  TokenizerSpec spec = ByteTokenizer().spec();
  spec.suffix_ids = {256};
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::FromSpec(spec, "test"));
  ASSERT_OK(tokenizer.Save(folder));
  Model model(TinyConfig(257));
  model.Initialize(5);
  ASSERT_OK(model.Save(folder));
  const std::string module = "sentence_transformers.models.";
  ASSERT_OK(WriteFileAtomically(folder / "modules.json",
                                DumpJson({{{"path", ""}, {"type", module + "Transformer"}},
                                          {{"path", "1_Pooling"}, {"type", module + "Pooling"}},
                                          {{"path", "2_Normalize"}, {"type", module + "Normalize"}}})));
  ASSERT_OK(CreateDirectories(folder / "1_Pooling"));
  ASSERT_OK(WriteFileAtomically(folder / "1_Pooling/config.json", R"({"pooling_mode_lasttoken": true})"));
  ASSERT_OK(WriteFileAtomically(folder / "config_sentence_transformers.json",
                                R"({"prompts": {"query": "Query:", "document": ""}})"));
  ASSERT_OK_AND_ASSIGN(const LoadedEmbedder loaded, LoadEmbedder({.embedder = "model:" + folder.string()}));
  EXPECT_EQ(loaded.embedder->fusion_weight(), 0.5);
  for (const auto& [kind, prompt] : {std::pair{EmbedKind::kQuery, "Query:"}, {EmbedKind::kPassage, ""}}) {
    std::vector<int32_t> ids = tokenizer.Encode(std::string(prompt) + "a text");
    ids.push_back(256);
    std::vector<float> wanted(loaded.embedder->id().dimension);
    ASSERT_OK(EmbedTokens(*loaded.model->engine, EmbedPooling::kCausalLast, 512, {&ids, 1}, wanted));
    EXPECT_EQ(EmbedOne(*loaded.embedder, kind, "a text"), wanted) << prompt;
  }
  // Flags have the last word.
  ASSERT_OK_AND_ASSIGN(const LoadedEmbedder mean,
                       LoadEmbedder({.embedder = "model:" + folder.string(), .pooling = "causal-mean"}));
  EXPECT_NE(mean.embedder->id(), loaded.embedder->id());
  ASSERT_OK(WriteFileAtomically(folder / "1_Pooling/config.json", R"({"pooling_mode_cls_token": true})"));
  EXPECT_ERROR_CONTAINS(LoadEmbedder({.embedder = "model:" + folder.string()}),
                        "states the pooling \"cls\"; of language models, mean and lasttoken");
}

// A folder as training writes it.
TEST(LoadEmbedderTest, AttentionIsAsTheConfigurationStates) {
  TemporaryDirectory directory;
  const std::filesystem::path folder = directory.path() / "model";
  const Tokenizer tokenizer = ByteTokenizer();
  ASSERT_OK(tokenizer.Save(folder));
  Model model(TinyConfig(257));
  model.Initialize(5);
  ASSERT_OK(model.Save(folder));
  for (const bool causal : {false, true}) {
    ASSERT_OK(WriteMeanPooling(folder, causal));
    ASSERT_OK_AND_ASSIGN(const LoadedEmbedder loaded, LoadEmbedder({.embedder = "model:" + folder.string()}));
    EXPECT_EQ(loaded.embedder->fusion_weight(), 0.5);
    const std::vector<int32_t> ids = tokenizer.Encode("a text");
    std::vector<float> wanted(loaded.embedder->id().dimension);
    const EmbedPooling pooling = causal ? EmbedPooling::kCausalMean : EmbedPooling::kBidirectionalMean;
    ASSERT_OK(EmbedTokens(*loaded.model->engine, pooling, 512, {&ids, 1}, wanted));
    EXPECT_EQ(EmbedOne(*loaded.embedder, EmbedKind::kPassage, "a text"), wanted) << causal;
  }
  // Not read as if it were causal.
  ASSERT_OK(WriteMeanPooling(folder, /*causal=*/false));
  ASSERT_OK(WriteFileAtomically(folder / "1_Pooling/config.json", R"({"pooling_mode_lasttoken": true})"));
  EXPECT_ERROR_CONTAINS(LoadEmbedder({.embedder = "model:" + folder.string()}), "is_causal");
}

TEST(LoadEmbedderTest, FlagsThatDoNotFitAreNamed) {
  const std::string path = "model:" + kFixtures + "encoder_mean";
  EXPECT_ERROR_CONTAINS(LoadEmbedder({.embedder = path, .pooling = "causal-last"}), "is a sentence encoder");
  EXPECT_ERROR_CONTAINS(LoadEmbedder({.embedder = path, .weights = "int3"}), "int3");
  EXPECT_ERROR_CONTAINS(LoadEmbedder({.embedder = "model:/nowhere"}), "/nowhere");
  EXPECT_ERROR_CONTAINS(LoadEmbedder({.embedder = "words"}), "expected hashed");
}

TEST(LoadEmbedderTest, ASettingIsReadBack) {
  EXPECT_TRUE(rc::check([] {
    EmbedderChoice choice = {.embedder = "model:/a folder/x", .window = *rc::gen::inRange(1u, 9999u)};
    choice.pooling = *rc::gen::element<std::string>("auto", "causal-mean");
    choice.weights = *rc::gen::element<std::string>("stored", "int8");
    const auto prompt = rc::gen::map(rc::gen::string<std::string>(), [](std::string text) {
      for (char& c : text) c &= 0x7F;
      return text;
    });
    if (*rc::gen::arbitrary<bool>()) choice.prompts.query = *prompt;
    if (*rc::gen::arbitrary<bool>()) choice.prompts.passage = *prompt;
    EmbedderChoice read;
    RC_ASSERT(EmbedderFromSetting(EmbedderSetting(choice), read));
    RC_ASSERT(read.embedder == choice.embedder && read.window == choice.window);
    RC_ASSERT(read.pooling == choice.pooling && read.weights == choice.weights);
    RC_ASSERT(read.prompts.query == choice.prompts.query && read.prompts.passage == choice.prompts.passage);
  }));
  EmbedderChoice old;
  EXPECT_TRUE(EmbedderFromSetting("bidirectional-mean 512 stored model:/m", old));
  EXPECT_EQ(old.pooling, "bidirectional-mean");
  for (const char* damaged :
       {"", "{", "{}", R"({"embedder": "model:x", "window": 0})", "causal-mean 0 stored model:x"}) {
    EmbedderChoice choice;
    EXPECT_FALSE(EmbedderFromSetting(damaged, choice)) << damaged;
  }
}

}  // namespace
}  // namespace qwen25
