// Damaged and foreign tokenizer files: each is refused with a message that says what is wrong; none crashes
// the reader.
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "base/test_util.h"
#include "text/tokenizer.h"
#include "text/tokenizer_files.h"

namespace qwen25 {
namespace {

const std::string kFixtures = SourcePath("tests/reference/fixtures/tokenizer_");

// Status of building a tokenizer from a tokenizer.json with this content.
Status Build(const std::string& json) {
  QWEN25_TRY(TokenizerSpec spec, ParseTokenizerJson(json, "tokenizer.json"));
  return Tokenizer::FromSpec(std::move(spec), "tokenizer.json").status();
}

class TokenizerJsonTest : public testing::Test {
 protected:
  void SetUp() override {
    good_ = *ReadJsonFile(kFixtures + "qwen2/tokenizer.json");
    sentence_piece_ = *ReadJsonFile(kFixtures + "sentencepiece/tokenizer.json");
    ASSERT_OK(Build(good_.dump()));
    ASSERT_OK(Build(sentence_piece_.dump()));
  }
  // Expects that the good document, changed, is refused with `code` and a message that holds `text`.
  template <typename Change>
  void Refused(const Json& document, StatusCode code, const std::string& text, Change change) {
    Json changed = document;
    change(changed);
    const Status status = Build(changed.dump());
    EXPECT_EQ(status.code(), code) << status.message();
    EXPECT_NE(status.message().find(text), std::string::npos) << status.message() << "\nexpected " << text;
    EXPECT_EQ(status.message().find("tokenizer.json: "), 0u) << status.message();
  }
  template <typename Change>
  void Corrupted(const std::string& text, Change change) {
    Refused(good_, StatusCode::kCorrupt, text, change);
  }
  template <typename Change>
  void NotHandled(const std::string& text, Change change) {
    Refused(good_, StatusCode::kUnsupported, text, change);
  }

  Json good_, sentence_piece_;
};

TEST_F(TokenizerJsonTest, RefusesBrokenVocabularies) {
  Corrupted("has id 9007199254740993, expected an integer from 0 to",
            [](Json& j) { j["model"]["vocab"]["zz"] = 9007199254740993; });
  Corrupted("has id -1", [](Json& j) { j["model"]["vocab"]["zz"] = -1; });
  Corrupted("has id 1.5", [](Json& j) { j["model"]["vocab"]["zz"] = 1.5; });
  Corrupted("has id \"7\"", [](Json& j) { j["model"]["vocab"]["zz"] = "7"; });
  Corrupted("two tokens have the id 7", [](Json& j) { j["model"]["vocab"]["zz"] = 7; });
  Corrupted("the vocabulary is not a JSON object", [](Json& j) { j["model"]["vocab"] = Json::array({1}); });
  Corrupted("no token of a single byte", [](Json& j) {
    j["model"]["vocab"] = {{"th", 0}};
    j["model"]["merges"] = Json::array();
  });
  Corrupted("model has no \"vocab\"", [](Json& j) { j["model"].erase("vocab"); });
  const std::string text = good_.dump();
  const size_t at = text.find("\"!\":0");
  ASSERT_NE(at, std::string::npos);
  EXPECT_ERROR_CONTAINS(Build(std::string(text).insert(at, "\"!\":900,")), "\"!\" is listed twice");
}

TEST_F(TokenizerJsonTest, RefusesBrokenMerges) {
  const auto push = [](Json merge) { return [merge](Json& j) { j["model"]["merges"].push_back(merge); }; };
  const std::string where = "model.merges[" + std::to_string(good_["model"]["merges"].size()) + "]";
  Corrupted(where + ": the merge \"zzz a\" needs the token \"zzz\"", push("zzz a"));
  Corrupted(where + ": the merge \"Q Q\" needs the token \"QQ\"", push({"Q", "Q"}));
  Corrupted(where + " is \"a\"", push("a"));
  Corrupted(where + " is \"a b c\"", push("a b c"));
  Corrupted(where + " is [\"a\"]", push(Json::array({"a"})));
  Corrupted(where + " is 5", push(5));
  Corrupted("model.merges is not a list", [](Json& j) { j["model"]["merges"] = 5; });
  Corrupted("model has no \"merges\"", [](Json& j) { j["model"].erase("merges"); });
}

TEST_F(TokenizerJsonTest, RefusesBrokenAddedTokens) {
  Corrupted("added_tokens is not a list", [](Json& j) { j["added_tokens"] = 5; });
  Corrupted("an added token is not an object", [](Json& j) { j["added_tokens"].push_back(5); });
  Corrupted("has no content", [](Json& j) { j["added_tokens"][0]["content"] = ""; });
  Corrupted("repeats the content or the id", [](Json& j) { j["added_tokens"][0]["id"] = 401; });
  Corrupted("id 5 is the added token \"<|end|>\" and the vocabulary entry \"&\"",
            [](Json& j) { j["added_tokens"][0]["id"] = 5; });
  Corrupted("expected 0 to", [](Json& j) { j["added_tokens"][0]["id"] = 3000000000; });
  Corrupted("expected 0 to", [](Json& j) { j["added_tokens"][0].erase("id"); });
  Refused(good_, StatusCode::kInvalidArgument, "\"special\"",
          [](Json& j) { j["added_tokens"][0]["special"] = "yes"; });
}

TEST_F(TokenizerJsonTest, RefusesOtherKindsByName) {
  NotHandled("model.type is \"WordPiece\"", [](Json& j) { j["model"]["type"] = "WordPiece"; });
  NotHandled("model.dropout is 0.1", [](Json& j) { j["model"]["dropout"] = 0.1; });
  NotHandled("end_of_word_suffix \"</w>\"", [](Json& j) { j["model"]["end_of_word_suffix"] = "</w>"; });
  NotHandled("normalizer is \"Precompiled\"", [](Json& j) { j["normalizer"] = {{"type", "Precompiled"}}; });
  NotHandled("handled are ByteLevel, Split", [](Json& j) {
    j["pre_tokenizer"] = {{"type", "UnicodeScripts"}};
  });
  const auto pattern = [](const char* regex) {
    return [regex](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = regex; };
  };
  NotHandled("\\R at byte 1", pattern("\\R+"));
  Corrupted("a \"(\" is not closed", pattern("(a"));
  NotHandled("behavior is \"Sideways\"",
             [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Sideways"; });
  NotHandled("decoder is \"WordPiece\"", [](Json& j) { j["decoder"] = {{"type", "WordPiece"}}; });
  NotHandled("post_processor has the step UnknownProcessing", [](Json& j) {
    j["post_processor"] = {{"type", "UnknownProcessing"}};
  });
  Corrupted("BertProcessing has no \"cls\"", [](Json& j) {
    j["post_processor"] = {{"type", "BertProcessing"}};
  });
  Refused(sentence_piece_, StatusCode::kCorrupt, "no list of ids for \"<s>\"",
          [](Json& j) { j["post_processor"]["special_tokens"].erase("<s>"); });
  Refused(sentence_piece_, StatusCode::kCorrupt, "the id 99999 of the post-processor",
          [](Json& j) { j["post_processor"]["special_tokens"]["<s>"]["ids"] = {99999}; });
}

TEST_F(TokenizerJsonTest, RefusesWhatIsNoDocument) {
  EXPECT_ERROR_CONTAINS(Build(""), "tokenizer.json: not valid JSON");
  EXPECT_ERROR_CONTAINS(Build("[1]"), "not a JSON object");
  EXPECT_ERROR_CONTAINS(Build("{}"), "model has no \"vocab\"");
  EXPECT_ERROR_CONTAINS(Build(std::string(5000, '[')), "tokenizer.json: not valid JSON");
  EXPECT_ERROR_CONTAINS(Build("{\"model\": \"\xFF\"}"), "tokenizer.json: not valid JSON");
}

TEST_F(TokenizerJsonTest, EveryCutIsRefused) {
  const std::string text = good_.dump();
  for (size_t size = 0; size < text.size(); size += 3) ASSERT_FALSE(Build(text.substr(0, size)).ok()) << size;
}

// A damaged byte may give another valid tokenizer, but never a crash.
TEST_F(TokenizerJsonTest, DamagedBytesNeverCrash) {
  for (const Json& document : {good_, sentence_piece_}) {
    std::string text = document.dump();
    size_t refused = 0;
    for (size_t i = 0; i < text.size(); i += 13) {
      const char kept = text[i];
      text[i] = static_cast<char>(kept ^ (1 << (i % 7)));
      refused += !Build(text).ok();
      text[i] = kept;
    }
    EXPECT_GT(refused, text.size() / 13 / 2);
  }
}

class TokenizerFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto tokenizer = Tokenizer::Load(kFixtures + "qwen2");
    ASSERT_OK(tokenizer);
    ASSERT_OK(tokenizer->Save(directory_.path()));
  }
  void Write(const std::string& name, const std::string& content) {
    ASSERT_OK(WriteFileAtomically(directory_ / name, content));
  }
  Result<Tokenizer> Load() { return Tokenizer::Load(directory_.path()); }

  TemporaryDirectory directory_;
};

TEST_F(TokenizerFolderTest, SavedFolderHoldsFourFilesAndNoRemains) {
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_.path()), {}), 4);
  EXPECT_OK(Load());
}

TEST_F(TokenizerFolderTest, AddedTokensKeepTheirIdsForHuggingFaceToo) {
  // Control tokens come first, and the vocabulary of the model begins after them.
  ByteLevelBpe parts;
  for (int byte = 0; byte < 256; ++byte) parts.tokens.emplace_back(1, static_cast<char>(byte));
  TokenizerSpec spec = Tokenizer::FromByteLevelBpe(parts).value().spec();
  spec.tokens.insert(spec.tokens.begin(), 2, "");
  spec.added_tokens = {{.id = 0, .content = "<|end|>", .special = true}, {.id = 1, .content = "<|begin|>"}};
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::FromSpec(spec, "test"));
  const TemporaryDirectory folder;
  ASSERT_OK(tokenizer.Save(folder.path()));
  ASSERT_OK_AND_ASSIGN(const Json json, ReadJsonFile(folder / "tokenizer.json"));
  const Json& vocabulary = json["model"]["vocab"];
  EXPECT_EQ(vocabulary["<|end|>"], 0);
  EXPECT_EQ(vocabulary["<|begin|>"], 1);
  EXPECT_EQ(vocabulary.size(), 258u);
  ASSERT_OK_AND_ASSIGN(const Tokenizer again, Tokenizer::Load(folder.path()));
  EXPECT_EQ(again.Encode("<|begin|>a<|end|>"), tokenizer.Encode("<|begin|>a<|end|>"));
  EXPECT_EQ(again.Encode("<|begin|>a<|end|>"), (std::vector<int32_t>{1, 'a' + 2, 0}));
}

TEST_F(TokenizerFolderTest, AnAddedTokenThatIsListedTwiceIsOne) {
  ASSERT_OK_AND_ASSIGN(const Tokenizer once, Load());
  ASSERT_OK_AND_ASSIGN(Json json, ReadJsonFile(directory_ / "tokenizer.json"));
  json["added_tokens"].push_back(json["added_tokens"][0]);
  Write("tokenizer.json", json.dump());
  ASSERT_OK_AND_ASSIGN(const Tokenizer twice, Load());
  EXPECT_EQ(twice.spec().added_tokens.size(), once.spec().added_tokens.size());
}

// transformers adds the tokens of tokenizer_config.json to those of tokenizer.json, and makes ordinary tokens
// special that have a role.
TEST_F(TokenizerFolderTest, TokensThatOnlyTheConfigurationAddsAreAdded) {
  ASSERT_OK_AND_ASSIGN(const Tokenizer plain, Load());
  ASSERT_OK_AND_ASSIGN(Json json, ReadJsonFile(directory_ / "tokenizer.json"));
  const Json added = json["added_tokens"];
  const int32_t size = static_cast<int32_t>(plain.vocab_size());
  json["added_tokens"] = Json::array();
  Write("tokenizer.json", json.dump());
  Json config = {{"added_tokens_decoder", Json::object()}};
  for (const Json& token : added) config["added_tokens_decoder"][token["id"].dump()] = token;
  config["added_tokens_decoder"]["9999"] = {{"content", "<new>"}, {"special", true}};
  Write("tokenizer_config.json", config.dump());
  ASSERT_OK_AND_ASSIGN(const Tokenizer from_config, Load());
  for (const AddedToken& token : plain.spec().added_tokens) {
    EXPECT_EQ(from_config.TokenId(token.content), token.id) << token.content;
  }
  EXPECT_EQ(from_config.TokenId("<new>"), size);  // the next one, whatever its number says
  EXPECT_EQ(from_config.Encode("<new>"), std::vector<int32_t>{size});

  // Ordinary tokens that play a role are found as such.
  const std::string end = added[0]["content"];
  json["model"]["vocab"][end] = added[0]["id"];
  Write("tokenizer.json", json.dump());
  for (const char* text : {R"({{"eos_token": "{}"}})", R"({{"additional_special_tokens": ["{}", "<none>"]}})",
                           R"({{"extra_special_tokens": {{"end": {{"content": "{}"}}}}}})"}) {
    Write("tokenizer_config.json", fmt::format(fmt::runtime(text), end));
    ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Load());
    EXPECT_EQ(tokenizer.Encode(end), std::vector<int32_t>{added[0]["id"].get<int32_t>()}) << text;
    EXPECT_FALSE(tokenizer.TokenId("<none>").has_value());
  }
  Write("tokenizer_config.json", R"({"additional_special_tokens": null, "chat_template": 5})");
  EXPECT_OK(Load());
}

TEST_F(TokenizerFolderTest, SingleWordsAreFoundAlone) {
  ASSERT_OK_AND_ASSIGN(Json json, ReadJsonFile(directory_ / "tokenizer.json"));
  json["added_tokens"].push_back({{"id", 450}, {"content", "foo"}, {"single_word", true}});
  Write("tokenizer.json", json.dump());
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Load());
  const auto count = [&](const char* text) {
    const std::vector<int32_t> ids = tokenizer.Encode(text);
    return std::ranges::count(ids, 450);
  };
  EXPECT_EQ(count("foo"), 1);
  EXPECT_EQ(count("foo, (foo) foo\u00a0foo"), 4);
  EXPECT_EQ(count("food _foo foo\u00e9 \u00e9foo foo1 foo\u0301"), 0);
  EXPECT_EQ(count("foofoo foo"), 1);
  ASSERT_OK(tokenizer.Save(directory_.path()));
  ASSERT_OK_AND_ASSIGN(const Tokenizer again, Load());
  EXPECT_TRUE(again.spec().added_tokens.back().single_word);
}

TEST_F(TokenizerFolderTest, MarksAndEmptyTextsAreNoObstacle) {
  ASSERT_OK_AND_ASSIGN(const Tokenizer plain, Load());
  ASSERT_OK_AND_ASSIGN(Json json, ReadJsonFile(directory_ / "tokenizer.json"));
  json["model"]["vocab"][""] = 450;
  Write("tokenizer.json", "\xEF\xBB\xBF" + json.dump());
  ASSERT_OK_AND_ASSIGN(const Tokenizer marked, Load());
  EXPECT_EQ(marked.Encode("It's 12."), plain.Encode("It's 12."));
  std::filesystem::remove(directory_ / "tokenizer.json");
  for (const char* name : {"vocab.json", "merges.txt", "tokenizer_config.json"}) {
    Write(name, "\xEF\xBB\xBF" + *ReadFile(directory_ / name));
  }
  ASSERT_OK_AND_ASSIGN(const Tokenizer two, Load());
  EXPECT_EQ(two.Encode("It's 12."), plain.Encode("It's 12."));
}

// transformers gives such a token a new id, which no model knows. Nothing needs it, but it is kept.
TEST_F(TokenizerFolderTest, RolesOfTokensOutsideTheVocabularyArePlayedByNobody) {
  for (const char* role : {"pad_token", "bos_token", "eos_token"}) {
    Write("tokenizer_config.json", fmt::format(R"({{"{}": "[NOTHING]"}})", role));
    ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Load());
    EXPECT_FALSE(tokenizer.pad_id() || tokenizer.bos_id() || tokenizer.eos_id()) << role;
    ASSERT_OK(tokenizer.Save(directory_.path()));
    ASSERT_OK_AND_ASSIGN(const std::string saved, ReadFile(directory_ / "tokenizer_config.json"));
    EXPECT_NE(saved.find(fmt::format("\"{}\": \"[NOTHING]\"", role)), std::string::npos) << saved;
  }
}

TEST_F(TokenizerFolderTest, ErrorsNameTheFile) {
  Write("tokenizer_config.json", R"({"eos_token": 5})");
  EXPECT_ERROR_CONTAINS(Load(), "tokenizer_config.json: \"eos_token\"");
  Write("tokenizer_config.json", R"([])");
  EXPECT_ERROR_CONTAINS(Load(), "tokenizer_config.json: the document is not a JSON object");
  Write("tokenizer_config.json", R"({"eos_token": )");
  EXPECT_ERROR_CONTAINS(Load(), "tokenizer_config.json: not valid JSON");
  Write("tokenizer_config.json", R"({"eos_token": {"content": "<|end|>"}, "pad_token": null})");
  Write("special_tokens_map.json", R"({"pad_token": "<|end|>>", "bos_token": "<left>"})");
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Load());
  EXPECT_EQ(tokenizer.eos_id(), tokenizer.TokenId("<|end|>"));
  EXPECT_EQ(tokenizer.bos_id(), tokenizer.TokenId("<left>"));
  EXPECT_EQ(tokenizer.pad_id(), std::nullopt);  // the configuration says that there is none
}

TEST_F(TokenizerFolderTest, VocabularyAndMergesAsTwoFiles) {
  std::filesystem::remove(directory_ / "tokenizer.json");
  ASSERT_OK(Load());
  const std::string merges = *ReadFile(directory_ / "merges.txt");
  const auto lines = std::count(merges.begin(), merges.end(), '\n');
  Write("merges.txt", merges + "no_space\n");
  EXPECT_ERROR_CONTAINS(Load(), "merges.txt:" + std::to_string(lines + 1) + ": the line is \"no_space\"");
  Write("merges.txt", merges + "zzz a\n");
  EXPECT_ERROR_CONTAINS(Load(), "merges.txt:" + std::to_string(lines + 1) + ": the merge \"zzz a\" needs");
  Write("merges.txt", merges + "a\xFF b\n");
  EXPECT_ERROR_CONTAINS(Load(), "merges.txt:");
  std::string dos;
  for (const char c : merges) c == '\n' ? dos += "\r\n" : dos += c;
  Write("merges.txt", dos);
  EXPECT_OK(Load());
  Write("added_tokens.json", R"({"<|end|>": 400, "<new>": 500})");
  ASSERT_OK_AND_ASSIGN(const Tokenizer with_new, Load());
  EXPECT_EQ(with_new.TokenId("<new>"), 500);
  EXPECT_EQ(with_new.vocab_size(), 501u);
  EXPECT_EQ(with_new.TokenBytes(450), "");  // nobody's id
  Write("added_tokens.json", R"({"<|end|>": 77})");
  EXPECT_ERROR_CONTAINS(Load(), "added_tokens.json: \"<|end|>\" has id 77, but 400 in");
  Write("added_tokens.json", R"({"<new>": 1e9})");
  EXPECT_ERROR_CONTAINS(Load(), "added_tokens.json: \"<new>\" has id");
  std::filesystem::remove(directory_ / "added_tokens.json");
  Write("tokenizer_config.json", R"({"tokenizer_class": "T5Tokenizer"})");
  EXPECT_ERROR_CONTAINS(Load(), "tokenizer_class is \"T5Tokenizer\"");
  std::filesystem::remove(directory_ / "merges.txt");
  EXPECT_ERROR_CONTAINS(Load(), "merges.txt: cannot open");
  std::filesystem::remove(directory_ / "vocab.json");
  EXPECT_ERROR_CONTAINS(Load(), "holds neither tokenizer.json nor vocab.json");
  EXPECT_ERROR_CONTAINS(Tokenizer::Load("/nonexistent"), "/nonexistent");
}

TEST_F(TokenizerFolderTest, SingleFileHasNoRoles) {
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(directory_ / "tokenizer.json"));
  EXPECT_EQ(tokenizer.eos_id(), std::nullopt);
}

}  // namespace
}  // namespace qwen25
