// Text to ids by byte-pair merges. The result is that of applying, again and again, the most urgent merge
// that fits anywhere in a piece, at its leftmost place: the definition, and what Hugging Face `tokenizers`
// does.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/bpe_tables.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer_spec.h"

namespace qwen25 {

class BpeEncoder {
 public:
  // The working memory of one call at a time, kept between calls.
  struct Scratch {
    // Remembers what short pieces that are no token became. One cache line per entry.
    struct alignas(64) Word {
      ShortKey head;
      ShortKey tail;      // bytes 16..31
      uint8_t size = 0;   // bytes; 0 = free
      uint8_t count = 0;  // ids
      int32_t ids[7];
    };
    std::vector<Word> words;
    std::vector<int32_t> symbols;
    std::vector<uint32_t> ranks;
    std::vector<size_t> next, previous;
    std::vector<uint64_t> heap;
  };

  // `spec` has been checked (CheckSpec). It is not referred to afterwards. kCorrupt, naming `origin`, where
  // two ids have the same text.
  static Result<BpeEncoder> Create(const TokenizerSpec& spec, std::string_view origin);

  // Appends the ids of `text`: well-formed, normalised, free of added tokens.
  void EncodeText(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const;

  // The vocabulary entry with this text (tokenizer_spec.h: bytes, or sentencepiece text), or -1.
  int32_t Find(std::string_view token) const;

 private:
  explicit BpeEncoder(const TokenizerSpec& spec);
  void EncodePiece(std::string_view piece, const char* readable_end, Scratch& scratch,
                   std::vector<int32_t>& ids) const;
  void EncodeAsSymbols(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const;
  void MergeBytes(std::string_view piece, std::vector<int32_t>& ids) const;
  void SplitIntoSymbols(std::string_view piece, std::vector<int32_t>& symbols) const;
  struct ShortRow;
  void MergeShort(ShortRow& row, size_t n, std::vector<int32_t>& ids) const;
  void MergeLong(Scratch& scratch, std::vector<int32_t>& ids) const;
  uint32_t RankOf(int32_t left, int32_t right) const { return merges_.Find(left, right); }
  int32_t ResultOf(uint32_t rank) const {
    return result_offset_ >= 0 ? result_offset_ + static_cast<int32_t>(rank) : results_[rank];
  }
  void FindSymbols(const TokenizerSpec& spec);
  Status BuildPieces(const TokenizerSpec& spec, std::string_view origin);
  std::vector<uint8_t> FindReachable(const TokenizerSpec& spec) const;
  size_t NextSentencePieceWord(std::string_view text, size_t begin) const;

  BpeModel model_;
  PreTokenizer pre_tokenizer_;
  PieceTable pieces_;             // text of a token -> id << 1 | (a piece with this text is this token)
  MergeTable merges_;             // pair -> rank
  std::vector<int32_t> results_;  // by rank
  int32_t result_offset_ = -1;    // results_[rank] - rank where it is the same for all, else -1
  std::vector<uint32_t> byte_pair_ranks_;  // of kByteLevel, by first byte << 8 | second byte
  int32_t byte_ids_[256];                  // the token of a byte, or -1
  int32_t unk_id_ = -1;
  bool fuse_unk_ = false;
  bool split_words_ = false;  // sentencepiece: no merge reaches over the beginning of a word
};

}  // namespace qwen25
