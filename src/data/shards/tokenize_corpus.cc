#include "data/shards/tokenize_corpus.h"

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "data/read/text_files.h"
#include "store/indexed_dataset.h"

namespace qwen25 {
namespace {

// Enough documents to keep many threads busy; a batch ends with whichever comes first.
constexpr size_t kBatchDocuments = 512;
constexpr size_t kBatchBytes = 8 << 20;

// The next documents' texts; empty at the end of the file.
Result<std::vector<std::string>> ReadBatch(DocumentReader& reader) {
  std::vector<std::string> texts;
  size_t bytes = 0;
  while (texts.size() < kBatchDocuments && bytes < kBatchBytes) {
    QWEN25_TRY(std::optional<Document> document, reader.Next());
    if (!document) break;
    bytes += document->text.size();
    texts.push_back(std::move(document->text));
  }
  return texts;
}

Status AddInPieces(std::span<const int32_t> ids, size_t cut_tokens, IndexedDatasetWriter& writer) {
  if (cut_tokens == 0) return writer.AddDocument(ids);
  while (!ids.empty()) {
    // A remainder that is too short to learn from goes with the piece before it.
    const size_t count = ids.size() < cut_tokens + cut_tokens / 2 ? ids.size() : cut_tokens;
    QWEN25_RETURN_IF_ERROR(writer.AddDocument(ids.first(count)));
    ids = ids.subspan(count);
  }
  return {};
}

}  // namespace

Result<TokenizeReport> TokenizeCorpus(const std::string& documents_path, const Tokenizer& tokenizer,
                                      const std::filesystem::path& prefix, ThreadPool& pool,
                                      size_t cut_tokens) {
  std::optional<int32_t> end_of_text = tokenizer.TokenId("<|endoftext|>");
  if (!end_of_text) end_of_text = tokenizer.eos_id();
  if (!end_of_text)
    return InvalidArgument(
        "the tokenizer has neither <|endoftext|> nor another end of sequence to put between documents");
  QWEN25_TRY(DocumentReader reader, DocumentReader::Open(documents_path));
  QWEN25_TRY(IndexedDatasetWriter writer,
             IndexedDatasetWriter::Create(prefix, static_cast<uint32_t>(tokenizer.vocab_size())));
  TokenizeReport report;
  std::vector<std::vector<int32_t>> ids(kBatchDocuments);  // capacity is kept from batch to batch
  for (;;) {
    QWEN25_TRY(const std::vector<std::string> texts, ReadBatch(reader));
    if (texts.empty()) break;
    pool.ParallelFor(texts.size(), [&](size_t task, size_t) {
      ids[task].clear();
      tokenizer.Encode(texts[task], ids[task], SpecialTokens::kAsText);
      ids[task].push_back(*end_of_text);
    });
    for (size_t i = 0; i < texts.size(); ++i) {
      QWEN25_RETURN_IF_ERROR(AddInPieces(ids[i], cut_tokens, writer));
      ++report.documents;
      report.bytes += texts[i].size();
    }
  }
  if (writer.num_documents() == 0) return InvalidArgument("{} holds no documents", documents_path);
  report.tokens = writer.num_tokens();
  QWEN25_RETURN_IF_ERROR(writer.Finish());
  return report;
}

}  // namespace qwen25
