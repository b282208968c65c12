// Pipelines of many kinds, each with ids and decoded texts by Hugging Face tokenizers (fixtures made by
// tests/reference/make_tokenizer_fixtures.py).
#include <rapidcheck.h>

#include "base/file.h"
#include "base/json.h"
#include "base/test_util.h"
#include "text/text_normalizer.h"
#include "text/tokenizer.h"
#include "text/tokenizer_files.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

const std::string kFixtures = SourcePath("tests/reference/fixtures/");

// The base's tokenizer.json with the pipeline of `kind`.
Json DocumentOf(const Json& kind) {
  Json document =
      *ReadJsonFile(kFixtures + "tokenizer_" + kind["base"].get<std::string>() + "/tokenizer.json");
  for (const auto& [part, value] : kind["pipeline"].items()) document[part] = value;
  for (const auto& [key, value] : kind["model"].items()) document["model"][key] = value;
  if (!kind["unk_id"].is_null()) document["model"]["vocab"]["<unk>"] = kind["unk_id"];
  for (const Json& token : kind["missing"]) document["model"]["vocab"].erase(token.get<std::string>());
  document["added_tokens"] = Json::array();
  return document;
}

std::vector<Json> Kinds() {
  const Json all = *ReadJsonFile(kFixtures + "tokenizer_kinds.json");
  return {all.begin(), all.end()};
}

Result<Tokenizer> Build(const Json& document, const std::string& name) {
  QWEN25_TRY(TokenizerSpec spec, ParseTokenizerJson(document.dump(), name));
  return Tokenizer::FromSpec(std::move(spec), name);
}

TEST(TokenizerKindsTest, EqualsHuggingFaceTokenizers) {
  const std::vector<Json> kinds = Kinds();
  ASSERT_GT(kinds.size(), 30u);
  for (const Json& kind : kinds) {
    const auto name = kind["name"].get<std::string>();
    const Json document = DocumentOf(kind);
    ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Build(document, name));
    TemporaryDirectory directory;
    ASSERT_OK(tokenizer.Save(directory.path()));
    ASSERT_OK_AND_ASSIGN(const Tokenizer saved, Tokenizer::Load(directory.path()));
    ASSERT_OK_AND_ASSIGN(const Json written, ReadJsonFile(directory.path() / "tokenizer.json"));
    for (const char* part : {"normalizer", "pre_tokenizer"}) EXPECT_EQ(written[part], document[part]) << name;
    for (const Json& item : kind["cases"]) {
      const auto text = item[0].get<std::string>();
      const auto ids = item[1].get<std::vector<int32_t>>();
      EXPECT_EQ(tokenizer.Encode(text, {.add_bos = true, .add_eos = true}), ids) << name << ": " << text;
      EXPECT_EQ(saved.Encode(text, {.add_bos = true, .add_eos = true}), ids) << name << ": " << text;
      EXPECT_EQ(tokenizer.Decode(ids), item[2].get<std::string>()) << name << ": " << text;
      StreamDecoder decoder(tokenizer);
      std::string streamed;
      for (const int32_t id : ids) streamed += decoder.Next(id);
      EXPECT_EQ(streamed + decoder.Finish(), tokenizer.Decode(ids)) << name << ": " << text;
    }
  }
}

// Where neither normalizer nor pre-tokenizer takes anything away, decoding gives the text back.
TEST(TokenizerKindsTest, DecodingGivesTheTextBack) {
  for (const char* wanted : {"llama3", "gpt4o", "deepseek3", "bloom", "kimi", "superbpe", "merged_with_next",
                             "contiguous", "digits_run", "llama2", "gemma", "falcon"}) {
    for (const Json& kind : Kinds()) {
      if (kind["name"] != wanted) continue;
      ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Build(DocumentOf(kind), wanted));
      EXPECT_TRUE(rc::check(wanted, [&](const std::string& noise) {
        std::string text = noise + " It's 1234 caf\u00e9\n " + noise;
        std::erase(text, '\xE2');  // no U+2581, which stands for a space in some
        RC_ASSERT(tokenizer.Decode(tokenizer.Encode(text)) == RepairUtf8(text));
      }));
    }
  }
}

// The marks of the library's version of Unicode: some have another category since, and some are new.
TEST(TokenizerKindsTest, AccentsAreThoseOfTheReference) {
  const NormalizerStep strip = {.kind = NormalizerStep::Kind::kStripAccents};
  ASSERT_OK_AND_ASSIGN(const TextNormalizer normalizer, TextNormalizer::Create({&strip, 1}, "test"));
  std::string out;
  EXPECT_EQ(normalizer.Apply("e\u0301\u1cf2", out), "e");
  EXPECT_EQ(normalizer.Apply("e\U000111c9\u08d3", out), "e\U000111c9\u08d3");
}

// One piece without end: a run of letters, of spaces, of digits, of everything that no pattern cuts.
TEST(TokenizerKindsTest, LongPiecesEnd) {
  for (const Json& kind : Kinds()) {
    const auto name = kind["name"].get<std::string>();
    ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Build(DocumentOf(kind), name));
    for (const char* unit : {"a", " ", "the", "!", "\u4e2d", "\n"}) {
      std::string text;
      while (text.size() < 50000) text += unit;
      EXPECT_LE(tokenizer.Encode(text + "x").size(), 3 * text.size()) << name << " " << unit;
    }
  }
}

}  // namespace
}  // namespace qwen25
