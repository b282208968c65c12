#include "text/bpe_trainer.h"

#include <rapidcheck.h>

#include <map>
#include <sstream>

#include "base/file.h"
#include "base/rng.h"
#include "base/test_util.h"
#include "text/chat_template.h"
#include "text/normalizer.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

using Strings = std::vector<std::string>;
using StringPairs = std::vector<std::pair<std::string, std::string>>;

StringPairs MergesOf(const ByteLevelBpe& bpe) {
  StringPairs merges;
  for (const auto& [left, right] : bpe.merges) merges.emplace_back(bpe.tokens[left], bpe.tokens[right]);
  return merges;
}

// The definition, written as directly as possible: recounts all pairs of all pieces before every merge.
struct NaiveBpe {
  Strings tokens = ByteAlphabet();
  StringPairs merges;
  std::map<Strings, uint64_t> pieces;  // as sequences of tokens, with their counts
};
NaiveBpe TrainNaively(const Strings& texts, const BpeTrainerOptions& options) {
  NaiveBpe bpe;
  std::map<Strings, uint64_t>& pieces = bpe.pieces;
  const auto add_plain = [&](std::string text) {
    std::string normalized = RepairUtf8(text);
    if (options.nfc) NormalizeNfc(RepairUtf8(text), normalized);
    PreTokenizer(options.pre_tokenizer).ForEachPiece(normalized, [&](std::string_view piece) {
      Strings bytes;
      for (const char c : piece) bytes.emplace_back(1, c);
      ++pieces[bytes];
    });
  };
  for (std::string text : texts) {
    while (true) {
      size_t first = std::string::npos, length = 0;
      for (const std::string& token : options.special_tokens) {
        const size_t at = text.find(token);
        if (at < first || (at == first && at != std::string::npos && token.size() > length)) {
          first = at;
          length = token.size();
        }
      }
      if (first == std::string::npos) break;
      add_plain(text.substr(0, first));
      text = text.substr(first + length);
    }
    add_plain(text);
  }

  while (bpe.tokens.size() + options.special_tokens.size() < options.vocab_size) {
    std::map<std::pair<std::string, std::string>, uint64_t> counts;
    for (const auto& [piece, count] : pieces) {
      for (size_t i = 0; i + 1 < piece.size(); ++i) counts[{piece[i], piece[i + 1]}] += count;
    }
    std::pair<uint64_t, std::pair<std::string, std::string>> best;
    for (const auto& [pair, count] : counts) best = std::max(best, {count, pair});
    if (best.first < options.min_frequency) break;
    const auto& [left, right] = best.second;
    bpe.merges.emplace_back(left, right);
    if (std::find(bpe.tokens.begin(), bpe.tokens.end(), left + right) == bpe.tokens.end()) {
      bpe.tokens.push_back(left + right);
    }
    std::map<Strings, uint64_t> merged_pieces;
    for (const auto& [piece, count] : pieces) {
      Strings merged;
      for (size_t i = 0; i < piece.size(); ++i) {
        const bool is_pair = i + 1 < piece.size() && piece[i] == left && piece[i + 1] == right;
        merged.push_back(is_pair ? left + right : piece[i]);
        i += is_pair;
      }
      merged_pieces[merged] += count;
    }
    pieces = std::move(merged_pieces);
  }
  return bpe;
}

// Few distinct parts, so that counts tie, pairs overlap and pieces repeat.
std::string RandomText(Rng& rng, size_t max_parts) {
  static const char* const kParts[] = {"a",     "a",      "aa",      "b",    "ab",   "c",      " ",
                                       "  ",    "\n",     "'s",      "1",    "23",   "\t",     "-",
                                       "--",    "é",      "e\u0301", "\xc3", "\xff", "世",     "<|",
                                       "<|x|>", "<|x|>y", "\r\n",    "A\nB", "x\ny", "\u2028", "🙂"};
  std::string text;
  for (size_t i = rng.Below(max_parts + 1); i > 0; --i) text += kParts[rng.Below(std::size(kParts))];
  return text;
}

BpeTrainerOptions RandomOptions(Rng& rng) {
  static const std::vector<Strings> kSpecial = {
      {}, {"<|x|>"}, {"<|x|>", "<|x|>y", "世a"}, {"ab", "\n\n"}, {"A\nB", "aa", "aaa"}};
  BpeTrainerOptions options;
  options.special_tokens = kSpecial[rng.Below(kSpecial.size())];
  options.vocab_size = 256 + options.special_tokens.size() + rng.Below(60);
  options.pre_tokenizer = rng.Below(2) == 0 ? PreTokenizerKind::kQwen2 : PreTokenizerKind::kGpt2;
  options.nfc = rng.Below(2) == 0;
  options.min_frequency = 1 + rng.Below(3);
  options.task_bytes = 1 + rng.Below(100);
  return options;
}

TEST(BpeTrainer, EqualsTheNaiveTrainerOnRandomText) {
  ThreadPool pool(3);
  EXPECT_TRUE(rc::check([&](uint64_t seed) {
    Rng rng(seed);
    const BpeTrainerOptions options = RandomOptions(rng);
    Strings texts(1 + rng.Below(6));
    for (std::string& text : texts) text = RandomText(rng, 80);
    texts[0] += "z";  // never without any text
    const NaiveBpe want = TrainNaively(texts, options);
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    const TrainedBpe got = TrainBpe(views, options, pool).value();
    RC_ASSERT(MergesOf(got.tokenizer) == want.merges);
    RC_ASSERT(got.tokenizer.tokens == want.tokens);
    RC_ASSERT(got.complete() == (want.tokens.size() + options.special_tokens.size() == options.vocab_size));
  }));
}

// Pieces in which one letter repeats: occurrences of a pair overlap each other and the merges before.
TEST(BpeTrainer, EqualsTheNaiveTrainerOnRunsOfOneLetter) {
  ThreadPool pool(1);
  EXPECT_TRUE(rc::check([&](uint64_t seed) {
    Rng rng(seed);
    BpeTrainerOptions options{.special_tokens = {}, .min_frequency = 1};
    options.vocab_size = 256 + rng.Below(40);
    std::string text = "a";
    for (size_t i = 0; i < 40; ++i) {
      text += rng.Below(3) == 0 ? " " : rng.Below(4) == 0 ? "b" : std::string(1 + rng.Below(20), 'a');
    }
    const NaiveBpe want = TrainNaively({text}, options);
    const std::string_view views[] = {text};
    RC_ASSERT(MergesOf(TrainBpe(views, options, pool).value().tokenizer) == want.merges);
  }));
}

TEST(BpeTrainer, ThreadsAndTaskSizesDoNotMatter) {
  Rng rng(5);
  std::string text;
  while (text.size() < 300'000) text += RandomText(rng, 300) + "<|endoftext|>";
  const std::string_view whole[] = {text};
  const BpeTrainerOptions options{.vocab_size = 400, .task_bytes = size_t{1} << 30};
  ThreadPool one(1);
  ASSERT_OK_AND_ASSIGN(const TrainedBpe want, TrainBpe(whole, options, one));
  EXPECT_TRUE(want.complete());
  EXPECT_LT(want.num_bytes, text.size());
  for (const size_t num_threads : {1, 2, 5}) {
    ThreadPool pool(num_threads);
    for (const size_t task_bytes : {1, 777, 40'000}) {
      BpeTrainerOptions cut = options;
      cut.task_bytes = task_bytes;
      ASSERT_OK_AND_ASSIGN(const TrainedBpe got, TrainBpe(whole, cut, pool));
      EXPECT_EQ(got.tokenizer.tokens, want.tokenizer.tokens);
      EXPECT_EQ(got.tokenizer.merges, want.tokenizer.merges);
      EXPECT_EQ(got.num_bytes, want.num_bytes);
      EXPECT_EQ(got.num_pieces, want.num_pieces);
      EXPECT_EQ(got.num_different_pieces, want.num_different_pieces);
    }
  }
}

TEST(BpeTrainer, EqualsTheReferenceVocabularyOfARealCorpus) {
  QWEN25_REQUIRE_SHARED_DATA(data);
  const std::string folder = data + "/bpe_oracle/";
  ASSERT_OK_AND_ASSIGN(const std::string corpus, ReadFile(folder + "corpus.en"));
  ASSERT_OK_AND_ASSIGN(const Json vocabulary, ReadJsonFile(folder + "train-bpe-reference-vocab.json"));
  ASSERT_OK_AND_ASSIGN(const std::string merges, ReadFile(folder + "train-bpe-reference-merges.txt"));
  const BpeTrainerOptions options{.vocab_size = 500, .pre_tokenizer = PreTokenizerKind::kGpt2, .nfc = false};
  ThreadPool pool(2);
  const std::string_view texts[] = {corpus};
  ASSERT_OK_AND_ASSIGN(const TrainedBpe trained, TrainBpe(texts, options, pool));

  // GPT-2 writes bytes as characters: a byte that prints as itself, the n-th other one as U+0100 + n.
  std::map<char, std::string> shown;
  const Strings alphabet = ByteAlphabet();
  uint32_t others = 0;
  for (const std::string& token : alphabet) {
    const auto byte = static_cast<unsigned char>(token[0]);
    const bool prints = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte != 0xad);
    AppendUtf8(prints ? byte : 0x100 + others++, shown[token[0]]);
  }
  const auto show = [&](const std::string& bytes) {
    std::string text;
    for (const char c : bytes) text += shown[c];
    return text;
  };

  std::istringstream lines(merges);
  std::string line;
  size_t rank = 0;
  for (; std::getline(lines, line); ++rank) {
    ASSERT_LT(rank, trained.tokenizer.merges.size());
    const auto [left, right] = trained.tokenizer.merges[rank];
    EXPECT_EQ(show(trained.tokenizer.tokens[left]) + " " + show(trained.tokenizer.tokens[right]), line)
        << rank;
  }
  EXPECT_EQ(rank, trained.tokenizer.merges.size());
  // The reference has its special token before the bytes, this project after the merges.
  ASSERT_EQ(vocabulary.size(), trained.vocab_size());
  EXPECT_EQ(vocabulary["<|endoftext|>"], 0);
  for (size_t id = 0; id < trained.tokenizer.tokens.size(); ++id) {
    EXPECT_EQ(vocabulary.value(show(trained.tokenizer.tokens[id]), Json()), id + 1);
  }
}

// Encoding with the learned merges must cut every piece of the training text as the last state of training
// did.
TEST(BpeTrainer, TheTokenizerItMakesCutsTextAsTrainingDid) {
  ThreadPool pool(2);
  EXPECT_TRUE(rc::check([&](uint64_t seed) {
    Rng rng(seed);
    const BpeTrainerOptions options = RandomOptions(rng);
    const std::string text = RandomText(rng, 200) + "z";
    const std::string_view texts[] = {text};
    const Tokenizer tokenizer =
        Tokenizer::FromByteLevelBpe(TrainBpe(texts, options, pool)->tokenizer).value();
    const NaiveBpe naive = TrainNaively({text}, options);
    std::map<std::string, Strings> pieces;
    for (const auto& [tokens, count] : naive.pieces) {
      std::string piece;
      for (const std::string& token : tokens) piece += token;
      pieces[piece] = tokens;
    }
    for (const auto& [piece, tokens] : pieces) {
      Strings encoded;
      for (const int32_t id : tokenizer.Encode(piece, {.special = SpecialTokens::kAsText})) {
        encoded.emplace_back(tokenizer.TokenBytes(id));
      }
      RC_ASSERT(encoded == tokens);
    }
    for (size_t i = 0; i < options.special_tokens.size(); ++i) {
      RC_ASSERT(tokenizer.TokenId(options.special_tokens[i]) ==
                static_cast<int32_t>(naive.tokens.size() + i));
    }
  }));
}

TEST(BpeTrainer, TheTokenizerItMakesIsSavedWithItsChatTemplate) {
  ThreadPool pool(1);
  const std::string_view texts[] = {"to be or not to be"};
  const BpeTrainerOptions options{.vocab_size = 270, .special_tokens = {"<|im_end|>", "<|endoftext|>"}};
  ASSERT_OK_AND_ASSIGN(TrainedBpe trained, TrainBpe(texts, options, pool));
  trained.tokenizer.eos_token = "<|im_end|>";
  trained.tokenizer.chat_template = ChatTemplateSource("Be \"brief\".");
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::FromByteLevelBpe(trained.tokenizer));
  const TemporaryDirectory folder;
  ASSERT_OK(tokenizer.Save(folder.path()));
  ASSERT_OK_AND_ASSIGN(const Tokenizer loaded, Tokenizer::Load(folder.path()));
  EXPECT_EQ(loaded.vocab_size(), trained.vocab_size());
  EXPECT_EQ(loaded.Encode("to be<|im_end|>"), tokenizer.Encode("to be<|im_end|>"));
  EXPECT_EQ(loaded.Encode("to be<|im_end|>").back(), loaded.eos_id());
  ASSERT_OK_AND_ASSIGN(const ChatTemplateSources sources, ReadChatTemplateSources(folder.path()));
  ASSERT_OK_AND_ASSIGN(const ChatTemplate compiled, ChatTemplate::Compile(sources));
  EXPECT_EQ(compiled.default_system(), "Be \"brief\".");
}

TEST(BpeTrainer, StopsEarlyAndSaysSoWhenPairsRunOut) {
  ThreadPool pool(1);
  const std::string_view texts[] = {"ab ab", "cd"};
  ASSERT_OK_AND_ASSIGN(const TrainedBpe trained, TrainBpe(texts, {.vocab_size = 1000}, pool));
  EXPECT_FALSE(trained.complete());
  EXPECT_EQ(trained.requested_vocab_size, 1000u);
  EXPECT_EQ(trained.vocab_size(), 256u + 1 + 1);
  EXPECT_EQ(MergesOf(trained.tokenizer), (StringPairs{{"a", "b"}}));
  EXPECT_EQ(trained.last_count, 2u);
  EXPECT_EQ(trained.num_bytes, 7u);
  EXPECT_EQ(trained.num_pieces, 3u);
  EXPECT_EQ(trained.num_different_pieces, 3u);
}

TEST(BpeTrainer, EqualCountsTakeTheGreatestPairOfByteStrings) {
  ThreadPool pool(1);
  // Each pair occurs twice. ("a", "\xff.") is greater than ("a", "b"), and any ("b", ..) than both.
  const std::string_view texts[] = {"ab ab", "ba ba", "\xc3\xbf\xc3\xbf"};
  ASSERT_OK_AND_ASSIGN(const TrainedBpe trained, TrainBpe(texts, {.vocab_size = 260}, pool));
  EXPECT_EQ(MergesOf(trained.tokenizer), (StringPairs{{"\xc3", "\xbf"}, {"b", "a"}, {"a", "b"}}));
}

TEST(BpeTrainer, CanTrainAgainAfterMoreText) {
  ThreadPool pool(2);
  ASSERT_OK_AND_ASSIGN(BpeTrainer trainer, BpeTrainer::Create({.vocab_size = 258}, &pool));
  trainer.Add("ab ab");
  ASSERT_OK_AND_ASSIGN(const TrainedBpe first, trainer.Train());
  EXPECT_EQ(MergesOf(first.tokenizer), (StringPairs{{"a", "b"}}));
  trainer.Add("cd cd cd");
  ASSERT_OK_AND_ASSIGN(const TrainedBpe second, trainer.Train());
  EXPECT_EQ(MergesOf(second.tokenizer), (StringPairs{{"c", "d"}}));
}

TEST(BpeTrainer, TokensStayWithinTheLimitThatATokenizerReads) {
  ThreadPool pool(1);
  const std::string text(size_t{1} << 20, 'a');  // doubles with every merge
  const std::string_view texts[] = {text};
  ASSERT_OK_AND_ASSIGN(const TrainedBpe trained,
                       TrainBpe(texts, {.vocab_size = 300, .min_frequency = 1}, pool));
  EXPECT_FALSE(trained.complete());
  EXPECT_EQ(trained.tokenizer.tokens.back().size(), kMaxTokenBytes);
}

TEST(BpeTrainer, RefusesAnEmptyCorpus) {
  ThreadPool pool(2);
  EXPECT_ERROR_CONTAINS(TrainBpe({}, {}, pool), "the corpus has no text");
  const std::string_view empty[] = {"", "", "<|endoftext|><|endoftext|>"};
  EXPECT_ERROR_CONTAINS(TrainBpe(empty, {}, pool), "the corpus has no text outside special tokens");
}

TEST(BpeTrainer, RefusesOptionsThatCannotBe) {
  ThreadPool pool(1);
  const std::vector<std::pair<BpeTrainerOptions, std::string>> cases = {
      {{.vocab_size = 256}, "vocab_size is 256, expected at least 257: 256 bytes and 1 special tokens"},
      {{.vocab_size = size_t{1} << 40}, "vocab_size is 1099511627776, expected at most 2097151"},
      {{.min_frequency = 0}, "min_frequency is 0"},
      {{.task_bytes = 0}, "task_bytes is 0"},
      {{.special_tokens = {"<s>", ""}}, "special_tokens[1] is \"\", expected UTF-8 of 2 to 65536 bytes"},
      {{.special_tokens = {"a"}}, "special_tokens[0] is \"a\""},
      {{.special_tokens = {"a\xff"}}, "special_tokens[0] is \"a\xef\xbf\xbd\""},
      {{.special_tokens = {"<s>", "</s>", "<s>"}}, "special_tokens[2] is \"<s>\" a second time"},
  };
  for (const auto& [options, message] : cases)
    EXPECT_ERROR_CONTAINS(BpeTrainer::Create(options, &pool), message);
}

}  // namespace
}  // namespace qwen25
