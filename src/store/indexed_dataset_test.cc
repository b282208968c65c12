#include "store/indexed_dataset.h"

#include <rapidcheck.h>

#include <cstring>
#include <fstream>

#include "base/test_util.h"

namespace qwen25 {
namespace {

using Documents = std::vector<std::vector<int32_t>>;

std::string BytesOf(auto... numbers) {
  std::string bytes;
  ((bytes.append(reinterpret_cast<const char*>(&numbers), sizeof numbers)), ...);
  return bytes;
}

// Assembles an .idx without any checks, as a hostile writer would.
struct Index {
  std::string magic = std::string("MMIDIDX\0\0", 9);
  uint64_t version = 1;
  uint8_t code = 8;
  uint64_t num_sequences = 2, num_indices = 3;
  std::vector<int32_t> lengths = {3, 2};
  std::vector<int64_t> pointers = {0, 6}, documents = {0, 1, 2};

  std::string Bytes() const {
    std::string bytes = magic + BytesOf(version, code, num_sequences, num_indices);
    for (int32_t n : lengths) bytes += BytesOf(n);
    for (int64_t n : pointers) bytes += BytesOf(n);
    for (int64_t n : documents) bytes += BytesOf(n);
    return bytes;
  }
};

class IndexedDatasetTest : public testing::Test {
 protected:
  Status WriteShard(const Documents& documents, uint32_t vocab_size) {
    QWEN25_TRY(IndexedDatasetWriter writer, IndexedDatasetWriter::Create(prefix_, vocab_size));
    for (const auto& document : documents) QWEN25_RETURN_IF_ERROR(writer.AddDocument(document));
    return writer.Finish();
  }
  Result<IndexedDataset> OpenBytes(const std::string& idx, const std::string& bin) {
    // Removed first: some file systems flush a file that is truncated and written again, which is slow.
    for (const char* extension : {".idx", ".bin"}) std::filesystem::remove(prefix_ + extension);
    std::ofstream(prefix_ + ".idx", std::ios::binary) << idx;
    std::ofstream(prefix_ + ".bin", std::ios::binary) << bin;
    return IndexedDataset::Open(prefix_);
  }
  static Documents ReadAll(const IndexedDataset& dataset) {
    Documents documents(dataset.num_documents());
    for (uint64_t i = 0; i < documents.size(); ++i) {
      documents[i].resize(dataset.DocumentLength(i));
      dataset.Read(i, 0, documents[i]);
    }
    return documents;
  }

  TemporaryDirectory directory_;
  const std::string prefix_ = directory_ / "shard";
};

TEST_F(IndexedDatasetTest, WhatIsWrittenIsRead) {
  EXPECT_TRUE(rc::check("documents come back, in every type of token", [&] {
    const auto vocab_size = *rc::gen::element<uint32_t>(1, 500, 65499, 65500, 151936, uint32_t{1} << 31);
    const auto id = rc::gen::map<uint32_t>([=](uint32_t x) { return static_cast<int32_t>(x % vocab_size); });
    const auto documents =
        *rc::gen::container<Documents>(rc::gen::nonEmpty(rc::gen::container<std::vector<int32_t>>(id)));
    const Status written = WriteShard(documents, vocab_size);
    RC_ASSERT(written.ok());
    const auto dataset = IndexedDataset::Open(prefix_);
    RC_ASSERT(dataset.ok());
    RC_ASSERT(ReadAll(*dataset) == documents);
    RC_ASSERT(dataset->CheckAllTokens(vocab_size).ok());
    uint64_t num_tokens = 0;
    for (const auto& document : documents) num_tokens += document.size();
    RC_ASSERT(dataset->num_tokens() == num_tokens);
    RC_ASSERT(std::filesystem::file_size(prefix_ + ".bin") == num_tokens * (vocab_size < 65500 ? 2 : 4));
    if (documents.empty()) return;
    const auto i = *rc::gen::inRange<size_t>(0, documents.size());
    const auto begin = *rc::gen::inRange<size_t>(0, documents[i].size() + 1);
    std::vector<int32_t> tail(documents[i].size() - begin);
    dataset->Read(i, begin, tail);
    RC_ASSERT(std::equal(tail.begin(), tail.end(), documents[i].begin() + begin));
  }));
}

TEST_F(IndexedDatasetTest, BytesAreMegatrons) {
  ASSERT_OK(WriteShard({{1, 2, 258}, {4, 5}}, 300));
  ASSERT_OK_AND_ASSIGN(const std::string idx, ReadFile(prefix_ + ".idx"));
  ASSERT_OK_AND_ASSIGN(const std::string bin, ReadFile(prefix_ + ".bin"));
  EXPECT_EQ(idx, Index().Bytes());
  EXPECT_EQ(bin, std::string("\1\0\2\0\2\1\4\0\5\0", 10));
  ASSERT_OK(WriteShard({{1, 2, 70000}}, 151936));
  EXPECT_EQ(*ReadFile(prefix_ + ".bin"), BytesOf(1, 2, 70000));
}

TEST_F(IndexedDatasetTest, DocumentsOfSeveralSequencesAreReadAsOne) {
  Index index;
  index.num_indices = 4;
  index.documents = {0, 2, 2, 2};
  ASSERT_OK_AND_ASSIGN(const auto dataset, OpenBytes(index.Bytes(), std::string("\1\0\2\0\3\0\4\0\5\0", 10)));
  EXPECT_EQ(ReadAll(dataset), (Documents{{1, 2, 3, 4, 5}, {}, {}}));
}

TEST_F(IndexedDatasetTest, LongDocumentsPassThroughTheBuffer) {
  std::vector<int32_t> document(1'500'000);
  for (size_t i = 0; i < document.size(); ++i) document[i] = static_cast<int32_t>(i * 7919 % 65499);
  ASSERT_OK(WriteShard({document, {1}, document}, 65499));
  ASSERT_OK_AND_ASSIGN(const auto dataset, IndexedDataset::Open(prefix_));
  EXPECT_EQ(ReadAll(dataset), (Documents{document, {1}, document}));
}

TEST_F(IndexedDatasetTest, NothingAppearsBeforeFinish) {
  {
    ASSERT_OK_AND_ASSIGN(auto writer, IndexedDatasetWriter::Create(prefix_, 100));
    ASSERT_OK(writer.AddDocument(std::vector<int32_t>{1, 2}));
    EXPECT_EQ(writer.num_documents(), 1u);
    EXPECT_EQ(writer.num_tokens(), 2u);
    EXPECT_FALSE(std::filesystem::exists(prefix_ + ".bin"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
}

TEST_F(IndexedDatasetTest, WriterRefusesWhatNoReaderCouldUse) {
  EXPECT_ERROR_CONTAINS(IndexedDatasetWriter::Create(prefix_, 0), "a vocabulary of 0 tokens");
  EXPECT_ERROR_CONTAINS(IndexedDatasetWriter::Create(directory_ / "missing/shard", 10), "cannot create");
  ASSERT_OK_AND_ASSIGN(auto writer, IndexedDatasetWriter::Create(prefix_, 100));
  ASSERT_OK(writer.AddDocument(std::vector<int32_t>{99}));
  EXPECT_ERROR_CONTAINS(writer.AddDocument({}), "document 1 has 0 tokens");
  EXPECT_ERROR_CONTAINS(writer.AddDocument(std::vector<int32_t>{0, 100}),
                        "document 1, token 1: token id 100 is outside the vocabulary of 100");
  EXPECT_ERROR_CONTAINS(writer.AddDocument(std::vector<int32_t>{-1}), "token id -1");
  ASSERT_OK(writer.Finish());
  ASSERT_OK_AND_ASSIGN(const auto dataset, IndexedDataset::Open(prefix_));
  EXPECT_EQ(ReadAll(dataset), (Documents{{99}}));  // nothing of the refused documents was written
}

TEST_F(IndexedDatasetTest, SaysWhatIsWrong) {
  const std::string bin(10, '\1');
  const auto expect = [&](const char* message, auto change) {
    Index index;
    change(index);
    EXPECT_ERROR_CONTAINS(OpenBytes(index.Bytes(), bin), message);
  };
  expect("does not begin with MMIDIDX", [](Index& index) { index.magic[3] = 'X'; });
  expect("format version 2", [](Index& index) { index.version = 2; });
  expect("tokens of type float32 (code 7)", [](Index& index) { index.code = 7; });
  expect("tokens of type unknown (code 0)", [](Index& index) { index.code = 0; });
  expect("0 document indices", [](Index& index) { index.num_indices = 0; });
  expect("too few for 3 sequences", [](Index& index) { index.num_sequences = 3; });
  expect("too few", [](Index& index) { index.num_sequences = uint64_t{1} << 62; });
  expect("too few", [](Index& index) { index.num_indices = ~uint64_t{0}; });
  expect("8 bytes follow", [](Index& index) { index.documents.push_back(2); });
  expect("sequence 1 has a length of -2", [](Index& index) { index.lengths[1] = -2; });
  expect("sequence 1 begins at byte 4, the one before it ends at 6",
         [](Index& index) { index.pointers[1] = 4; });
  expect("sequence 0 begins at byte -6", [](Index& index) { index.pointers[0] = -6; });
  expect("10 bytes, but by the .idx sequence 1 ends at byte 12", [](Index& index) { index.lengths[1] = 3; });
  expect("10 bytes, but by the .idx its sequences add up to 8", [](Index& index) { index.lengths[1] = 1; });
  expect("the first document begins with sequence 1", [](Index& index) { index.documents[0] = 1; });
  expect("document index 1 is 3, expected 0 to 2", [](Index& index) { index.documents[1] = 3; });
  expect("document index 2 is 0, expected 1 to 2", [](Index& index) { index.documents[2] = 0; });
  expect("the documents end at sequence 1, there are 2", [](Index& index) { index.documents[2] = 1; });
  EXPECT_ERROR_CONTAINS(IndexedDataset::Open(prefix_ + ".bin"), "without .bin");
  EXPECT_ERROR_CONTAINS(IndexedDataset::Open(directory_ / "missing"), "missing.idx: cannot open");
}

TEST_F(IndexedDatasetTest, EveryCutIsRefusedAndNoFlippedBitCrashes) {
  const std::string good = Index().Bytes(), bin(10, '\1');
  ASSERT_OK(OpenBytes(good, bin));
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(OpenBytes(good.substr(0, length), bin).ok()) << ".idx cut to " << length;
  }
  for (size_t length = 0; length < bin.size(); ++length) {
    EXPECT_FALSE(OpenBytes(good, bin.substr(0, length)).ok()) << ".bin cut to " << length;
  }
  EXPECT_FALSE(OpenBytes(good, bin + "x").ok());
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    const auto dataset = OpenBytes(bad, bin);
    if (dataset.ok()) ReadAll(*dataset);  // document boundaries may have moved; ASan checks the reads
  }
}

TEST_F(IndexedDatasetTest, TokensOutsideTheVocabularyAreNamed) {
  ASSERT_OK(WriteShard({{1, 2}, {3, 99, 4}}, 100));
  ASSERT_OK_AND_ASSIGN(const auto dataset, IndexedDataset::Open(prefix_));
  EXPECT_OK(dataset.CheckAllTokens(100));
  EXPECT_ERROR_CONTAINS(dataset.CheckAllTokens(99),
                        "shard.bin: document 1, token 1: id 99 is outside the vocabulary of 99");
  Index index;
  index.code = 4;
  index.pointers = {0, 12};
  ASSERT_OK_AND_ASSIGN(const auto negative, OpenBytes(index.Bytes(), BytesOf(1, 2, 3, 4, -5)));
  EXPECT_ERROR_CONTAINS(negative.CheckAllTokens(uint32_t{1} << 31), "document 1, token 1: id -5");
}

TEST_F(IndexedDatasetTest, TheSumTellsContentApartAndFindsDamage) {
  ASSERT_OK(WriteShard({{1, 2, 3}, {4, 5}}, 10));
  const auto sum = [&] { return IndexedDataset::Open(prefix_)->ContentSum(); };
  ASSERT_OK_AND_ASSIGN(const std::string first, sum());
  EXPECT_EQ(first.size(), 32u);
  std::filesystem::remove(prefix_ + ".sum");
  EXPECT_EQ(*sum(), first) << "computed where nobody wrote it";
  // Other tokens, other document boundaries, another token type.
  for (const auto& [documents, vocab_size] : std::vector<std::pair<Documents, uint32_t>>{
           {{{1, 2, 3}, {4, 6}}, 10}, {{{1, 2}, {3, 4, 5}}, 10}, {{{1, 2, 3}, {4, 5}}, 100000}}) {
    ASSERT_OK(WriteShard(documents, vocab_size));
    ASSERT_OK_AND_ASSIGN(const std::string other, sum());
    EXPECT_NE(other, first);
  }
  ASSERT_OK(WriteShard({{1, 2, 3}, {4, 5}}, 10));
  EXPECT_EQ(*sum(), first);
  // Every bit flip in either file.
  for (const char* extension : {".bin", ".idx"}) {
    const std::string whole = *ReadFile(prefix_ + extension);
    for (size_t i = 0; i < whole.size(); ++i) {
      std::string flipped = whole;
      flipped[i] ^= 1;
      ASSERT_OK(WriteFileAtomically(prefix_ + extension, flipped));
      const Result<IndexedDataset> dataset = IndexedDataset::Open(prefix_);
      if (dataset.ok()) {
        EXPECT_ERROR_CONTAINS(dataset->ContentSum(), ".sum says " + first);
      }
    }
    ASSERT_OK(WriteFileAtomically(prefix_ + extension, whole));
  }
  ASSERT_OK(WriteFileAtomically(prefix_ + ".sum", "nonsense"));
  EXPECT_ERROR_CONTAINS(sum(), ".sum");
}

}  // namespace
}  // namespace qwen25
