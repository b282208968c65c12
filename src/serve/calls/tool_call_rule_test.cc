#include "serve/calls/tool_call_rule.h"

#include <cmath>

#include "base/rng.h"
#include "base/test_util.h"
#include "infer/tiny_model_test_util.h"
#include "serve/api/tool_call_parser.h"

namespace qwen25 {
namespace {

// Every byte, the end of the text, and the tags.
Tokenizer TokenizerWithTags() {
  ByteLevelBpe parts;
  for (int byte = 0; byte < 256; ++byte) parts.tokens.emplace_back(1, static_cast<char>(byte));
  parts.special_tokens = {"<|endoftext|>", "<tool_call>", "</tool_call>"};
  parts.eos_token = "<|endoftext|>";
  return Tokenizer::FromByteLevelBpe(std::move(parts)).value();
}

class ToolCallRuleTest : public testing::Test {
 protected:
  void SetUp() override {
    const Json schema = Json::parse(R"({"type": "object", "properties": {"name": {"const": "f"},
        "arguments": {"type": "object", "properties": {"x": {"type": "integer", "minimum": 0, "maximum": 99}},
        "required": ["x"], "additionalProperties": false}}, "required": ["name", "arguments"],
        "additionalProperties": false})");
    ASSERT_OK_AND_ASSIGN(grammar_, Grammar::FromJsonSchema(schema));
    ASSERT_OK_AND_ASSIGN(
        rule_, ToolCallRule::Create(tokenizer_, grammar_, std::make_shared<TokenTrie>(tokenizer_), {256}));
    ASSERT_NE(rule_, nullptr);
  }
  std::vector<int32_t> Allowed() {
    std::vector<float> logits(tokenizer_.vocab_size(), 0.0f);
    rule_->Apply(logits);
    std::vector<int32_t> allowed;
    for (size_t i = 0; i < logits.size(); ++i) {
      if (!std::isinf(logits[i])) allowed.push_back(static_cast<int32_t>(i));
    }
    return allowed;
  }
  void AcceptText(std::string_view text) {
    for (const unsigned char byte : text) {
      const std::vector<int32_t> allowed = Allowed();
      ASSERT_TRUE(std::ranges::find(allowed, byte) != allowed.end()) << text << " at " << byte;
      rule_->Accept(byte);
    }
  }

  Tokenizer tokenizer_ = TokenizerWithTags();
  std::shared_ptr<const Grammar> grammar_;
  std::shared_ptr<ToolCallRule> rule_;
};

TEST_F(ToolCallRuleTest, TextIsFreeAndCallsAreHeldToTheirSchema) {
  const size_t all = tokenizer_.vocab_size();
  EXPECT_EQ(Allowed().size(), all);
  AcceptText("Let me see {\"name\": 3}\n");
  EXPECT_EQ(Allowed().size(), all);
  rule_->Accept(257);
  AcceptText("\n{\"name\": \"f\", \"arguments\": {\"x\": 1");
  EXPECT_EQ(Allowed().size(), 13u);  // a second digit, the brace, or a space or line feed before it
}

TEST_F(ToolCallRuleTest, RandomAnswersAreCallsThatTheParserReads) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SetUp();
    Rng rng(seed);
    std::string text = "<tool_call>";
    rule_->Accept(257);
    for (int i = 0; i < 1000; ++i) {
      const std::vector<int32_t> allowed = Allowed();
      ASSERT_FALSE(allowed.empty());
      const int32_t token = allowed[rng.Below(allowed.size())];
      rule_->Accept(token);
      if (token == 256) break;
      text += tokenizer_.TokenBytes(token);
      if (token == 258) break;
    }
    ToolCallParser parser({});
    AssistantMessage message;
    AppendPieces(parser.Feed(text), message);
    AppendPieces(parser.Finish(), message);
    ASSERT_EQ(message.tool_calls.size(), 1u) << text;
    EXPECT_EQ(message.tool_calls[0].name, "f");
    const Json arguments = Json::parse(message.tool_calls[0].arguments);
    EXPECT_TRUE(arguments["x"] >= 0 && arguments["x"] <= 99) << text;
    EXPECT_EQ(message.content, "");
  }
}

TEST_F(ToolCallRuleTest, WhatIsTakenBackIsAllowedAgain) {
  const auto before = Allowed();
  rule_->Accept(257);
  const auto begun = Allowed();
  AcceptText("{\"name\": ");
  const auto inside = Allowed();
  AcceptText("\"f\", \"arguments\": {\"x\": 5}}\n");
  EXPECT_EQ(Allowed(), (std::vector<int32_t>{256, 258}));
  rule_->Accept(258);
  EXPECT_EQ(Allowed(), before);
  rule_->Rollback(std::string_view("\"f\", \"arguments\": {\"x\": 5}}\n").size() + 1);
  EXPECT_EQ(Allowed(), inside);
  rule_->Rollback(9);
  EXPECT_EQ(Allowed(), begun);
  rule_->Rollback(1);
  EXPECT_EQ(Allowed(), before);
}

TEST_F(ToolCallRuleTest, AVocabularyWithoutTheTagHasNoRule) {
  const Tokenizer plain = ByteTokenizer();
  ASSERT_OK_AND_ASSIGN(const auto rule,
                       ToolCallRule::Create(plain, grammar_, std::make_shared<TokenTrie>(plain), {256}));
  EXPECT_EQ(rule, nullptr);
}

}  // namespace
}  // namespace qwen25
