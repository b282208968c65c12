#include "text/gguf_tokenizer.h"

#include <cmath>
#include <functional>

#include "base/file.h"
#include "base/json.h"
#include "base/test_util.h"
#include "text/chat_template.h"

namespace qwen25 {
namespace {

const std::string kFixtures = SourcePath("tests/reference/fixtures/");

TEST(GgufTokenizerTest, WhatIsWrittenIsTheSameTokenizer) {
  for (const char* name : {"tokenizer_qwen2", "tokenizer_gpt2"}) {
    ASSERT_OK_AND_ASSIGN(const Tokenizer loaded, Tokenizer::Load(kFixtures + name));
    // The format does not hold how added tokens treat white space around them.
    TokenizerSpec spec = loaded.spec();
    for (AddedToken& added : spec.added_tokens) added.lstrip = added.rstrip = added.normalized = false;
    ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::FromSpec(spec, name));
    ASSERT_OK_AND_ASSIGN(const GgufTokenizer parts,
                         GgufTokenizerOf(tokenizer, tokenizer.vocab_size() + 7, name));
    EXPECT_EQ(parts.tokens.size(), tokenizer.vocab_size() + 7);
    EXPECT_EQ(parts.tokens.back(), fmt::format("[PAD{}]", parts.tokens.size() - 1));
    EXPECT_EQ(parts.token_types.back(), 5);
    EXPECT_EQ(parts.model, "gpt2");
    ASSERT_OK_AND_ASSIGN(const Tokenizer again, TokenizerFromGguf(parts, name));
    ASSERT_OK_AND_ASSIGN(const Json cases, ReadJsonFile(kFixtures + name + "/cases.json"));
    for (const Json& one : cases) {
      const auto text = one["text"].get<std::string>();
      const std::vector<int32_t> ids = tokenizer.Encode(text);
      EXPECT_EQ(again.Encode(text), ids) << text;
      EXPECT_EQ(again.Decode(ids), tokenizer.Decode(ids));
      EXPECT_EQ(again.Decode(ids, true), tokenizer.Decode(ids, true));
    }
    EXPECT_EQ(again.eos_id(), tokenizer.eos_id());
  }
}

// From a folder to GGUF, back, and to a folder again.
TEST(GgufTokenizerTest, ChatTemplatesKeepTheirNames) {
  ASSERT_OK_AND_ASSIGN(const Tokenizer loaded, Tokenizer::Load(kFixtures + "tokenizer_qwen2"));
  TokenizerSpec spec = loaded.spec();
  spec.chat_template = "d";
  spec.config["chat_template"] = {{{"name", "default"}, {"template", "d"}},
                                  {{"name", "tool_use"}, {"template", "t"}}};
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::FromSpec(spec, "f"));
  ASSERT_OK_AND_ASSIGN(GgufTokenizer parts, GgufTokenizerOf(tokenizer, tokenizer.vocab_size(), "f"));
  EXPECT_EQ(parts.chat_template, "d");
  using Named = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(parts.named_chat_templates, (Named{{"tool_use", "t"}}));
  parts.turn_end_ids = {5};
  ASSERT_OK_AND_ASSIGN(const Tokenizer again, TokenizerFromGguf(parts, "g"));
  EXPECT_EQ(again.spec().turn_end_ids, std::vector<int32_t>{5});
  ASSERT_OK_AND_ASSIGN(const ChatTemplateSources sources, ChatTemplateSourcesOf(again.spec(), "g"));
  EXPECT_EQ(sources.named, (Named{{"default", "d"}, {"tool_use", "t"}}));
  const TemporaryDirectory folder;
  ASSERT_OK(again.Save(folder.path()));
  ASSERT_OK_AND_ASSIGN(const ChatTemplateSources read, ReadChatTemplateSources(folder.path()));
  EXPECT_EQ(read.named, sources.named);
}

// A sentencepiece vocabulary with scores: bytes, and some pieces.
GgufTokenizer SmallSentencePiece() {
  GgufTokenizer parts;
  parts.model = "llama";
  const auto add = [&](const std::string& text, int32_t type, float score) {
    parts.tokens.push_back(text);
    parts.token_types.push_back(type);
    parts.scores.push_back(score);
  };
  add("<unk>", 2, 0);
  add("<s>", 3, 0);
  add("</s>", 3, 0);
  for (int byte = 0; byte < 256; ++byte) add(fmt::format("<0x{:02X}>", byte), 6, 0);
  add("\u2581", 1, -100);
  for (const char* letter : {"a", "b", "c"}) add(letter, 1, -100);
  add("ab", 1, -2);
  add("bc", 1, -1);
  add("\u2581a", 1, -3);
  add("abc", 1, -4);
  parts.bos_id = 1;
  parts.eos_id = 2;
  parts.unk_id = 0;
  return parts;
}

TEST(GgufTokenizerTest, ScoresDecideTheMerges) {
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, TokenizerFromGguf(SmallSentencePiece(), "test"));
  const int32_t space = 259, a = 260, bc = 264, space_a = 265;
  EXPECT_EQ(tokenizer.Encode("abc"), (std::vector<int32_t>{space_a, bc}));  // "bc" before "ab"
  EXPECT_EQ(tokenizer.Encode("aa"), (std::vector<int32_t>{space_a, a}));
  EXPECT_EQ(tokenizer.Encode("d"), (std::vector<int32_t>{space, 3 + 'd'}));
  EXPECT_EQ(tokenizer.Encode("a", {.add_bos = true}), (std::vector<int32_t>{1, space_a}));
  EXPECT_EQ(tokenizer.eos_id(), 2);
  // And back: the scores are ranks then, and make the same merges.
  ASSERT_OK_AND_ASSIGN(const GgufTokenizer parts, GgufTokenizerOf(tokenizer, tokenizer.vocab_size(), "test"));
  EXPECT_EQ(parts.tokens, SmallSentencePiece().tokens);
  EXPECT_EQ(parts.token_types, SmallSentencePiece().token_types);
  EXPECT_GT(parts.scores[264], parts.scores[263]);
  EXPECT_EQ(parts.add_bos, true);
  ASSERT_OK_AND_ASSIGN(const Tokenizer again, TokenizerFromGguf(parts, "test"));
  EXPECT_EQ(again.Encode("abcabc bca"), tokenizer.Encode("abcabc bca"));
}

// Other writers' names for the same, and types that say nothing.
TEST(GgufTokenizerTest, WhatDoesNotChangeTheResultIsNoObstacle) {
  ASSERT_OK_AND_ASSIGN(const Tokenizer qwen2, Tokenizer::Load(kFixtures + "tokenizer_qwen2"));
  ASSERT_OK_AND_ASSIGN(GgufTokenizer parts, GgufTokenizerOf(qwen2, qwen2.vocab_size(), "x"));
  const std::string text = "It's 12 o'clock, <|end|> caf\u00e9";
  ASSERT_OK_AND_ASSIGN(const Tokenizer plain, TokenizerFromGguf(parts, "x"));
  std::ranges::replace(parts.token_types, 1, 0);
  for (const char* pre : {"qwen2", "deepseek-r1-qwen", "megrez"}) {
    parts.pre = pre;
    ASSERT_OK_AND_ASSIGN(const Tokenizer same, TokenizerFromGguf(parts, "x"));
    EXPECT_EQ(same.Encode(text), plain.Encode(text)) << pre;
  }
}

// Of equal scores the leftmost pair is merged first, as sentencepiece does.
TEST(GgufTokenizerTest, EqualScoresMergeTheLeftmostPair) {
  GgufTokenizer parts = SmallSentencePiece();
  for (const char* text : {"aa", "ca"}) {
    parts.tokens.push_back(text);
    parts.token_types.push_back(1);
    parts.scores.push_back(-1);
  }
  parts.add_space_prefix = false;
  const int32_t a = 260, c = 262, bc = 264, aa = 267, ca = 268;
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, TokenizerFromGguf(parts, "test"));
  EXPECT_EQ(tokenizer.Encode("caa"), (std::vector<int32_t>{ca, a}));
  EXPECT_EQ(tokenizer.Encode("bca"), (std::vector<int32_t>{bc, a}));
  EXPECT_EQ(tokenizer.Encode("aaca"), (std::vector<int32_t>{aa, ca}));
  EXPECT_EQ(tokenizer.Encode("aaa"), (std::vector<int32_t>{aa, a}));
  std::string text(600, 'a');  // by the other method
  EXPECT_EQ(tokenizer.Encode(text), std::vector<int32_t>(300, aa));
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(" c a")), " c a");
  EXPECT_EQ(tokenizer.Encode("c", {.add_bos = true}), (std::vector<int32_t>{1, c}));
  parts.remove_extra_whitespaces = true;
  parts.add_space_prefix = true;
  ASSERT_OK_AND_ASSIGN(const Tokenizer squeezed, TokenizerFromGguf(parts, "test"));
  EXPECT_EQ(squeezed.Encode("  a   c "), squeezed.Encode("a c"));
}

// Every name gives a tokenizer, and what it gives is written under the first name of its family.
TEST(GgufTokenizerTest, NamesOfPreTokenizers) {
  ASSERT_OK_AND_ASSIGN(const Tokenizer qwen2, Tokenizer::Load(kFixtures + "tokenizer_qwen2"));
  ASSERT_OK_AND_ASSIGN(GgufTokenizer parts, GgufTokenizerOf(qwen2, qwen2.vocab_size(), "x"));
  const std::pair<const char*, const char*> names[] = {{"llama-bpe", "llama-bpe"},
                                                       {"llama3", "llama-bpe"},
                                                       {"pixtral", "llama-bpe"},
                                                       {"smollm", "smollm"},
                                                       {"starcoder", "smollm"},
                                                       {"gpt-2", "gpt-2"},
                                                       {"mpt", "mpt"},
                                                       {"stablelm2", "stablelm2"},
                                                       {"gpt-4o", "gpt-4o"},
                                                       {"tekken", "tekken"},
                                                       {"deepseek-llm", "deepseek-llm"},
                                                       {"deepseek-coder", "deepseek-coder"},
                                                       {"deepseek-v3", "deepseek-v3"},
                                                       {"falcon", "falcon"},
                                                       {"default", "default"},
                                                       {"", "default"},
                                                       {"bloom", "bloom"},
                                                       {"viking", "viking"},
                                                       {"qwen35", "qwen35"},
                                                       {"jais-2", "jais-2"},
                                                       {"youtu", "youtu"},
                                                       {"chameleon", "chameleon"},
                                                       {"tiny_aya", "tiny_aya"},
                                                       {"superbpe", "superbpe"},
                                                       {"bailingmoe", "bailingmoe"},
                                                       {"seed-coder", "seed-coder"},
                                                       {"kimi-k2", "kimi-k2"},
                                                       {"afmoe", "afmoe"},
                                                       {"laguna", "laguna"},
                                                       {"exaone-moe", "exaone-moe"},
                                                       {"minicpm5", "minicpm5"}};
  const std::string text = "It's 12345 o'clock,\r\n\r\n  caf\u00e9 \u4e2d\u6587  x == y;  ";
  for (const auto& [name, written] : names) {
    parts.pre = name;
    ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, TokenizerFromGguf(parts, "x"));
    EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(text)), text) << name;
    ASSERT_OK_AND_ASSIGN(const GgufTokenizer again, GgufTokenizerOf(tokenizer, qwen2.vocab_size(), "x"));
    EXPECT_EQ(again.pre, written) << name;
  }
}

TEST(GgufTokenizerTest, SaysWhatIsWrong) {
  const auto with = [](const std::function<void(GgufTokenizer&)>& change) {
    GgufTokenizer parts = SmallSentencePiece();
    change(parts);
    return TokenizerFromGguf(parts, "m.gguf");
  };
  EXPECT_ERROR_CONTAINS(with([](auto& p) { p.model = "bert"; }), "m.gguf: tokenizer.ggml.model is \"bert\"");
  EXPECT_ERROR_CONTAINS(with([](auto& p) { p.tokens.clear(); }), "tokenizer.ggml.tokens is missing or empty");
  EXPECT_ERROR_CONTAINS(with([](auto& p) { p.token_types.pop_back(); }), "token_type has 266 entries");
  EXPECT_ERROR_CONTAINS(with([](auto& p) { p.scores.pop_back(); }), "scores has 266 entries");
  EXPECT_ERROR_CONTAINS(with([](auto& p) { p.scores.clear(); }), "scores is missing");
  EXPECT_ERROR_CONTAINS(with([](auto& p) { p.scores[5] = INFINITY; }), "scores holds inf at 5");
  EXPECT_ERROR_CONTAINS(with([](auto& p) { p.token_types[9] = 9; }), "holds 9 at 9, expected 1 to 6");
  EXPECT_ERROR_CONTAINS(with([](auto& p) { p.eos_id = 267; }), "eos_token_id is 267");
  EXPECT_ERROR_CONTAINS(with([](auto& p) { p.tokens[259].assign(1, '\xff'); }), "not UTF-8");
  EXPECT_ERROR_CONTAINS(with([](auto& p) {
                          p.model = "gpt2";
                          p.pre = "nobody's";
                        }),
                        "pre is \"nobody's\"; handled are a.x-4.0, afmoe, bailingmoe");
  ASSERT_OK_AND_ASSIGN(const Tokenizer qwen2, Tokenizer::Load(kFixtures + "tokenizer_qwen2"));
  ASSERT_OK_AND_ASSIGN(GgufTokenizer parts, GgufTokenizerOf(qwen2, qwen2.vocab_size(), "x"));
  parts.merges[3] = "nospace";
  EXPECT_ERROR_CONTAINS(TokenizerFromGguf(parts, "x"), "merges[3] is \"nospace\"");
  parts.merges[3] = "zzzz qqqq";
  EXPECT_ERROR_CONTAINS(TokenizerFromGguf(parts, "x"), "needs a token that is not in the vocabulary");
  parts.tokens[300] = parts.tokens[301];
  EXPECT_ERROR_CONTAINS(TokenizerFromGguf(parts, "x"), "twice, with the ids 300 and 301");
  EXPECT_ERROR_CONTAINS(GgufTokenizerOf(qwen2, 10, "x"), "the model only 10 rows");
}

}  // namespace
}  // namespace qwen25
