// WordPiece: ids as Hugging Face `tokenizers` gives them, laws that hold for every text, and damaged files.
#include "text/wordpiece.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/file.h"
#include "base/test_util.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

const std::string kFixture = SourcePath("tests/reference/fixtures/encoder_mean");

WordPieceSpec SmallSpec() {
  WordPieceSpec spec;
  spec.tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "un",   "##aff", "##able", "able", "a",        "##a",
                 "##ff",  "!",     ",",     "東",    "cafe", "##s",   "$",      "i",    "##\u0301", "e"};
  spec.added_tokens = {{.id = 2, .content = "[CLS]"}, {.id = 3, .content = "[SEP]"}};
  spec.max_word_characters = 12;
  return spec;
}

std::vector<int32_t> Ids(const WordPieceTokenizer& tokenizer, std::string_view text,
                         SpecialTokens special = SpecialTokens::kParse) {
  std::vector<int32_t> ids;
  tokenizer.Encode(text, ids, special);
  return ids;
}

using IdList = std::vector<int32_t>;

TEST(WordPieceTest, TakesTheLongestPieceAtEveryPlace) {
  ASSERT_OK_AND_ASSIGN(const WordPieceTokenizer tokenizer, WordPieceTokenizer::FromSpec(SmallSpec(), "x"));
  EXPECT_EQ(Ids(tokenizer, "unaffable"), (IdList{4, 5, 6}));
  EXPECT_EQ(Ids(tokenizer, "able"), (IdList{7}));
  EXPECT_EQ(Ids(tokenizer, "aa"), (IdList{8, 9}));
  EXPECT_EQ(Ids(tokenizer, "unx"), (IdList{1})) << "a word that is not covered is one unknown token";
  EXPECT_EQ(Ids(tokenizer, "a,a!$"), (IdList{8, 12, 8, 11, 16}));
  EXPECT_EQ(Ids(tokenizer, ""), IdList{});
  EXPECT_EQ(Ids(tokenizer, " \t\n\u3000"), IdList{});
  EXPECT_EQ(Ids(tokenizer, "aaaaaaaaaaaa"), (IdList{8, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9}));
  EXPECT_EQ(Ids(tokenizer, "aaaaaaaaaaaaa"), (IdList{1})) << "more than max_word_characters";
}

TEST(WordPieceTest, NormalisesAsBertDoes) {
  ASSERT_OK_AND_ASSIGN(const WordPieceTokenizer tokenizer, WordPieceTokenizer::FromSpec(SmallSpec(), "x"));
  EXPECT_EQ(Ids(tokenizer, "CAFÉS"), (IdList{14, 15}));
  EXPECT_EQ(Ids(tokenizer, "a東a"), (IdList{8, 13, 8}));
  EXPECT_EQ(Ids(tokenizer, std::string_view("u\0n\u200B\uFFFD", 8)), (IdList{4}));
  EXPECT_EQ(Ids(tokenizer, "\u0130"), (IdList{17})) << "the dot is an accent";
  WordPieceSpec spec = SmallSpec();
  spec.normalizer = {.clean_text = false, .chinese_chars = false, .strip_accents = false, .lowercase = true};
  ASSERT_OK_AND_ASSIGN(const WordPieceTokenizer plain, WordPieceTokenizer::FromSpec(spec, "x"));
  EXPECT_EQ(Ids(plain, "E\u0301"), (IdList{19, 18}));
  EXPECT_EQ(Ids(plain, "a東"), (IdList{1}));
}

TEST(WordPieceTest, NormalizerHandlesEachStepAlone) {
  const auto normal = [](std::string_view text, BertNormalizerOptions options) {
    std::string out;
    NormalizeBert(text, options, out);
    return out;
  };
  const BertNormalizerOptions none = {false, false, false, false};
  BertNormalizerOptions clean = none, chinese = none, accents = none, lower = none;
  clean.clean_text = chinese.chinese_chars = accents.strip_accents = lower.lowercase = true;
  EXPECT_EQ(normal("A\x01\tÉ東\u200B\u00A0", none), "A\x01\tÉ東\u200B\u00A0");
  EXPECT_EQ(normal("A\x01\tÉ\u200B\u00A0\x7F", clean), "A É ");
  EXPECT_EQ(normal("A\x01\tB\r\n\x7F", clean), "A B  ");
  EXPECT_EQ(normal("a東b", chinese), "a 東 b");
  EXPECT_EQ(normal("Éa\u0301\u0327", accents), "Ea");
  EXPECT_EQ(normal("ÉΣ\u0130\U00010D50", lower), "éσi\u0307\U00010D70");
  EXPECT_EQ(normal("\u1734\u1885", accents), "\u1885") << "categories are those of Unicode 8";
}

TEST(WordPieceTest, AddedTokensAreFoundUnlessTheyAreText) {
  WordPieceSpec spec = SmallSpec();
  spec.added_tokens.push_back({.id = 25, .content = "Able Un", .special = false, .normalized = true});
  ASSERT_OK_AND_ASSIGN(const WordPieceTokenizer tokenizer, WordPieceTokenizer::FromSpec(spec, "x"));
  EXPECT_EQ(tokenizer.vocab_size(), 26u);
  EXPECT_EQ(tokenizer.prefix_ids(), (IdList{2}));
  EXPECT_EQ(tokenizer.suffix_ids(), (IdList{3}));
  EXPECT_EQ(Ids(tokenizer, "a[SEP]a"), (IdList{8, 3, 8}));
  EXPECT_EQ(Ids(tokenizer, "ABLE Un a"), (IdList{25, 8}));
  EXPECT_EQ(Ids(tokenizer, "[SEP] able un", SpecialTokens::kAsText), (IdList{1, 1, 1, 7, 4}));
  EXPECT_EQ(Ids(tokenizer, "[SEP] able un", SpecialTokens::kControlAsText), (IdList{1, 1, 1, 25}));
}

TEST(WordPieceTest, ReadsTheFixtureFolder) {
  ASSERT_OK_AND_ASSIGN(const WordPieceTokenizer tokenizer, WordPieceTokenizer::Load(kFixture));
  EXPECT_EQ(tokenizer.vocab_size(), 220u);
  EXPECT_TRUE(tokenizer.spec().normalizer.strip_accents);
  ASSERT_OK_AND_ASSIGN(const WordPieceTokenizer cased,
                       WordPieceTokenizer::Load(SourcePath("tests/reference/fixtures/encoder_dense")));
  EXPECT_FALSE(cased.spec().normalizer.lowercase);
  EXPECT_FALSE(cased.spec().normalizer.strip_accents);
  EXPECT_EQ(cased.prefix_ids().size(), 1u);
}

// Text over an alphabet where pieces, accents and borders meet.
rc::Gen<std::string> Texts() {
  return rc::gen::map(rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(
                          std::vector<std::string>{"a", "un", "able", "aff", "é", "e", "\u0301", "東", " ",
                                                   "\n", "!", "$", "x", "[SEP]", "\xFF", "\u0130"})),
                      [](const std::vector<std::string>& parts) {
                        std::string text;
                        for (const std::string& part : parts) text += part;
                        return text;
                      });
}

TEST(WordPieceTest, LawsHoldForEveryText) {
  const WordPieceTokenizer tokenizer = WordPieceTokenizer::FromSpec(SmallSpec(), "x").value();
  EXPECT_TRUE(rc::check("ids are of the vocabulary, and pieces spell the normalised words", [&] {
    const std::string text = *Texts();
    std::string normal, words, spelled;
    NormalizeBert(RepairUtf8(text), tokenizer.spec().normalizer, normal);
    for (const char c : normal) {
      if (c != ' ') words += c;
    }
    bool unknown = false;
    for (const int32_t id : Ids(tokenizer, text, SpecialTokens::kAsText)) {
      RC_ASSERT(id >= 0 && static_cast<size_t>(id) < tokenizer.vocab_size());
      const std::string& token = tokenizer.spec().tokens[static_cast<size_t>(id)];
      unknown |= id == tokenizer.unk_id();
      spelled += token.starts_with("##") ? token.substr(2) : token;
    }
    RC_ASSERT(unknown || spelled == words);
  }));
  EXPECT_TRUE(rc::check("texts on both sides of a space do not affect each other", [&] {
    const std::string left = *Texts(), right = *Texts();
    IdList both = Ids(tokenizer, left);
    // What combines with the space itself would move over the border.
    RC_PRE(!right.starts_with("\u0301"));
    for (const int32_t id : Ids(tokenizer, right)) both.push_back(id);
    RC_ASSERT(Ids(tokenizer, left + " " + right) == both);
  }));
  EXPECT_TRUE(rc::check("any bytes are encoded as their repaired form", [&](const std::string& bytes) {
    RC_ASSERT(Ids(tokenizer, bytes) == Ids(tokenizer, RepairUtf8(bytes)));
  }));
}

class WordPieceJsonTest : public testing::Test {
 protected:
  void SetUp() override { good_ = *ReadJsonFile(kFixture + "/tokenizer.json"); }

  template <typename Change>
  void Refused(StatusCode code, const std::string& text, Change change) {
    Json json = good_;
    change(json);
    auto spec = ParseWordPieceJson(json.dump(), "tokenizer.json");
    const Status status =
        spec.ok() ? WordPieceTokenizer::FromSpec(*spec, "tokenizer.json").status() : spec.status();
    EXPECT_EQ(status.code(), code) << status.message();
    EXPECT_NE(status.message().find(text), std::string::npos) << status.message() << "\nexpected " << text;
    EXPECT_EQ(status.message().find("tokenizer.json: "), 0u) << status.message();
  }
  Json good_;
};

TEST_F(WordPieceJsonTest, RefusesWhatContradictsItself) {
  const StatusCode corrupt = StatusCode::kCorrupt;
  Refused(corrupt, "has id -1", [](Json& j) { j["model"]["vocab"]["zz"] = -1; });
  Refused(corrupt, "two tokens have the id 7", [](Json& j) { j["model"]["vocab"]["zz"] = 7; });
  Refused(corrupt, "is not a JSON object", [](Json& j) { j["model"]["vocab"] = 3; });
  Refused(corrupt, "model has no \"vocab\"", [](Json& j) { j["model"].erase("vocab"); });
  Refused(corrupt, "the unknown token \"[NONE]\" is not in the vocabulary",
          [](Json& j) { j["model"]["unk_token"] = "[NONE]"; });
  Refused(corrupt, "the first token \"[C]\" is not in",
          [](Json& j) { j["post_processor"]["single"][0]["SpecialToken"]["id"] = "[C]"; });
  Refused(corrupt, "added_tokens is not a list", [](Json& j) { j["added_tokens"] = 1; });
  Refused(corrupt, "the added token with id 0 is empty",
          [](Json& j) { j["added_tokens"][0]["content"] = ""; });
  Refused(corrupt, "normalizer is not an object", [](Json& j) { j["normalizer"] = 1; });
}

TEST_F(WordPieceJsonTest, RefusesByNameWhatItDoesNotHave) {
  const StatusCode unsupported = StatusCode::kUnsupported;
  Refused(unsupported, "model.type is \"Unigram\"", [](Json& j) { j["model"]["type"] = "Unigram"; });
  Refused(unsupported, "normalizer is \"NFC\"", [](Json& j) { j["normalizer"] = {{"type", "NFC"}}; });
  Refused(unsupported, "pre_tokenizer is \"Whitespace\"", [](Json& j) {
    j["pre_tokenizer"] = {{"type", "Whitespace"}};
  });
  Refused(unsupported, "post_processor is \"RobertaProcessing\"", [](Json& j) {
    j["post_processor"] = {{"type", "RobertaProcessing"}};
  });
  Refused(unsupported, "at most one token before and after the text",
          [](Json& j) { j["post_processor"]["single"].push_back(j["post_processor"]["single"][2]); });
  Refused(unsupported, "pieces inside a word have no prefix",
          [](Json& j) { j["model"]["continuing_subword_prefix"] = ""; });
}

TEST_F(WordPieceJsonTest, EveryCutIsAnError) {
  const std::string text = good_.dump();
  for (size_t size = 0; size < text.size(); size += 97) {
    EXPECT_FALSE(ParseWordPieceJson(text.substr(0, size), "cut").ok()) << size;
  }
}

TEST(WordPieceFilesTest, SaysWhatIsMissing) {
  TemporaryDirectory directory;
  EXPECT_ERROR_CONTAINS(WordPieceTokenizer::Load(directory.path()), "neither tokenizer.json nor vocab.txt");
  ASSERT_OK(WriteFileAtomically(directory / "vocab.txt", "[UNK]\r\n[CLS]\n[SEP]\nA\n##b"));
  ASSERT_OK_AND_ASSIGN(const WordPieceTokenizer tokenizer, WordPieceTokenizer::Load(directory.path()));
  EXPECT_EQ(tokenizer.vocab_size(), 5u);
  EXPECT_EQ(Ids(tokenizer, "ab"), (IdList{0})) << "lower case is the default";
  ASSERT_OK(WriteFileAtomically(directory / "tokenizer_config.json", R"({"do_lower_case": false})"));
  ASSERT_OK_AND_ASSIGN(const WordPieceTokenizer cased, WordPieceTokenizer::Load(directory.path()));
  EXPECT_EQ(Ids(cased, "Ab [SEP]"), (IdList{3, 4, 2}));
  ASSERT_OK(WriteFileAtomically(directory / "tokenizer_config.json", "[]"));
  EXPECT_ERROR_CONTAINS(WordPieceTokenizer::Load(directory.path()), "tokenizer_config.json");
}

}  // namespace
}  // namespace qwen25
