// Text to ids by byte-pair merges. While any merge fits in a piece, the one of lowest rank is applied at its
// leftmost place: that is the definition, and what Hugging Face `tokenizers` does.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "text/bpe_tables.h"
#include "text/piece_splitter.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer_spec.h"
#include "text/utf8.h"

namespace qwen25 {

class BpeEncoder {
 public:
  // The working memory of one call at a time, kept between calls.
  struct Scratch {
    // Remembers the ids of short pieces that are not a token. One cache line per entry.
    struct alignas(64) Word {
      ShortKey head;
      ShortKey tail;      // bytes 16..31
      uint8_t size = 0;   // bytes; 0 = free
      uint8_t count = 0;  // ids
      int32_t ids[7];

      bool Holds(const ShortKey& h, const ShortKey& t, size_t bytes) const {
        return size == bytes && head == h && tail == t;
      }
      // Remembers `length` <= 32 bytes if their ids are few enough.
      void Set(const ShortKey& h, const ShortKey& t, size_t length, const int32_t* begin, size_t number) {
        if (number > std::size(ids)) return;
        head = h;
        tail = t;
        size = static_cast<uint8_t>(length);
        count = static_cast<uint8_t>(number);
        std::copy(begin, begin + number, ids);
      }
    };
    std::vector<Word> words;
    static size_t WordIndex(const ShortKey& head, const ShortKey& tail, size_t size) {
      return (head.Hash(size) + tail.Hash(0) * 3) >> 32 & (kWordEntries - 1);
    }
    static constexpr size_t kWordEntries = size_t{1} << 17;  // 8 MiB of remembered words
    std::vector<int32_t> symbols;
    std::vector<uint32_t> ranks;
    std::vector<size_t> next, previous;
    std::vector<uint64_t> heap;
    PieceSplitter::Scratch pieces;
    std::string prefixed;
  };

  // `spec` has been checked (CheckSpec), and is not needed afterwards. kCorrupt, naming `origin`, if two ids
  // have the same text.
  static Result<BpeEncoder> Create(const TokenizerSpec& spec, std::string_view origin);

  // Appends the ids of `text`: well-formed, normalised, free of added tokens. `at_start` says whether it
  // begins the whole input.
  void EncodeText(std::string_view text, bool at_start, Scratch& scratch, std::vector<int32_t>& ids) const;

  // The vocabulary entry with this text (tokenizer_spec.h: bytes, or text as in the file), or -1.
  int32_t Find(std::string_view token) const;

 private:
  BpeEncoder(const TokenizerSpec& spec, PieceSplitter splitter);
  // Source: bool Next(std::string_view& piece) gives the pieces, which lie in `text`, in order.
  template <typename Source>
  void EncodeByteLevel(std::string_view text, Source source, Scratch& scratch,
                       std::vector<int32_t>& ids) const;
  void EncodeBytes(std::string_view text, bool at_start, Scratch& scratch, std::vector<int32_t>& ids) const;
  void EncodeCharacters(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const;
  void EncodePiece(std::string_view piece, const char* readable_end, Scratch& scratch,
                   std::vector<int32_t>& ids) const;
  void EncodeAsSymbols(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const;
  void SplitIntoSymbols(std::string_view piece, std::vector<int32_t>& symbols) const;
  void SplitIntoCharacters(std::string_view piece, std::vector<int32_t>& symbols) const;
  // The first symbol of a byte of a byte-level text: its token; if it has none, the unknown token, or -1 for
  // nothing at all. `after_unk` says whether the byte before became the unknown token.
  int32_t SymbolOfByte(char byte, bool& after_unk) const {
    const int32_t id = byte_ids_[static_cast<unsigned char>(byte)];
    if (id >= 0) [[likely]] {
      after_unk = false;
      return id;
    }
    const bool skip = after_unk && fuse_unk_;
    after_unk = unk_id_ >= 0;
    return skip ? -1 : unk_id_;
  }
  struct ShortRow;
  struct BatchRow;
  bool StartRow(std::string_view piece, BatchRow& row) const;
  void MergeRows(BatchRow* rows, size_t num_rows) const;
  void MergeShort(ShortRow& row, size_t n, std::vector<int32_t>& ids) const;
  void MergeLong(Scratch& scratch, std::vector<int32_t>& ids) const;
  uint32_t RankOf(int32_t left, int32_t right) const { return merges_.Find(left, right); }
  int32_t ResultOf(uint32_t rank) const {
    return result_offset_ >= 0 ? result_offset_ + static_cast<int32_t>(rank) : results_[rank];
  }
  void FindSymbols(const TokenizerSpec& spec);
  void FindWholeCharacters(const TokenizerSpec& spec);
  int32_t TokenOfCharacter(std::string_view text, const std::vector<uint32_t>& first_rank) const;
  void FindBoundaries(const TokenizerSpec& spec);
  // The token that the bytes of the character `c` at `p` become in the text [begin, end), if
  // bpe_characters.cc can tell; else -1.
  int32_t WholeCharacter(const char* begin, const char* p, const DecodedCodePoint& c, const char* end) const {
    if (c.bytes < 2 || c.bytes > 3) return -1;
    const int32_t token = character_ids_[c.code_point];
    if (token < 0 || (p > begin && MergesAcross(p[-1], p))) return -1;
    const char* next = p + c.bytes;
    return next < end && MergesAcross(next[-1], next) ? -1 : token;
  }
  // Whether a part of a character may merge over the boundary between the byte `last` and the character at
  // `next`.
  bool MergesAcross(char last, const char* next) const {
    const auto before = static_cast<unsigned char>(last), lead = static_cast<unsigned char>(next[0]);
    if (lead < 0x80) return ascii_boundaries_[before];
    return boundaries_[size_t{before} << 6 | (lead & 0x3F)] >> (next[1] & 0x3F) & 1;
  }
  Status BuildPieces(const TokenizerSpec& spec, std::string_view origin);
  std::vector<uint8_t> FindReachable(const TokenizerSpec& spec) const;
  size_t NextSentencePieceWord(std::string_view text, size_t begin) const;
  // What decides which of several merges is first, and what the merge of a pair gives.
  uint32_t OrderOf(uint32_t rank) const {
    return merge_groups_.empty() || rank == MergeTable::kNoRank ? rank : merge_groups_[rank];
  }
  int32_t ResultOfPair(uint32_t order, int32_t left, int32_t right) const {
    return ResultOf(merge_groups_.empty() ? order : RankOf(left, right));
  }

  BpeModel model_;
  PieceSplitter splitter_;
  PreTokenizer pre_tokenizer_;          // if splitter_ has a fast kind
  std::vector<uint32_t> merge_groups_;  // by rank; empty: ranks
  bool ignore_merges_ = false;
  bool byte_fallback_ = false;
  PieceTable pieces_;             // text of a token -> id << 1 | (a piece with this text is this token)
  MergeTable merges_;             // pair -> rank
  std::vector<int32_t> results_;  // by rank
  int32_t result_offset_ = -1;    // results_[rank] - rank if it is the same for all, else -1
  // Of kByteLevel, by first byte << 8 | second byte: ranks in a small table, which stays in the caches.
  std::vector<uint32_t> byte_pair_ranks_;
  // Of kByteLevel (bpe_characters.cc). character_ids_: by code point below U+10000, its token, or -1.
  // MergesAcross, by the last byte of a character: boundaries_ at that byte << 6 | low bits of the next lead
  // byte, with a bit for each value of the low bits of the second byte; ascii_boundaries_ before ASCII.
  std::vector<int32_t> character_ids_;
  std::vector<uint64_t> boundaries_;
  std::array<bool, 256> ascii_boundaries_{};
  int32_t byte_ids_[256];  // the token of a byte, or -1
  int32_t unk_id_ = -1;
  bool fuse_unk_ = false;
  bool split_words_ = false;  // sentencepiece: no merge reaches over the beginning of a word
};

}  // namespace qwen25
