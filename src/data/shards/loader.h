// Batches of token shards: an endless shuffled source for training, and one ordered pass for validation.
//
// A shard `prefix` may have a loss mask beside it, the shard `prefix.loss_mask` with as many documents of the
// same lengths: 1 if a token is to be predicted, 0 if it is only read (questions, prompts). Without one
// every token is predicted.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "store/indexed_dataset.h"

namespace qwen25 {

// The prefix of a shard's loss mask.
inline std::string LossMaskPrefix(const std::string& prefix) {
  return prefix + ".loss_mask";
}

struct LoaderOptions {
  size_t num_streams = 32;         // logical streams, each with a cursor of its own
  size_t sequence_length = 512;    // tokens of a row
  size_t sequences_per_batch = 8;  // rows of a batch
  uint64_t seed = 1;               // of the order of documents
  bool split_documents = true;     // no attention and no loss across the boundary of two documents
  uint32_t vocab_size = 0;         // ids must be below; 0: any id that is not negative
};

// T tokens of S sequences end to end, as in ops/token_batch.h, and what each token is to predict. Valid until
// the next call of the object that gave it.
struct LoaderBatch {
  std::span<const int32_t> tokens;           // [T]
  std::span<const int32_t> targets;          // [T] the next token; -1: none, the token adds no loss
  std::span<const int32_t> positions;        // [T] from 0 in each sequence
  std::span<const int32_t> sequence_starts;  // [S + 1] the last entry is T
};

// The documents of several shards, numbered consecutively in the order of the prefixes.
class Corpus {
 public:
  // Reads every shard once. kInvalidArgument if there is no prefix or no token; kCorrupt if a loss mask does
  // not belong to its shard, or a shard does not match its .sum.
  static Result<Corpus> Open(const std::vector<std::string>& prefixes);

  struct Document {
    const IndexedDataset* shard;
    const IndexedDataset* loss_mask;  // or null
    uint64_t number;                  // in the shard
    uint64_t length;                  // in tokens
  };
  Document Find(uint64_t document) const;

  uint64_t num_documents() const { return first_document_.back(); }
  uint64_t num_tokens() const { return num_tokens_; }
  // The number of shards that have one.
  uint64_t num_loss_masks() const {
    return static_cast<uint64_t>(
        std::ranges::count_if(loss_masks_, [](const auto& mask) { return mask.has_value(); }));
  }
  // Identifies the content: the sum of each shard, and of its loss mask if it has one.
  Json Sums() const;
  // kInvalidArgument, naming the shard, if `sums`, taken by Sums(), are of other content.
  Status CheckSums(const Json& sums) const;
  // The prefixes, for messages.
  std::string Names() const;

 private:
  std::vector<IndexedDataset> shards_;
  std::vector<std::optional<IndexedDataset>> loss_masks_;  // [shards]
  std::vector<std::string> sums_, loss_mask_sums_;         // [shards]; empty without a loss mask
  std::vector<uint64_t> first_document_ = {0};             // [shards + 1]
  uint64_t num_tokens_ = 0;
};

// Training batches of sequences_per_batch * sequence_length tokens, without end.
//
// In each epoch all documents have one random order (permutation.h); stream s takes the documents s,
// s + num_streams, ... of it and lays them end to end. Row r of batch b is the next sequence_length tokens of
// stream (b * sequences_per_batch + r) mod num_streams. So a stream gives each token of its documents once
// per epoch; a stream whose documents end goes on into its own next epoch. With fewer documents than
// num_streams there are as many streams as documents.
//
// With split_documents each piece of a document in a row is a sequence, and the last token of a document has
// no target. Otherwise a row is one sequence, and each token's target is the next one of the stream.
class Loader {
 public:
  // kInvalidArgument for options out of range, an empty corpus, or one with no more tokens than a row.
  static Result<Loader> Open(std::vector<std::string> prefixes, const LoaderOptions& options);

  // The next batch, without heap allocation. kCorrupt for an id outside the vocabulary; the loader has then
  // lost its place.
  Result<LoaderBatch> Next();

  // The place of every stream, and what identifies the corpus.
  Json State() const;
  // Continues where State() was taken, bit for bit. kInvalidArgument for a state of other data (by the sums
  // of all shards, in their order), another seed or another number of streams; the loader then keeps its
  // place. Of states from before there were sums, only the numbers of documents, tokens and loss masks are
  // compared.
  Status SetState(const Json& state);
  // Back to the first batch.
  void Rewind();

  uint64_t num_tokens() const { return corpus_.num_tokens(); }
  uint64_t num_documents() const { return corpus_.num_documents(); }

 private:
  // A stream's next token: `offset` of its document number `index` in `epoch`; never after a document's end.
  struct Stream {
    uint64_t epoch = 0, index = 0, offset = 0;
    Corpus::Document document = {};
  };

  Loader(Corpus corpus, const LoaderOptions& options);
  uint64_t NumDocumentsOf(size_t stream) const;
  void FindDocument(size_t stream, Stream& place) const;
  void SkipEnded(size_t stream, Stream& place) const;
  Status FillRow(size_t row, size_t stream);

  Corpus corpus_;
  LoaderOptions options_;
  std::vector<Stream> streams_;
  size_t next_stream_ = 0;
  std::vector<int32_t> tokens_, targets_, positions_;  // [T]
  std::vector<int32_t> sequence_starts_;               // room for T + 1
};

// One ordered pass in which every token is predicted once, except the first of each document, which nothing
// precedes. A document is cut into windows of sequence_length, each a sequence of its own; so the sum of the
// losses depends on sequence_length alone, not on how windows meet in batches.
class ValidationBatches {
 public:
  // Uses sequence_length, sequences_per_batch and vocab_size. Errors as Loader::Open; one document of two
  // tokens is enough.
  static Result<ValidationBatches> Open(std::vector<std::string> prefixes, const LoaderOptions& options);

  // As many whole windows as sequences_per_batch * sequence_length tokens hold; without tokens at the end of
  // the pass. No heap allocation. kCorrupt for an id outside the vocabulary.
  Result<LoaderBatch> Next();
  // Back to the first batch.
  void Reset() { document_ = offset_ = 0; }
  // What identifies the corpus.
  Json State() const { return {{"shards", corpus_.Sums()}}; }
  // kInvalidArgument for a state of other data.
  Status CheckState(const Json& state) const;

  uint64_t num_tokens() const { return corpus_.num_tokens(); }
  uint64_t num_documents() const { return corpus_.num_documents(); }
  // Tokens predicted in one pass.
  uint64_t num_targets() const { return num_targets_; }

 private:
  ValidationBatches(Corpus corpus, const LoaderOptions& options);

  Corpus corpus_;
  LoaderOptions options_;
  uint64_t num_targets_ = 0;
  uint64_t document_ = 0, offset_ = 0;                 // begin of the next window
  std::vector<int32_t> tokens_, targets_, positions_;  // room for T
  std::vector<int32_t> sequence_starts_;               // room for T + 1
};

}  // namespace qwen25
