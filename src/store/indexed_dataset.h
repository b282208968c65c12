// Token shards in Megatron's format: `prefix.bin` holds the token ids, `prefix.idx` the place of each
// document. Source of the layout: megatron/core/datasets/indexed_dataset.py in NVIDIA/Megatron-LM.
//
// prefix.idx, little-endian:
//   9 bytes   "MMIDIDX\0\0"
//   uint64    version, 1
//   uint8     type of a token: 4 int32, 8 uint16 (others exist in the format and are refused here)
//   uint64    number of sequences, S
//   uint64    number of document indices, documents + 1
//   int32[S]  length of each sequence, in tokens
//   int64[S]  begin of each sequence in the .bin, in bytes
//   int64[documents + 1]  first sequence of each document, 0 first and S last
//
// prefix.sum is this program's addition, which Megatron ignores: a hash of both files, by which damage and
// other content are noticed (docs/formats/token_shards.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/hash.h"
#include "base/mmap.h"
#include "base/status.h"

namespace qwen25 {

// Writes one shard as a stream, one sequence per document. Memory: a buffer of 1 MiB, and 4 bytes per
// document. Tokens are uint16 if vocab_size is below 65500 (Megatron's rule), else int32.
class IndexedDatasetWriter {
 public:
  // `vocab_size` is 1 to 2^31, else kInvalidArgument. No file of `prefix` changes before Finish().
  static Result<IndexedDatasetWriter> Create(const std::filesystem::path& prefix, uint32_t vocab_size);

  // Appends a document, which should end with the end-of-text token. kInvalidArgument for one without tokens,
  // of 2^31 tokens or more, or with an id outside the vocabulary.
  Status AddDocument(std::span<const int32_t> tokens);

  // Flushes the files to disk and gives them their names: first .bin, then .idx, then .sum. The .idx and .sum
  // of an earlier shard are removed before, so that they never stand beside a .bin that they do not describe.
  // The writer must not be used afterwards.
  Status Finish();

  uint64_t num_documents() const { return lengths_.size(); }
  uint64_t num_tokens() const { return num_tokens_; }

 private:
  IndexedDatasetWriter(std::string prefix, uint32_t vocab_size, AtomicFile bin, AtomicFile idx);
  Status FlushBuffer();
  Status WriteIdx(std::span<const std::byte> bytes);
  Status RemoveEarlier() const;

  std::string prefix_;
  uint32_t vocab_size_;
  size_t token_bytes_;
  AtomicFile bin_, idx_;
  HashStream128 bin_hash_, idx_hash_;
  std::vector<std::byte> buffer_;  // of the .bin
  std::vector<int32_t> lengths_;   // [documents]
  uint64_t num_tokens_ = 0;
};

// A mapped shard with a checked index: its sequences lie end to end and fill the .bin exactly. A document of
// several sequences is read as one sequence of tokens.
class IndexedDataset {
 public:
  // kCorrupt, kUnsupported, kInvalidArgument (`prefix` ends in .bin or .idx), or an error of reading.
  static Result<IndexedDataset> Open(const std::filesystem::path& prefix);

  const std::string& prefix() const { return prefix_; }
  uint64_t num_documents() const { return num_documents_; }
  uint64_t num_tokens() const { return num_tokens_; }
  // A hash that identifies the content; reads all bytes of both files. kCorrupt if a .sum file holds another
  // hash. Shards of other or older writers have no .sum file.
  Result<std::string> ContentSum() const;
  // In tokens. May be 0 in shards of other writers.
  uint64_t DocumentLength(uint64_t document) const {
    return DocumentBegin(document + 1) - DocumentBegin(document);
  }
  // Copies tokens [offset, offset + out.size()) of the document, all of which must exist.
  void Read(uint64_t document, uint64_t offset, std::span<int32_t> out) const;

  // kCorrupt if one of `tokens`, read from the document at `offset`, is negative or not below vocab_size; the
  // message names the shard, the document, the offset and the id.
  Status CheckTokens(uint64_t document, uint64_t offset, std::span<const int32_t> tokens,
                     uint32_t vocab_size) const;
  // The same for all tokens of the shard.
  Status CheckAllTokens(uint32_t vocab_size) const;

 private:
  IndexedDataset(std::string prefix, MappedFile bin, MappedFile idx)
      : prefix_(std::move(prefix)), bin_(std::move(bin)), idx_(std::move(idx)) {}
  Status ParseHeader();
  Status CheckSequences() const;
  Status CheckDocuments() const;
  // Begin of a document, in tokens from the start of the .bin; the end of the last one for num_documents().
  uint64_t DocumentBegin(uint64_t document) const;

  std::string prefix_;
  MappedFile bin_, idx_;
  size_t token_bytes_ = 0;
  uint64_t num_sequences_ = 0, num_documents_ = 0, num_tokens_ = 0;
  uint64_t pointers_at_ = 0, documents_at_ = 0;  // byte offsets in the .idx
};

}  // namespace qwen25
