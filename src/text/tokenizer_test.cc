#include "text/tokenizer.h"

#include <rapidcheck.h>

#include <atomic>
#include <fstream>
#include <map>
#include <sstream>
#include <thread>

#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/test_util.h"
#include "text/llama2c_tokenizer.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

const std::string kFixtures = SourcePath("tests/reference/fixtures/tokenizer_");

using Ids = std::vector<int32_t>;

// All single bytes, then the results of `merges`.
ByteLevelBpe SmallParts(const std::vector<std::pair<std::string, std::string>>& merges) {
  ByteLevelBpe parts;
  std::map<std::string, int32_t> id_of;
  const auto add = [&](const std::string& token) {
    if (!id_of.emplace(token, static_cast<int32_t>(parts.tokens.size())).second) return;
    parts.tokens.push_back(token);
  };
  for (int byte = 0; byte < 256; ++byte) add(std::string(1, static_cast<char>(byte)));
  for (const auto& [left, right] : merges) {
    add(left + right);
    parts.merges.emplace_back(id_of.at(left), id_of.at(right));
  }
  parts.special_tokens = {"<|end|>", "<|pad|>"};
  parts.eos_token = "<|end|>";
  parts.pad_token = "<|pad|>";
  return parts;
}

std::string StreamDecode(const Tokenizer& tokenizer, const Ids& ids, bool skip_special) {
  StreamDecoder decoder(tokenizer, skip_special);
  std::string text;
  for (const int32_t id : ids) {
    const std::string part = decoder.Next(id);
    EXPECT_TRUE(IsValidUtf8(part));
    text += part;
  }
  return text + decoder.Finish();
}

class FixtureTest : public testing::TestWithParam<const char*> {};

TEST_P(FixtureTest, EqualsHuggingFaceTokenizers) {
  const std::string folder = kFixtures + GetParam();
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(folder));
  ASSERT_OK_AND_ASSIGN(const Json cases, ReadJsonFile(folder + "/cases.json"));
  TemporaryDirectory directory;
  ASSERT_OK(tokenizer.Save(directory.path()));
  ASSERT_OK_AND_ASSIGN(const Tokenizer saved, Tokenizer::Load(directory.path()));
  EXPECT_EQ(saved.vocab_size(), tokenizer.vocab_size());
  ASSERT_GT(cases.size(), 100u);
  for (const Json& item : cases) {
    const auto text = item["text"].get<std::string>();
    const auto ids = item["ids"].get<Ids>();
    ASSERT_EQ(tokenizer.Encode(text), ids) << text;
    ASSERT_EQ(saved.Encode(text), ids) << text;
    ASSERT_EQ(StreamDecode(tokenizer, ids, false), tokenizer.Decode(ids));
    ASSERT_EQ(StreamDecode(tokenizer, ids, true), tokenizer.Decode(ids, true));
    if (item["decoded"].is_null()) continue;
    ASSERT_EQ(tokenizer.Decode(ids), item["decoded"].get<std::string>());
    ASSERT_EQ(tokenizer.Decode(ids, true), item["without_special"].get<std::string>());
  }
}

INSTANTIATE_TEST_SUITE_P(All, FixtureTest, testing::Values("qwen2", "gpt2", "sentencepiece"));

TEST(TokenizerTest, EqualsTheQwen2Vectors) {
  QWEN25_REQUIRE_SHARED_DATA(data);
  const std::string folder = data + "/qwen25_tokenizer";
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(folder));
  EXPECT_EQ(tokenizer.vocab_size(), 151665u);
  EXPECT_EQ(tokenizer.eos_id(), 151645);
  EXPECT_EQ(tokenizer.pad_id(), 151643);
  EXPECT_EQ(tokenizer.bos_id(), std::nullopt);
  EXPECT_EQ(tokenizer.TokenId("<|im_start|>"), 151644);
  EXPECT_EQ(tokenizer.TokenBytes(151657), "<tool_call>");
  EXPECT_TRUE(tokenizer.IsSpecial(151644));
  EXPECT_FALSE(tokenizer.IsSpecial(151657));
  ASSERT_OK_AND_ASSIGN(const std::string input, ReadFile(folder + "/ggml-vocab-qwen2.gguf.inp"));
  ASSERT_OK_AND_ASSIGN(const std::string output, ReadFile(folder + "/ggml-vocab-qwen2.gguf.out"));
  const std::string separator = "\n__ggml_vocab_test__\n";
  std::istringstream lines(output);
  std::string line;
  size_t begin = 0, count = 0;
  while (std::getline(lines, line)) {
    ASSERT_LE(begin, input.size());
    const size_t end = std::min(input.find(separator, begin), input.size());
    std::istringstream numbers(line);
    Ids expected;
    for (int32_t id; numbers >> id;) expected.push_back(id);
    EXPECT_EQ(tokenizer.Encode(input.substr(begin, end - begin)), expected) << "vector " << count;
    begin = end + separator.size();
    ++count;
  }
  EXPECT_EQ(count, 46u);
  EXPECT_EQ(begin, input.size());  // nothing follows the last separator
  EXPECT_EQ(tokenizer.Encode(""), Ids{});
}

TEST(TokenizerTest, SavedQwen2FilesAreTheOriginalOnes) {
  QWEN25_REQUIRE_SHARED_DATA(data);
  const std::string folder = data + "/qwen25_tokenizer";
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(folder));
  TemporaryDirectory directory;
  ASSERT_OK(tokenizer.Save(directory.path()));
  EXPECT_TRUE(*ReadFile(directory / "vocab.json") == *ReadFile(folder + "/vocab.json"));
  EXPECT_TRUE(*ReadFile(directory / "merges.txt") == *ReadFile(folder + "/merges.txt"));
  ASSERT_OK_AND_ASSIGN(const Json before, ReadJsonFile(folder + "/tokenizer_config.json"));
  ASSERT_OK_AND_ASSIGN(const Json after, ReadJsonFile(directory / "tokenizer_config.json"));
  EXPECT_EQ(before["chat_template"], after["chat_template"]);
  EXPECT_EQ(nlohmann::json(before), nlohmann::json(after));  // the same but for the order of keys
}

// The definition: the merge of lowest rank that fits anywhere, at its leftmost place.
Ids MergeByDefinition(const ByteLevelBpe& parts, std::string_view piece) {
  std::map<std::pair<int32_t, int32_t>, size_t> rank_of;
  for (size_t i = 0; i < parts.merges.size(); ++i) rank_of[parts.merges[i]] = i;
  Ids ids;
  for (const char byte : piece) ids.push_back(static_cast<unsigned char>(byte));
  while (true) {
    size_t best = parts.merges.size(), at = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto found = rank_of.find({ids[i], ids[i + 1]});
      if (found == rank_of.end() || found->second >= best) continue;
      best = found->second;
      at = i;
    }
    if (best == parts.merges.size()) return ids;
    const std::string joined =
        parts.tokens[static_cast<size_t>(ids[at])] + parts.tokens[static_cast<size_t>(ids[at + 1])];
    const auto token = std::find(parts.tokens.begin(), parts.tokens.end(), joined);
    ids[at] = static_cast<int32_t>(token - parts.tokens.begin());
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
}

// Random merges in random order: merges may join what only merges of higher rank make, several may make the
// same token, and no merges may make a token.
ByteLevelBpe RandomParts(Rng& rng) {
  std::vector<std::string> known = {"a", "b", "c"};
  std::vector<std::pair<std::string, std::string>> merges;
  for (int i = 0; i < 40; ++i) {
    const std::string left = known[rng.Below(known.size())], right = known[rng.Below(known.size())];
    if (left.size() + right.size() > 40) continue;
    const std::pair merge(left, right);
    if (std::find(merges.begin(), merges.end(), merge) != merges.end()) continue;
    merges.push_back(merge);
    known.push_back(left + right);
  }
  ByteLevelBpe parts = SmallParts(merges);
  for (size_t i = parts.merges.size(); i > 1; --i) std::swap(parts.merges[i - 1], parts.merges[rng.Below(i)]);
  return parts;
}

TEST(TokenizerTest, MergesAsDefined) {
  Rng rng(3);
  for (int round = 0; round < 60; ++round) {
    const ByteLevelBpe parts = RandomParts(rng);
    ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::FromByteLevelBpe(parts));
    for (int i = 0; i < 40; ++i) {
      // Lengths on both sides of every change of method: word memory (32), short rows, the heap (256).
      const size_t length = i < 30 ? 1 + rng.Below(40) : 250 + rng.Below(60);
      std::string piece;
      for (size_t n = 0; n < length; ++n) piece += static_cast<char>('a' + rng.Below(3));
      const Ids expected = MergeByDefinition(parts, piece);
      ASSERT_EQ(tokenizer.Encode(piece), expected) << piece;
      ASSERT_EQ(tokenizer.Encode(piece), expected) << piece << " (remembered)";
      ASSERT_EQ(tokenizer.Encode(piece + "!" + piece + "!").size(), 2 * expected.size() + 2) << piece;
    }
  }
}

// The same over characters of one to four bytes, for what bpe_characters.cc decides: merges of their bytes,
// of parts across the boundary between two characters, and of whole characters, in an order that favours
// none.
TEST(TokenizerTest, MergesCharactersAsDefined) {
  const std::vector<std::string> characters = {"a",      " ",      "\u00e9", "\u00e8",    "\u0434",
                                               "\u4e2d", "\u4e2e", "\u6587", "\U0001f600"};
  Rng rng(5);
  size_t tokens_of_characters = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<std::pair<std::string, std::string>> merges;
    std::vector<std::string> known;
    for (const std::string& c : characters) {
      for (const char byte : c) known.push_back(std::string(1, byte));
      if (c.size() == 1 || rng.Below(4) == 0) continue;
      // Most characters get a token, from either end.
      const bool from_front = rng.Below(2) == 0;
      std::string part(1, from_front ? c.front() : c.back());
      for (size_t i = 1; i < c.size(); ++i) {
        const std::string byte(1, from_front ? c[i] : c[c.size() - 1 - i]);
        merges.emplace_back(from_front ? part : byte, from_front ? byte : part);
        part = merges.back().first + merges.back().second;
        known.push_back(part);
      }
      ++tokens_of_characters;
    }
    for (uint64_t n = rng.Below(12); n > 0; --n) {
      const std::string left = known[rng.Below(known.size())], right = known[rng.Below(known.size())];
      merges.emplace_back(left, right);
      known.push_back(left + right);
    }
    std::sort(merges.begin(), merges.end());
    merges.erase(std::unique(merges.begin(), merges.end()), merges.end());
    std::stable_sort(merges.begin(), merges.end(), [](const auto& a, const auto& b) {
      return a.first.size() + a.second.size() < b.first.size() + b.second.size();
    });
    ByteLevelBpe parts = SmallParts(merges);
    parts.nfc = false;
    // From the order of training, over slightly mixed, to any order.
    for (uint64_t swaps = round % 3 == 0 ? 0 : rng.Below(3 * parts.merges.size() + 1); swaps > 0; --swaps) {
      std::swap(parts.merges[rng.Below(parts.merges.size())], parts.merges[rng.Below(parts.merges.size())]);
    }
    ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::FromByteLevelBpe(parts));
    const PreTokenizer pre_tokenizer(parts.pre_tokenizer);
    for (int i = 0; i < 60; ++i) {
      std::string text;
      for (uint64_t n = rng.Below(i < 55 ? 20 : 200); n > 0; --n)
        text += characters[rng.Below(characters.size())];
      Ids expected;
      pre_tokenizer.ForEachPiece(text, [&](std::string_view piece) {
        const Ids ids = MergeByDefinition(parts, piece);
        expected.insert(expected.end(), ids.begin(), ids.end());
      });
      ASSERT_EQ(tokenizer.Encode(text), expected) << text << " in round " << round;
    }
  }
  EXPECT_GT(tokens_of_characters, 1000u);
}

TEST(TokenizerTest, ArbitraryBytesComeBackRepaired) {
  ByteLevelBpe parts = SmallParts({{"\xC3", "\xA9"}, {"a", "\xC3"}, {" ", "a"}, {" a", "\xC3\xA9"}});
  parts.nfc = false;
  ASSERT_OK_AND_ASSIGN(const Tokenizer plain, Tokenizer::FromByteLevelBpe(parts));
  ASSERT_OK_AND_ASSIGN(const Tokenizer nfc, Tokenizer::Load(kFixtures + "qwen2"));
  EXPECT_TRUE(rc::check("decoding gives the repaired, normalised text", [&](const std::string& noise) {
    const std::string text = noise + " a\xC3\xA9 e\xCC\x81" + noise;
    const std::string repaired = RepairUtf8(text);
    RC_ASSERT(plain.Decode(plain.Encode(text)) == repaired);
    RC_ASSERT(StreamDecode(plain, plain.Encode(text), false) == repaired);
    std::string normalized;
    NormalizeNfc(repaired, normalized);
    RC_ASSERT(nfc.Decode(nfc.Encode(text, {.special = SpecialTokens::kAsText})) == normalized);
  }));
  EXPECT_TRUE(rc::check("a stream of any ids decodes like the whole", [&](const std::vector<uint16_t>& raw) {
    const Ids ids(raw.begin(), raw.end());
    RC_ASSERT(StreamDecode(plain, ids, false) == plain.Decode(ids));
    RC_ASSERT(StreamDecode(plain, ids, true) == plain.Decode(ids, true));
  }));
}

// As Hugging Face tokenizers: a byte that has no token disappears, and what is around it may merge; with an
// unknown token, it is that.
TEST(TokenizerTest, BytesWithoutATokenDisappearOrAreUnknown) {
  ASSERT_OK_AND_ASSIGN(
      const Tokenizer whole,
      Tokenizer::FromByteLevelBpe(SmallParts({{"t", "h"}, {"\xC3", "\xA9"}, {"\xC3\xA9", "t"}})));
  TokenizerSpec spec = whole.spec();
  for (const char byte : {'\x04', '\xF1', 'Q'}) spec.tokens[static_cast<unsigned char>(byte)].clear();
  const int32_t th = 256, acute_t = 258, end = 259;
  const std::string text = "t\x04h\xC3\xA9Qt";
  ASSERT_OK_AND_ASSIGN(const Tokenizer without, Tokenizer::FromSpec(spec, "test"));
  EXPECT_EQ(without.Encode(text), (Ids{'t', 'h', acute_t}));  // cut into pieces before bytes disappear
  EXPECT_EQ(without.Encode("tQhQQ"), (Ids{th}));
  EXPECT_EQ(without.Encode("\xC3\xA9QQt"), (Ids{acute_t}));
  EXPECT_EQ(without.Encode("\xF1\x90\x80\x80QQ"), (Ids{0x90, 0x80, 0x80}));
  EXPECT_EQ(without.Encode("Q"), Ids());
  EXPECT_EQ(without.Encode(std::string(600, 'Q') + "t"), (Ids{'t'}));
  spec.unk_id = end;
  spec.fuse_unk = false;
  ASSERT_OK_AND_ASSIGN(const Tokenizer unknown, Tokenizer::FromSpec(spec, "test"));
  EXPECT_EQ(unknown.Encode("tQhQQ"), (Ids{'t', end, 'h', end, end}));
  spec.fuse_unk = true;
  ASSERT_OK_AND_ASSIGN(const Tokenizer fused, Tokenizer::FromSpec(spec, "test"));
  EXPECT_EQ(fused.Encode("tQhQQ"), (Ids{'t', end, 'h', end}));
  EXPECT_EQ(fused.Encode(std::string(600, 'Q') + "t"), (Ids{end, 't'}));
}

TEST(TokenizerTest, StreamHoldsBackIncompleteCharacters) {
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::FromByteLevelBpe(SmallParts({})));
  StreamDecoder decoder(tokenizer);
  EXPECT_EQ(decoder.Next('a'), "a");
  EXPECT_EQ(decoder.Next(0xE2), "");
  EXPECT_EQ(decoder.Next(0x82), "");
  EXPECT_EQ(decoder.Next(0xAC), "\xE2\x82\xAC");
  EXPECT_EQ(decoder.Next(0xF0), "");
  EXPECT_EQ(decoder.Next('b'),
            "\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(decoder.Next(0xE2), "");
  EXPECT_EQ(decoder.Finish(), "\xEF\xBF\xBD");
  EXPECT_EQ(decoder.Finish(), "");
}

TEST(TokenizerTest, SpecialTokensAreParsedOnlyWhenAskedFor) {
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::FromByteLevelBpe(SmallParts({})));
  const std::string text = "a<|end|>b";
  EXPECT_EQ(tokenizer.Encode(text), (Ids{'a', 256, 'b'}));
  const Ids as_text = tokenizer.Encode(text, {.special = SpecialTokens::kAsText});
  EXPECT_EQ(as_text.size(), text.size());
  EXPECT_EQ(tokenizer.Decode(as_text, true), text);
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(text), true), "ab");
  EXPECT_EQ(tokenizer.eos_id(), 256);
  EXPECT_EQ(tokenizer.pad_id(), 257);
  EXPECT_EQ(tokenizer.vocab_size(), 258u);
  EXPECT_EQ(tokenizer.TokenId("<|pad|>"), 257);
  EXPECT_EQ(tokenizer.TokenId("<|pad"), std::nullopt);
  EXPECT_EQ(tokenizer.TokenBytes(258), "");
  EXPECT_EQ(tokenizer.TokenBytes(-1), "");
  EXPECT_EQ(tokenizer.Decode(Ids{-5, 'x', 1 << 30}), "x");
}

TEST(TokenizerTest, ControlTokensAreTextWhereOnlyTheyAre) {
  ByteLevelBpe parts = SmallParts({});
  ASSERT_OK_AND_ASSIGN(const Tokenizer small, Tokenizer::FromByteLevelBpe(std::move(parts)));
  TokenizerSpec spec = small.spec();
  spec.added_tokens.push_back({.id = 258, .content = "<tool_call>", .special = false});
  spec.added_tokens.push_back({.id = 259, .content = "<|fim_prefix|>", .special = false});
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::FromSpec(std::move(spec), "test"));
  const std::string text = "<|end|><tool_call><|fim_prefix|>";
  EXPECT_EQ(tokenizer.Encode(text), (Ids{256, 258, 259}));
  const Ids ids = tokenizer.Encode(text, {.special = SpecialTokens::kControlAsText});
  EXPECT_EQ(ids.size(), 7u + 1u + 14u);
  EXPECT_EQ(std::ranges::count_if(ids, [](int32_t id) { return id >= 256; }), 1);
  EXPECT_EQ(tokenizer.Decode(ids), text);
}

// Parts that all recognise the same tokens are encoded like their joined text.
TEST_P(FixtureTest, PartsAreEncodedAsTheirTextIs) {
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(kFixtures + GetParam()));
  ASSERT_OK_AND_ASSIGN(const Json cases, ReadJsonFile(kFixtures + GetParam() + "/cases.json"));
  Rng rng(17);
  for (const Json& item : cases) {
    const auto text = item["text"].get<std::string>();
    for (const SpecialTokens special :
         {SpecialTokens::kParse, SpecialTokens::kControlAsText, SpecialTokens::kAsText}) {
      std::vector<TextPart> parts;
      for (size_t at = 0; at < text.size();) {
        size_t end = at + 1 + rng.Below(12);
        while (end < text.size() && (text[end] & 0xC0) == 0x80) ++end;
        parts.push_back({.text = text.substr(at, end - at), .special = special});
        at = end;
      }
      Ids ids;
      tokenizer.Encode(parts, ids, {.add_bos = true});
      ASSERT_EQ(ids, tokenizer.Encode(text, {.special = special, .add_bos = true})) << text;
    }
  }
}

TEST_P(FixtureTest, AddedTokensAreFoundInThePartsThatRecogniseThem) {
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(kFixtures + GetParam()));
  size_t checked = 0;
  for (const AddedToken& added : tokenizer.spec().added_tokens) {
    if (added.content.find_first_of(" \n") != std::string::npos) continue;
    ++checked;
    SCOPED_TRACE(added.content);
    const TextPart typed{.text = "a " + added.content + " e\u0301", .special = SpecialTokens::kAsText};
    const TextPart marker{.text = added.content, .special = SpecialTokens::kParse};
    const TextPart half{.text = added.content.substr(0, 1), .special = SpecialTokens::kAsText};
    const TextPart rest{.text = added.content.substr(1), .special = SpecialTokens::kParse};
    for (const auto& [parts, count] : std::vector<std::pair<std::vector<TextPart>, int>>{
             {{typed}, 0},
             {{typed, marker, typed}, 1},
             {{marker, typed, marker}, 2},
             {{half, rest}, 0},
         }) {
      Ids ids;
      tokenizer.Encode(parts, ids);
      EXPECT_EQ(std::ranges::count(ids, added.id), count);
    }
  }
  EXPECT_GT(checked, 0u);
}

TEST(TokenizerTest, TemplateTokensAreAddedOnlyWhenAskedFor) {
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(kFixtures + "sentencepiece"));
  const Ids plain = tokenizer.Encode("the");
  Ids framed = {1};
  framed.insert(framed.end(), plain.begin(), plain.end());
  framed.push_back(2);
  EXPECT_EQ(tokenizer.Encode("the", {.add_bos = true, .add_eos = true}), framed);
  EXPECT_EQ(tokenizer.Encode("", {.add_bos = true}), Ids{1});
  EXPECT_EQ(tokenizer.TokenId("\a"), 3 + '\a');  // no other token than <0x07>
  EXPECT_EQ(tokenizer.TokenBytes(3 + '\a'), "\a");
}

TEST(TokenizerTest, ThreadsShareOneTokenizer) {
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(kFixtures + "qwen2"));
  ASSERT_OK_AND_ASSIGN(const Json cases, ReadJsonFile(kFixtures + "qwen2/cases.json"));
  std::atomic<int> different{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (const Json& item : cases) {
        different += tokenizer.Encode(item["text"].get<std::string>()) != item["ids"].get<Ids>();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(different, 0);
}

TEST(TokenizerTest, TrainedPartsSurviveSaving) {
  ByteLevelBpe parts = SmallParts({{"t", "h"}, {"th", "e"}, {" ", "the"}, {"\"", "\\"}, {"\x01", "\n"}});
  parts.chat_template = "{{ \"x\" }}\n";
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::FromByteLevelBpe(parts));
  TemporaryDirectory directory;
  ASSERT_OK(tokenizer.Save(directory / "new/folder"));
  const std::string folder = directory / "new/folder";
  ASSERT_OK_AND_ASSIGN(const Tokenizer loaded, Tokenizer::Load(folder));
  std::filesystem::remove(folder + "/tokenizer.json");  // the same from vocab.json and merges.txt
  ASSERT_OK_AND_ASSIGN(const Tokenizer from_parts, Tokenizer::Load(folder));
  const std::string text = "the then\x01\n \"\\\" <|end|> the";
  for (const Tokenizer& again : {loaded, from_parts}) {
    EXPECT_EQ(again.Encode(text), tokenizer.Encode(text));
    EXPECT_EQ(again.vocab_size(), tokenizer.vocab_size());
    EXPECT_EQ(again.eos_id(), tokenizer.eos_id());
    EXPECT_EQ(again.spec().chat_template, parts.chat_template);
    for (size_t id = 0; id < tokenizer.vocab_size(); ++id) {
      EXPECT_EQ(again.TokenBytes(static_cast<int32_t>(id)), tokenizer.TokenBytes(static_cast<int32_t>(id)));
    }
  }
  EXPECT_ERROR_CONTAINS(tokenizer.Save("/proc/no/such/folder"), "/proc/no/such/folder");
}

TEST(TokenizerTest, PartsThatDoNotFitAreRefused) {
  const ByteLevelBpe good = SmallParts({{"t", "h"}});
  const auto error = [&](auto change) {
    ByteLevelBpe parts = good;
    change(parts);
    const auto result = Tokenizer::FromByteLevelBpe(parts);
    EXPECT_EQ(result.status().code(), StatusCode::kInvalidArgument);
    return result.status().message();
  };
  EXPECT_NE(error([](auto& p) { p.merges.push_back({'x', 'y'}); }).find("merge 1"), std::string::npos);
  EXPECT_NE(error([](auto& p) { p.merges.push_back({'x', 900}); }).find("900"), std::string::npos);
  EXPECT_NE(error([](auto& p) { p.tokens[65] = "zz"; }).find("byte 0x41"), std::string::npos);
  EXPECT_NE(error([](auto& p) { p.tokens.push_back("th"); }).find("same text"), std::string::npos);
  EXPECT_NE(error([](auto& p) { p.special_tokens.push_back("<|end|>"); }).find("repeats"), std::string::npos);
  EXPECT_NE(error([](auto& p) { p.special_tokens.push_back(""); }).find("no content"), std::string::npos);
}

TEST(TokenizerTest, AnEndTokenOutsideTheVocabularyIsNone) {
  ByteLevelBpe parts = SmallParts({{"t", "h"}});
  parts.eos_token = "<|none|>";
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::FromByteLevelBpe(parts));
  EXPECT_EQ(tokenizer.eos_id(), std::nullopt);
}

TEST(Llama2cTokenizerTest, ReadsTheStoryVocabulary) {
  QWEN25_REQUIRE_SHARED_DATA(data);
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, TokenizerFromLlama2c(data + "/weights/tok512.bin"));
  EXPECT_EQ(tokenizer.vocab_size(), 512u);
  EXPECT_EQ(tokenizer.bos_id(), 1);
  const std::string text = "Once upon a time, there was a little girl named Lily.\n\xF0\x9F\x98\x80 <s>";
  const Ids ids = tokenizer.Encode(text, {.special = SpecialTokens::kAsText, .add_bos = true});
  // What llama2.c's own tokenizer gives for the words.
  EXPECT_EQ(Ids(ids.begin(), ids.begin() + 5), (Ids{1, 403, 407, 261, 378}));
  EXPECT_EQ(tokenizer.Decode(ids, true), text);
  EXPECT_EQ(StreamDecode(tokenizer, ids, true), text);
  TemporaryDirectory directory;
  ASSERT_OK(tokenizer.Save(directory.path()));
  ASSERT_OK_AND_ASSIGN(const Tokenizer loaded, Tokenizer::Load(directory.path()));
  EXPECT_EQ(loaded.Encode(text), tokenizer.Encode(text));
  EXPECT_EQ(loaded.bos_id(), 1);

  ASSERT_OK_AND_ASSIGN(const std::string good, ReadFile(data + "/weights/tok512.bin"));
  const std::string file = directory / "cut.bin";
  for (size_t size = 0; size < good.size(); size += 11) {
    std::ofstream(file) << good.substr(0, size);
    const auto cut = TokenizerFromLlama2c(file);
    // The format states no count: a file cut between two tokens is a smaller vocabulary.
    if (!cut.ok()) {
      EXPECT_EQ(cut.status().code(), StatusCode::kCorrupt);
      EXPECT_NE(cut.status().message().find("cut.bin"), std::string::npos);
    } else {
      EXPECT_LT(cut->vocab_size(), 512u);
    }
  }
}

}  // namespace
}  // namespace qwen25
