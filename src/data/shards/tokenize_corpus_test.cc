#include "data/shards/tokenize_corpus.h"

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "base/test_util.h"
#include "data/read/jsonl.h"
#include "store/indexed_dataset.h"

namespace qwen25 {
namespace {

// Bytes, three merges, and an end of text after them.
Tokenizer SmallTokenizer(std::vector<std::string> special = {"<|endoftext|>"}) {
  ByteLevelBpe parts;
  for (int byte = 0; byte < 256; ++byte) parts.tokens.push_back(std::string(1, static_cast<char>(byte)));
  parts.tokens.insert(parts.tokens.end(), {"th", "the", "er"});
  parts.merges = {{'t', 'h'}, {256, 'e'}, {'e', 'r'}};
  parts.special_tokens = std::move(special);
  Result<Tokenizer> tokenizer = Tokenizer::FromByteLevelBpe(std::move(parts));
  EXPECT_OK(tokenizer);
  return *tokenizer;
}

std::string Lines(const std::vector<std::string>& texts) {
  std::string lines;
  for (size_t i = 0; i < texts.size(); ++i) AppendJsonLine({std::to_string(i), "test", texts[i]}, lines);
  return lines;
}

TEST(TokenizeCorpusTest, EveryDocumentInOrderWithItsEnd) {
  TemporaryDirectory directory;
  const Tokenizer tokenizer = SmallTokenizer();
  std::vector<std::string> texts = {"the other\n", "a <|endoftext|> in text\n", ""};
  for (int i = 0; i < 1500; ++i)
    texts.push_back("document " + std::string(static_cast<size_t>(i % 40), 'x') + std::to_string(i));
  ASSERT_OK(WriteFileAtomically(directory / "d.jsonl", Lines(texts)));
  uint64_t bytes = 0;
  for (const std::string& text : texts) bytes += text.size();
  std::string first_bin;
  for (const size_t threads : {1, 3}) {
    ThreadPool pool(threads);
    ASSERT_OK_AND_ASSIGN(const TokenizeReport report,
                         TokenizeCorpus(directory / "d.jsonl", tokenizer, directory / "shard", pool));
    EXPECT_EQ(report.documents, texts.size());
    EXPECT_EQ(report.bytes, bytes);
    ASSERT_OK_AND_ASSIGN(const IndexedDataset dataset, IndexedDataset::Open(directory / "shard"));
    ASSERT_EQ(dataset.num_documents(), texts.size());
    EXPECT_EQ(dataset.num_tokens(), report.tokens);
    const int32_t end = *tokenizer.TokenId("<|endoftext|>");
    for (size_t i = 0; i < texts.size(); ++i) {
      std::vector<int32_t> ids(dataset.DocumentLength(i));
      dataset.Read(i, 0, ids);
      ASSERT_FALSE(ids.empty());
      EXPECT_EQ(ids.back(), end);
      ids.pop_back();
      EXPECT_EQ(std::ranges::count(ids, end), 0);  // the same words inside a text are words
      EXPECT_EQ(tokenizer.Decode(ids), texts[i]);
    }
    const std::string bin = *ReadFile(directory / "shard.bin");
    if (threads == 1) first_bin = bin;
    EXPECT_EQ(bin, first_bin);
  }
}

TEST(TokenizeCorpusTest, LongDocumentsAreStoredInPieces) {
  TemporaryDirectory directory;
  const Tokenizer tokenizer = SmallTokenizer();
  ASSERT_OK(WriteFileAtomically(directory / "d.jsonl", Lines({std::string(1000, 'x') + "end", "short"})));
  ThreadPool pool(1);
  ASSERT_OK(TokenizeCorpus(directory / "d.jsonl", tokenizer, directory / "whole", pool));
  ASSERT_OK(TokenizeCorpus(directory / "d.jsonl", tokenizer, directory / "cut", pool, 64));
  ASSERT_OK_AND_ASSIGN(const IndexedDataset whole, IndexedDataset::Open(directory / "whole"));
  ASSERT_OK_AND_ASSIGN(const IndexedDataset cut, IndexedDataset::Open(directory / "cut"));
  const auto all_tokens = [](const IndexedDataset& dataset) {
    std::vector<int32_t> all;
    for (uint64_t i = 0; i < dataset.num_documents(); ++i) {
      std::vector<int32_t> ids(dataset.DocumentLength(i));
      dataset.Read(i, 0, ids);
      all.insert(all.end(), ids.begin(), ids.end());
    }
    return all;
  };
  EXPECT_EQ(all_tokens(cut), all_tokens(whole));
  EXPECT_GT(cut.num_documents(), whole.num_documents());
  for (uint64_t i = 0; i < cut.num_documents(); ++i) EXPECT_LT(cut.DocumentLength(i), 96u);
}

TEST(TokenizeCorpusTest, ErrorsNameThePlaceAndWriteNothing) {
  TemporaryDirectory directory;
  ThreadPool pool(2);
  const Tokenizer tokenizer = SmallTokenizer();
  ASSERT_OK(WriteFileAtomically(directory / "bad.jsonl", Lines({"good"}) + "{\"text\":\n"));
  ASSERT_OK(WriteFileAtomically(directory / "empty.jsonl", "\n"));
  EXPECT_ERROR_CONTAINS(TokenizeCorpus(directory / "bad.jsonl", tokenizer, directory / "s", pool),
                        "bad.jsonl line 2: not valid JSON");
  EXPECT_ERROR_CONTAINS(TokenizeCorpus(directory / "empty.jsonl", tokenizer, directory / "s", pool),
                        "empty.jsonl holds no documents");
  EXPECT_ERROR_CONTAINS(TokenizeCorpus(directory / "none.jsonl", tokenizer, directory / "s", pool),
                        "none.jsonl");
  EXPECT_ERROR_CONTAINS(TokenizeCorpus(directory / "bad.jsonl", SmallTokenizer({}), directory / "s", pool),
                        "<|endoftext|>");
  for (const auto& entry : std::filesystem::directory_iterator(directory.path()))
    EXPECT_EQ(entry.path().extension(), ".jsonl") << entry.path();
}

}  // namespace
}  // namespace qwen25
