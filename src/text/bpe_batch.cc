// Encoding of byte-level text, 16 pieces at a time.
//
// The tables of a large vocabulary (some 10 MB) do not fit into the nearer caches, and every step of encoding
// a piece depends on one look-up in them. So the pieces of a batch go through each step together: one loop
// prefetches the memory that the step needs, and the next loop uses it.
#include <climits>

#include "text/bpe_encoder.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

constexpr size_t kBatch = 16;
constexpr size_t kWordBytes = 32;   // pieces up to this size are remembered
constexpr size_t kRowSymbols = 32;  // pieces up to this many symbols are merged side by side
constexpr int32_t kNoKey = INT_MAX;
constexpr int32_t kPending = -1;

struct Piece {
  std::string_view text;
  ShortKey head, tail;  // of pieces up to kWordBytes
  uint64_t hash;        // of `head`, for pieces up to 16 bytes
  enum { kToken, kWord, kRow, kLong } kind;
  int32_t ids[7];
  size_t count;  // of `ids`, for kToken and kWord
  size_t row;    // of kRow
  size_t word;   // index of its place among the remembered words
};

}  // namespace

// One piece while it is merged, by the method of ShortRow. The position takes one byte of a key.
struct BpeEncoder::BatchRow {
  alignas(16) int32_t keys[kRowSymbols];
  int32_t symbols[kRowSymbols];
  uint8_t next[kRowSymbols];
  uint8_t previous[kRowSymbols];
  size_t size;
  size_t padded;  // number of keys, a multiple of 8
  size_t at;      // where the last merge happened

  static int32_t Key(uint32_t rank, size_t position) {
    return rank == MergeTable::kNoRank ? kNoKey : static_cast<int32_t>(rank << 8 | position);
  }
};

// Fills the symbols of `row` and the keys of pairs of bytes. The other keys become kPending, and their memory
// is prefetched. False if the piece has too many symbols.
bool BpeEncoder::StartRow(std::string_view piece, BatchRow& row) const {
  if (piece.size() > 3 * kRowSymbols) return false;
  size_t size = 0;
  int before = -1;  // the previous symbol if it is a byte
  const auto push = [&](int32_t symbol, int byte) {
    if (size > 0 && before >= 0 && byte >= 0) {
      row.keys[size - 1] = BatchRow::Key(byte_pair_ranks_[static_cast<size_t>(before << 8 | byte)], size - 1);
    } else if (size > 0) {
      row.keys[size - 1] = kPending;
      merges_.Prefetch(row.symbols[size - 1], symbol);
    }
    row.symbols[size++] = symbol;
    before = byte;
  };
  const char* end = piece.data() + piece.size();
  bool after_unk = false;
  for (const char* p = piece.data(); p < end;) {
    const auto byte = static_cast<unsigned char>(*p);
    const DecodedCodePoint c = byte < 0x80 ? DecodedCodePoint{byte, 1, true} : DecodeCodePoint(p, end);
    if (size + c.bytes > kRowSymbols) return false;
    const int32_t whole = c.valid ? WholeCharacter(piece.data(), p, c, end) : -1;
    if (whole >= 0) {
      push(whole, -1);
      after_unk = false;
    } else {
      for (uint32_t i = 0; i < c.bytes; ++i) {
        const int32_t id = SymbolOfByte(p[i], after_unk);
        if (id >= 0) push(id, after_unk ? -1 : static_cast<unsigned char>(p[i]));
      }
    }
    p += c.bytes;
  }
  row.size = size;
  row.padded = (size + 7) / 8 * 8;
  for (size_t i = size - 1; i < row.padded; ++i) row.keys[i] = kNoKey;
  return true;
}

// Does the merges of all rows: each round does one merge in every row that still has one.
void BpeEncoder::MergeRows(BatchRow* rows, size_t num_rows) const {
  BatchRow* active[kBatch];
  size_t num_active = num_rows;
  for (size_t i = 0; i < num_rows; ++i) {
    BatchRow& row = rows[i];
    active[i] = &row;
    for (size_t k = 0; k < row.size; ++k) {
      row.next[k] = static_cast<uint8_t>(k + 1);
      row.previous[k] = static_cast<uint8_t>(k - 1);
      if (row.keys[k] == kPending) row.keys[k] = BatchRow::Key(RankOf(row.symbols[k], row.symbols[k + 1]), k);
    }
  }
  while (num_active > 0) {
    size_t kept = 0;
    for (size_t i = 0; i < num_active; ++i) {
      BatchRow& row = *active[i];
      int32_t best = kNoKey;
      for (size_t k = 0; k < row.padded; ++k) best = std::min(best, row.keys[k]);
      if (best == kNoKey) continue;
      active[kept++] = &row;
      const size_t at = best & 0xFF, gone = row.next[at], after = row.next[gone];
      row.at = at;
      row.symbols[at] = ResultOf(static_cast<uint32_t>(best >> 8));
      row.keys[gone] = kNoKey;
      row.next[at] = static_cast<uint8_t>(after);
      if (after < row.size) {
        row.previous[after] = static_cast<uint8_t>(at);
        merges_.Prefetch(row.symbols[at], row.symbols[after]);
      }
      if (at > 0) merges_.Prefetch(row.symbols[row.previous[at]], row.symbols[at]);
    }
    num_active = kept;
    for (size_t i = 0; i < num_active; ++i) {
      BatchRow& row = *active[i];
      const size_t at = row.at, after = row.next[at];
      row.keys[at] =
          after < row.size ? BatchRow::Key(RankOf(row.symbols[at], row.symbols[after]), at) : kNoKey;
      if (at == 0) continue;
      const size_t before = row.previous[at];
      row.keys[before] = BatchRow::Key(RankOf(row.symbols[before], row.symbols[at]), before);
    }
  }
}

// By id: whether a piece with the token's text becomes the token. Most do; the vocabulary of Qwen2.5 has some
// that no sequence of merges makes.
std::vector<uint8_t> BpeEncoder::FindReachable(const TokenizerSpec& spec) const {
  const size_t size = spec.tokens.size();
  if (model_ == BpeModel::kCharacters) return std::vector<uint8_t>(size, 0);
  if (spec.ignore_merges) return std::vector<uint8_t>(size, 1);
  std::vector<uint8_t> reachable(size, 0);
  Scratch scratch;
  std::vector<int32_t> ids;
  BatchRow rows[kBatch];
  size_t id_of_row[kBatch];
  for (size_t begin = 0; begin < size; begin += kBatch) {
    size_t num_rows = 0;
    for (size_t id = begin; id < std::min(begin + kBatch, size); ++id) {
      if (spec.tokens[id].empty()) continue;
      if (StartRow(spec.tokens[id], rows[num_rows])) {
        id_of_row[num_rows++] = id;
        continue;
      }
      ids.clear();
      EncodeAsSymbols(spec.tokens[id], scratch, ids);
      reachable[id] = ids.size() == 1 && ids[0] == static_cast<int32_t>(id);
    }
    MergeRows(rows, num_rows);
    for (size_t i = 0; i < num_rows; ++i) {
      const size_t id = id_of_row[i];
      reachable[id] = rows[i].size > 0 && rows[i].next[0] >= rows[i].size &&
                      rows[i].symbols[0] == static_cast<int32_t>(id);
    }
  }
  return reachable;
}

// Long: all passes over a batch share its pieces and rows. Each pass uses the memory that the one
// before prefetched.
template <typename Source>
void BpeEncoder::EncodeByteLevel(std::string_view text, Source source, Scratch& scratch,
                                 std::vector<int32_t>& ids) const {
  const char* readable_end = text.data() + text.size();
  Piece pieces[kBatch];
  BatchRow rows[kBatch];
  int32_t out[kBatch * kRowSymbols + std::size(Piece().ids)];
  for (size_t count = kBatch; count == kBatch;) {
    count = 0;
    for (; count < kBatch && source.Next(pieces[count].text); ++count) {
      Piece& piece = pieces[count];
      piece.head = ShortKey::Load(piece.text.substr(0, 16), readable_end);
      if (piece.text.size() > 16) continue;
      piece.hash = piece.head.Hash(piece.text.size());
      pieces_.PrefetchShort(piece.text.size(), piece.hash);
    }
    // Is it a token?
    for (size_t i = 0; i < count; ++i) {
      Piece& piece = pieces[i];
      const size_t size = piece.text.size();
      const int32_t value = size <= 16 ? pieces_.FindShort(piece.head, size, piece.hash)
                                       : pieces_.Find(piece.text, readable_end);
      piece.kind = value >= 0 && value & 1 ? Piece::kToken : Piece::kWord;
      piece.ids[0] = value >> 1;
      piece.count = 1;
      if (piece.kind == Piece::kToken || size > kWordBytes) continue;
      piece.tail = size > 16 ? ShortKey::Load(piece.text.substr(16), readable_end) : ShortKey{};
      piece.word = Scratch::WordIndex(piece.head, piece.tail, size);
      __builtin_prefetch(&scratch.words[piece.word]);
    }
    // Is it remembered? (Copied: a later piece of this batch may take its place.)
    size_t num_rows = 0;
    for (size_t i = 0; i < count; ++i) {
      Piece& piece = pieces[i];
      if (piece.kind != Piece::kWord) continue;
      if (piece.text.size() <= kWordBytes) {
        const Scratch::Word& word = scratch.words[piece.word];
        if (word.Holds(piece.head, piece.tail, piece.text.size())) {
          piece.count = word.count;
          std::copy(std::begin(word.ids), std::end(word.ids), piece.ids);
          continue;
        }
      }
      const bool fits = StartRow(piece.text, rows[num_rows]);
      piece.kind = fits ? Piece::kRow : Piece::kLong;
      if (fits) piece.row = num_rows++;
    }
    MergeRows(rows, num_rows);
    size_t size = 0;  // of `out`, which goes to `ids` in one piece
    for (size_t i = 0; i < count; ++i) {
      const Piece& piece = pieces[i];
      if (piece.kind == Piece::kToken) {
        out[size++] = piece.ids[0];
      } else if (piece.kind == Piece::kWord) {
        std::copy(std::begin(piece.ids), std::end(piece.ids), out + size);  // all: a fixed number of moves
        size += piece.count;
      } else if (piece.kind == Piece::kRow) {
        const BatchRow& row = rows[piece.row];
        const size_t before = size;
        for (size_t k = 0; k < row.size; k = row.next[k]) out[size++] = row.symbols[k];
        if (piece.text.size() > kWordBytes) continue;
        scratch.words[piece.word].Set(piece.head, piece.tail, piece.text.size(), out + before, size - before);
      } else {
        ids.insert(ids.end(), out, out + size);
        size = 0;
        EncodeAsSymbols(piece.text, scratch, ids);
      }
    }
    ids.insert(ids.end(), out, out + size);
  }
}

namespace {

// Pieces as the hand-written scanner finds them.
struct ScannedPieces {
  const PreTokenizer& pre_tokenizer;
  std::string_view text;
  size_t at = 0;

  bool Next(std::string_view& piece) {
    if (at >= text.size()) return false;
    const size_t end = pre_tokenizer.NextPiece(text, at);
    piece = {text.data() + at, end - at};
    at = end;
    return true;
  }
};

struct ListedPieces {
  const PieceSplitter::Pieces& pieces;
  size_t at = 0;

  bool Next(std::string_view& piece) {
    if (at == pieces.spans.size()) return false;
    const PieceSplitter::Span& span = pieces.spans[at++];
    piece = {pieces.text.data() + span.begin, span.end - span.begin};
    return true;
  }
};

}  // namespace

void BpeEncoder::EncodeBytes(std::string_view text, bool at_start, Scratch& scratch,
                             std::vector<int32_t>& ids) const {
  if (splitter_.fast_kind()) {
    if (splitter_.adds_prefix_space() && !text.empty() && !text.starts_with(' ')) {
      scratch.prefixed = ' ';
      scratch.prefixed += text;
      text = scratch.prefixed;
    }
    return EncodeByteLevel(text, ScannedPieces{pre_tokenizer_, text}, scratch, ids);
  }
  const PieceSplitter::Pieces pieces = splitter_.Split(text, at_start, scratch.pieces);
  EncodeByteLevel(pieces.text, ListedPieces{pieces}, scratch, ids);
}

}  // namespace qwen25
