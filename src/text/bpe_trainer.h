// Trains a byte-level BPE tokenizer: text in, vocabulary and merges out.
//
// The same texts and options give the same tokenizer, for any number of threads and any order of the texts.
// Ties: see LearnMerges (bpe_merger.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "text/piece_counter.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"

namespace qwen25 {

struct BpeTrainerOptions {
  size_t vocab_size = 4096;  // entries wanted: 256 bytes, merges and special tokens together
  PreTokenizerKind pre_tokenizer = PreTokenizerKind::kQwen2;
  bool nfc = true;  // count the text as the tokenizer will see it, in normalisation form C
  std::vector<std::string> special_tokens = {"<|endoftext|>"};  // cut out of the text, and never learned from
  uint64_t min_frequency = 2;                                   // a pair that occurs less often is not merged
  size_t task_bytes = 1 << 20;  // text that one task counts; changes speed and memory, never the result

  // kInvalidArgument names the option, its value and the rule.
  Status Validate() const;
};

// The result of training, ready for Tokenizer::FromByteLevelBpe.
struct TrainedBpe {
  // Ids: 256 single bytes in GPT-2's order (printable ones first), the merges in rank order, special tokens.
  ByteLevelBpe tokenizer;
  size_t requested_vocab_size = 0;
  uint64_t num_bytes = 0;   // of text, without special tokens
  uint64_t num_pieces = 0;  // of the pre-tokenizer
  uint64_t num_different_pieces = 0;
  uint64_t last_count = 0;  // occurrences of the last pair that was merged; 0 if none was

  size_t vocab_size() const { return tokenizer.tokens.size() + tokenizer.special_tokens.size(); }
  // False if the corpus ran out of frequent pairs: the vocabulary is then smaller than requested.
  bool complete() const { return vocab_size() == requested_vocab_size; }
};

// The 256 single bytes in the order in which GPT-2 and Hugging Face number them.
std::vector<std::string> ByteAlphabet();

// Add() the corpus, text by text; then Train().
class BpeTrainer {
 public:
  // `pool` belongs to the caller and must outlive this object.
  static Result<BpeTrainer> Create(BpeTrainerOptions options, ThreadPool* pool);

  // Counts the pieces of one text (a document or a file). The text is not kept. No piece spans two texts.
  // Ill-formed UTF-8 counts as its repaired form.
  void Add(std::string_view text);

  // Learns the merges. kInvalidArgument if the corpus has no text; errors of LearnMerges. May be called again
  // after more texts.
  Result<TrainedBpe> Train();

 private:
  struct Thread {
    PieceCounter pieces;
    uint64_t num_pieces = 0;
  };

  BpeTrainer(BpeTrainerOptions options, ThreadPool* pool);
  size_t SpecialTokenAt(std::string_view text, size_t at) const;
  void AddPlain(std::string_view text);
  void CountPending();
  void CountChunk(std::string_view chunk, Thread& thread) const;

  BpeTrainerOptions options_;
  ThreadPool* pool_;
  std::vector<Thread> threads_;
  uint64_t num_bytes_ = 0;
  std::vector<std::string> special_by_length_;  // longest first
  std::array<bool, 256> starts_special_ = {};   // whether a special token starts with this byte

  // Chunks wait here until there is work for all threads.
  std::string pending_;
  std::vector<size_t> chunk_ends_;  // in pending_, ascending
};

// Trains on all of `texts` at once.
Result<TrainedBpe> TrainBpe(std::span<const std::string_view> texts, const BpeTrainerOptions& options,
                            ThreadPool& pool);

}  // namespace qwen25
