#include "grammar/matcher.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <set>

#include "base/json.h"
#include "base/rng.h"
#include "grammar/grammar_test_util.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

// Tokens that cross the borders of what a grammar tells apart.
const TestVocabulary& Vocabulary() {
  static const TestVocabulary& vocabulary = *new TestVocabulary({"{\"",
                                                                 "\":",
                                                                 "\": ",
                                                                 "\",\"",
                                                                 "\":\"",
                                                                 "\"}",
                                                                 "},{",
                                                                 "a\":1,\"a\":",
                                                                 "\"a\":1,\"a\":",
                                                                 "null",
                                                                 "tru",
                                                                 "ab",
                                                                 "abc",
                                                                 "a\"",
                                                                 "aa",
                                                                 "\xC3\xA9",
                                                                 "\xE2\x82",
                                                                 "\xAC\"",
                                                                 "12",
                                                                 "00",
                                                                 "-1",
                                                                 ".5",
                                                                 "e1",
                                                                 "\\n",
                                                                 "\\u00",
                                                                 "n\\",
                                                                 "\n  ",
                                                                 "  ",
                                                                 "]",
                                                                 "]]",
                                                                 "\"\"",
                                                                 "x]",
                                                                 "kind",
                                                                 "\"kind\":\"",
                                                                 "b\":",
                                                                 "\\\"",
                                                                 std::string(40, 'a')});
  return vocabulary;
}

constexpr std::string_view kSchemas[] = {
    R"({})",
    R"({"type": "object"})",
    R"({"type": "array", "items": {"type": "string", "maxLength": 2}, "maxItems": 3})",
    R"({"type": "object", "properties": {"a": {"type": "integer"}, "ab": {"type": "string"}, "abc": {"type": "null"}},
        "required": ["ab"]})",
    R"({"type": "object", "properties": {"kind": {"enum": ["a", "ab", "x]"]}}, "additionalProperties": {"type": "number"},
        "minProperties": 1, "maxProperties": 3})",
    R"({"type": "object", "patternProperties": {"^(a|b)$": {"type": "null"}}, "additionalProperties": false})",
    R"({"type": "object", "patternProperties": {"^(a|ab+)$": {"type": "integer"}}, "additionalProperties": false})",
    R"({"type": "object", "patternProperties": {"^[ab]{1,2}$": {"type": "null"}}, "additionalProperties": false,
        "minProperties": 3})",
    R"({"type": "object", "properties": {"x": {}, "a": {}}, "patternProperties": {"^[ab]$": {"type": "null"}},
        "additionalProperties": false, "minProperties": 2})",
    R"({"type": "string", "pattern": "^(a|\\n|\u20ac)*\"?$"})",
    R"({"type": "string", "minLength": 3, "maxLength": 300})",
    R"({"type": "number", "minimum": -1.5, "maximum": 12})",
    R"({"anyOf": [{"type": "array", "items": {"$ref": "#"}}, {"type": "integer"}, {"type": "array", "items": {"enum": [1, 12]}}]})",
    R"({"anyOf": [{"type": "object", "properties": {"a": {"type": "null"}, "b": {}}, "required": ["a"]},
                  {"type": "object", "properties": {"a": {"type": ["null", "integer"]}}}]})",
};

std::vector<Grammar::Pointer> Grammars() {
  std::vector<Grammar::Pointer> grammars;
  for (const std::string_view schema : kSchemas) {
    const Result<Grammar::Pointer> grammar = Grammar::FromJsonSchema(*ParseJson(schema, "schema"));
    EXPECT_OK(grammar);
    grammars.push_back(*grammar);
  }
  const Result<Grammar::Pointer> others[] = {
      Grammar::AnyJson(), Grammar::FromRegex("(a|ab)*(null|[^\"]{2,300})?\"?"),
      Grammar::FromGbnf("root ::= \"[\" (root | item){2} \"]\"\nitem ::= [a-c]{1,400} | \"\\\"\" | item2\n"
                        "item2 ::= \"a\" item?")};
  for (const Result<Grammar::Pointer>& grammar : others) {
    EXPECT_OK(grammar);
    grammars.push_back(*grammar);
  }
  return grammars;
}

std::string TextOf(const std::vector<int32_t>& tokens) {
  std::string text;
  for (const int32_t token : tokens) text += Vocabulary().trie()->text(token);
  return text;
}

// Takes random allowed tokens until the text ends; from `most` tokens on, ends it as soon as it may and
// otherwise takes bytes that lead to the end of strings, lists and objects.
std::vector<int32_t> RandomWalk(GrammarMatcher& matcher, Rng& rng, size_t most) {
  std::vector<int32_t> tokens;
  while (true) {
    const std::vector<int32_t> allowed = AllowedTokens(matcher, Vocabulary().size());
    RC_ASSERT(!allowed.empty());
    int32_t token = allowed[rng.Below(allowed.size())];
    if (tokens.size() >= most) {
      for (const char c : std::string_view("a1]}\"")) {
        if (std::ranges::binary_search(allowed, static_cast<int32_t>(c))) token = c;
      }
      if (matcher.MayEnd()) token = Vocabulary().end();
    }
    RC_ASSERT(matcher.Accept(token));
    if (token == Vocabulary().end()) return tokens;
    tokens.push_back(token);
    if (tokens.size() >= most + 3000) RC_FAIL("does not end: " + TextOf(tokens).substr(0, 600));
  }
}

bool HasRepeatedKeys(const std::string& text) {
  bool repeats = false;
  std::vector<std::set<std::string>> open;
  const auto visit = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event == Json::parse_event_t::key) repeats |= !open.back().insert(value.get<std::string>()).second;
    return true;
  };
  const Json parsed = Json::parse(text, visit, false);
  RC_ASSERT(!parsed.is_discarded());
  return repeats;
}

TEST(GrammarMatcherTest, RandomWalksEndInDocumentsThatSatisfyTheSchema) {
  const std::vector<Grammar::Pointer> grammars = Grammars();
  // What the schemas above say, in plain code.
  const auto satisfies = [](size_t number, const Json& value) -> bool {
    const auto is_short = [](const Json& item) {
      return item.is_string() && item.get<std::string>().size() <= 8;
    };
    switch (number) {
      case 1:
        return value.is_object();
      case 2:
        return value.is_array() && value.size() <= 3 && std::ranges::all_of(value, is_short);
      case 3:
        return value.at("ab").is_string() && (!value.contains("a") || value["a"].is_number()) &&
               (!value.contains("abc") || value["abc"].is_null());
      case 4:
        return value.is_object() && !value.empty() && value.size() <= 3;
      case 5:
        return value.is_object() && value.size() <= 2;
      case 7:
        return value.is_object() && value.size() >= 3 && value.size() <= 6;
      case 8:
        return value.is_object() && value.size() >= 2 && value.size() <= 3;
      case 10:
        return value.is_string() && value.get<std::string>().size() >= 3;
      case 11:
        return value.is_number() && value >= -1.5 && value <= 12.0;
      default:
        return true;
    }
  };
  EXPECT_TRUE(rc::check([&](uint64_t seed) {
    Rng rng(seed);
    const size_t number = rng.Below(std::size(kSchemas));
    GrammarMatcher matcher = Vocabulary().Match(grammars[number]);
    const std::string text = TextOf(RandomWalk(matcher, rng, rng.Below(60)));
    RC_LOG() << kSchemas[number] << "\n" << text;
    const Json value = Json::parse(text, nullptr, false);
    RC_ASSERT(!value.is_discarded());
    RC_ASSERT(IsValidUtf8(text));
    RC_ASSERT(!HasRepeatedKeys(text));
    RC_ASSERT(satisfies(number, value));
    RC_ASSERT(matcher.HasEnded());
    RC_ASSERT(AllowedTokens(matcher, Vocabulary().size()) == std::vector<int32_t>{Vocabulary().end()});
  }));
}

TEST(GrammarMatcherTest, MasksAreWhatAcceptTakes) {
  const std::vector<Grammar::Pointer> grammars = Grammars();
  EXPECT_TRUE(rc::check([&](uint64_t seed) {
    Rng rng(seed);
    GrammarMatcher matcher = Vocabulary().Match(grammars[rng.Below(grammars.size())]);
    for (size_t step = rng.Below(25); step > 0 && !matcher.HasEnded(); --step) {
      const std::vector<int32_t> allowed = AllowedTokens(matcher, Vocabulary().size());
      RC_ASSERT(!allowed.empty());
      RC_ASSERT(matcher.Accept(allowed[rng.Below(allowed.size())]));
    }
    const std::vector<int32_t> allowed = AllowedTokens(matcher, Vocabulary().size());
    for (int32_t token = -1; token <= static_cast<int32_t>(Vocabulary().size()); ++token) {
      const bool is_allowed = std::ranges::binary_search(allowed, token);
      const bool accepts = matcher.Accept(token);
      RC_LOG() << token << " allowed " << is_allowed << " accepted " << accepts;
      RC_ASSERT(accepts == is_allowed);
      if (accepts) matcher.Rollback(1);
    }
    // All of this has left no trace.
    RC_ASSERT(AllowedTokens(matcher, Vocabulary().size()) == allowed);
  }));
}

TEST(GrammarMatcherTest, RollbackLeadsBackToTheSameState) {
  const std::vector<Grammar::Pointer> grammars = Grammars();
  EXPECT_TRUE(rc::check([&](uint64_t seed) {
    Rng rng(seed);
    GrammarMatcher matcher = Vocabulary().Match(grammars[rng.Below(grammars.size())]);
    std::vector<std::vector<int32_t>> masks = {AllowedTokens(matcher, Vocabulary().size())};
    for (size_t step = rng.Below(30); step > 0 && !matcher.HasEnded(); --step) {
      RC_ASSERT(matcher.Accept(masks.back()[rng.Below(masks.back().size())]));
      masks.push_back(AllowedTokens(matcher, Vocabulary().size()));
    }
    const GrammarMatcher copy = matcher;
    const size_t back = rng.Below(masks.size());
    matcher.Rollback(back);
    masks.resize(masks.size() - back);
    RC_ASSERT(matcher.num_tokens() == masks.size() - 1);
    RC_ASSERT(AllowedTokens(matcher, Vocabulary().size()) == masks.back());
    RC_ASSERT(copy.num_tokens() == matcher.num_tokens() + back);
  }));
}

TEST(GrammarMatcherTest, ForcedTextIsWhatFollows) {
  const auto grammar = *Grammar::FromJsonSchema(
      *ParseJson(R"({"type": "object", "properties": {"name": {"const": "a\"b"}, "n": {"type": "integer"}},
                     "required": ["name", "n"], "additionalProperties": false})",
                 "schema"),
      {.allow_whitespace = false});
  GrammarMatcher matcher = Vocabulary().Match(grammar);
  const std::string forced = matcher.ForcedText();
  EXPECT_EQ(forced, R"({"name":"a\"b","n":)");
  ASSERT_TRUE(AcceptBytes(matcher, forced));
  EXPECT_EQ(matcher.ForcedText(), "");
  ASSERT_TRUE(AcceptBytes(matcher, "1}"));
  EXPECT_TRUE(matcher.MayEnd());
  EXPECT_EQ(AllowedTokens(matcher, Vocabulary().size()), std::vector<int32_t>{Vocabulary().end()});
  const auto endless = *Grammar::FromRegex("a{5000}");
  EXPECT_EQ(Vocabulary().Match(endless).ForcedText(), std::string(GrammarMatcher::kMaxForcedBytes, 'a'));
}

TEST(GrammarMatcherTest, VocabulariesWithoutSomeBytesStillReachAnEnd) {
  // No b, so that only one of the two texts can be written, and no text at all of the second grammar.
  const std::vector<std::string> texts = {"a", "c", "ab", ""};
  const auto trie = std::make_shared<const TokenTrie>(texts);
  auto matcher = GrammarMatcher::Create(*Grammar::FromRegex("abb|ac|abc"), trie, {3});
  ASSERT_OK(matcher);
  EXPECT_EQ(AllowedTokens(*matcher, 4), std::vector<int32_t>{0});
  EXPECT_ERROR_CONTAINS(GrammarMatcher::Create(*Grammar::FromRegex("ab"), trie, {3}),
                        "no text of the grammar can be written");
  EXPECT_ERROR_CONTAINS(GrammarMatcher::Create(*Grammar::FromRegex("a"), trie, {}), "no end token");
  EXPECT_ERROR_CONTAINS(GrammarMatcher::Create(*Grammar::FromRegex("a"), trie, {4}), "not among the 4");
  EXPECT_ERROR_CONTAINS(GrammarMatcher::Create(*Grammar::FromRegex("a"), trie, {0}), "is the text \"a\"");
}

TEST(GrammarMatcherTest, LongTextsGoOnInANewPool) {
  // Counts make a state of each character; the pool is begun anew on the way.
  const auto grammar = *Grammar::FromJsonSchema(
      *ParseJson(R"({"type": "array", "items": {"type": "string", "minLength": 3000}})", "schema"));
  GrammarMatcher matcher = Vocabulary().Match(grammar);
  std::vector<uint64_t> bits((Vocabulary().size() + 63) / 64);
  ASSERT_TRUE(AcceptBytes(matcher, "[\""));
  const int32_t many = Vocabulary().end() - 1;
  for (int i = 0; i < 20000; ++i) {
    if (i % 100 == 0) matcher.FillMask(bits);
    ASSERT_TRUE(matcher.Accept(i % 7 == 0 ? many : 'x'));
  }
  ASSERT_TRUE(AcceptBytes(matcher, "\"]"));
  EXPECT_TRUE(matcher.MayEnd());
  matcher.Rollback(20002);
  EXPECT_FALSE(matcher.Accept('"'));
}

}  // namespace
}  // namespace qwen25
