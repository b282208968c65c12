#include "text/bpe_encoder.h"

#include <algorithm>
#include <climits>
#include <functional>

#include "text/utf8.h"

namespace qwen25 {
namespace {

constexpr size_t kMaxShort = 256;  // symbols; positions fit in 8 bits of a key
constexpr uint32_t kNoRank = MergeTable::kNoRank;

// Whether every "\u2581" in `token` stands before all other characters ("\u2581\u2581the", "the").
bool MarksOnlyInFront(std::string_view token) {
  while (token.starts_with(kSpaceMark)) token.remove_prefix(kSpaceMark.size());
  return token.find(kSpaceMark) == std::string_view::npos;
}

}  // namespace

// Up to kMaxShort symbols and their pairs. keys[i] = rank of (symbol i, the next one) << 8 | i, so that the
// smallest key is the merge of lowest rank at its leftmost place, and finding it is a vector loop.
struct BpeEncoder::ShortRow {
  static constexpr int32_t kNoKey = INT_MAX;
  static constexpr size_t kStep = 8;  // keys are padded to a multiple, so that the loop needs no remainder

  int32_t keys[kMaxShort + kStep];
  int32_t symbols[kMaxShort];

  static int32_t Key(uint32_t rank, size_t at) {
    return rank == kNoRank ? kNoKey : static_cast<int32_t>(rank << 8 | at);
  }
};

BpeEncoder::BpeEncoder(const TokenizerSpec& spec, PieceSplitter splitter)
    : model_(spec.model),
      splitter_(std::move(splitter)),
      pre_tokenizer_(splitter_.fast_kind().value_or(PreTokenizerKind::kGpt2)),
      merge_groups_(spec.merge_groups),
      ignore_merges_(spec.ignore_merges),
      byte_fallback_(spec.byte_fallback),
      fuse_unk_(spec.fuse_unk) {
  if (spec.unk_id) unk_id_ = *spec.unk_id;
  merges_.Reset(spec.merges.size());
  results_.reserve(spec.merges.size());
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const auto& merge = spec.merges[rank];
    merges_.Insert(merge.left, merge.right, static_cast<uint32_t>(rank));
    results_.push_back(merge.result);
  }
  FindSymbols(spec);
  // In most vocabularies tokens are numbered in the order of their merges: then no table is needed.
  bool in_order = !results_.empty();
  for (size_t rank = 0; rank < results_.size(); ++rank) {
    in_order &= results_[rank] - static_cast<int32_t>(rank) == results_[0];
  }
  if (in_order) result_offset_ = results_[0];
  if (model_ != BpeModel::kByteLevel) return;
  FindWholeCharacters(spec);
  byte_pair_ranks_.assign(size_t{1} << 16, kNoRank);
  std::vector<int32_t> byte_of(spec.tokens.size(), -1);
  for (int byte = 0; byte < 256; ++byte) {
    if (byte_ids_[byte] >= 0) byte_of[static_cast<size_t>(byte_ids_[byte])] = byte;
  }
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const int left = byte_of[static_cast<size_t>(spec.merges[rank].left)];
    const int right = byte_of[static_cast<size_t>(spec.merges[rank].right)];
    if (left >= 0 && right >= 0)
      byte_pair_ranks_[static_cast<size_t>(left << 8 | right)] = static_cast<uint32_t>(rank);
  }
}

Result<BpeEncoder> BpeEncoder::Create(const TokenizerSpec& spec, std::string_view origin) {
  QWEN25_TRY(PieceSplitter splitter, PieceSplitter::Create(spec.pre_tokenizer, origin));
  BpeEncoder encoder(spec, std::move(splitter));
  QWEN25_RETURN_IF_ERROR(encoder.BuildPieces(spec, origin));
  return encoder;
}

Status BpeEncoder::BuildPieces(const TokenizerSpec& spec, std::string_view origin) {
  const std::vector<uint8_t> reachable = FindReachable(spec);
  std::vector<std::string_view> keys;
  std::vector<int32_t> values;
  keys.reserve(spec.tokens.size());
  values.reserve(spec.tokens.size());
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (spec.tokens[id].empty()) continue;
    keys.push_back(spec.tokens[id]);
    values.push_back(static_cast<int32_t>(id << 1 | reachable[id]));
  }
  const size_t repeated = pieces_.Build(keys, values);
  if (repeated == keys.size()) return {};
  return Corrupt("{}: the tokens {} and {} have the same text \"{}\"; each text may stand for one id", origin,
                 Find(keys[repeated]), values[repeated] >> 1, RepairUtf8(keys[repeated]));
}

// Sets byte_ids_ and split_words_.
void BpeEncoder::FindSymbols(const TokenizerSpec& spec) {
  std::fill(std::begin(byte_ids_), std::end(byte_ids_), -1);
  bool marks_in_front = true, has_mark = false;
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const std::string& token = spec.tokens[id];
    if (spec.model == BpeModel::kByteLevel) {
      if (token.size() == 1) byte_ids_[static_cast<unsigned char>(token[0])] = static_cast<int32_t>(id);
      continue;
    }
    if (const int byte = ByteOfSentencePiece(token); byte >= 0) byte_ids_[byte] = static_cast<int32_t>(id);
    has_mark |= token == kSpaceMark;
    marks_in_front &= MarksOnlyInFront(token);
  }
  split_words_ = spec.model == BpeModel::kCharacters && marks_in_front && has_mark;
}

int32_t BpeEncoder::Find(std::string_view token) const {
  if (token.empty()) return -1;
  const int32_t value = pieces_.Find(token);
  return value < 0 ? -1 : value >> 1;
}

void BpeEncoder::EncodeText(std::string_view text, bool at_start, Scratch& scratch,
                            std::vector<int32_t>& ids) const {
  if (scratch.words.empty()) scratch.words.resize(Scratch::kWordEntries);
  if (model_ == BpeModel::kByteLevel) return EncodeBytes(text, at_start, scratch, ids);
  if (splitter_.is_trivial()) return EncodeCharacters(text, scratch, ids);
  const PieceSplitter::Pieces pieces = splitter_.Split(text, at_start, scratch.pieces);
  for (const PieceSplitter::Span& span : pieces.spans) {
    EncodeCharacters(pieces.text.substr(span.begin, span.end - span.begin), scratch, ids);
  }
}

// Encodes one piece of characters.
void BpeEncoder::EncodeCharacters(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const {
  const char* readable_end = text.data() + text.size();
  if (ignore_merges_ && !text.empty()) {
    if (const int32_t value = pieces_.Find(text, readable_end); value >= 0) return ids.push_back(value >> 1);
  }
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = split_words_ ? NextSentencePieceWord(text, begin) : text.size();
    EncodePiece(text.substr(begin, end - begin), readable_end, scratch, ids);
    begin = end;
  }
}

// End of the word at `begin`: the next "\u2581" after another character.
size_t BpeEncoder::NextSentencePieceWord(std::string_view text, size_t begin) const {
  size_t end = begin;
  while (text.substr(end).starts_with(kSpaceMark)) end += kSpaceMark.size();
  return std::min(text.find(kSpaceMark, end), text.size());
}

// Encodes a word of characters: from memory, or by merging and remembering it.
void BpeEncoder::EncodePiece(std::string_view piece, const char* readable_end, Scratch& scratch,
                             std::vector<int32_t>& ids) const {
  if (piece.size() > 32) return EncodeAsSymbols(piece, scratch, ids);
  const ShortKey head = ShortKey::Load(piece.substr(0, 16), readable_end);
  const ShortKey tail = piece.size() > 16 ? ShortKey::Load(piece.substr(16), readable_end) : ShortKey{};
  Scratch::Word& word = scratch.words[Scratch::WordIndex(head, tail, piece.size())];
  if (word.Holds(head, tail, piece.size())) {
    ids.insert(ids.end(), word.ids, word.ids + word.count);
    return;
  }
  const size_t before = ids.size();
  EncodeAsSymbols(piece, scratch, ids);
  word.Set(head, tail, piece.size(), ids.data() + before, ids.size() - before);
}

void BpeEncoder::EncodeAsSymbols(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const {
  std::vector<int32_t>& symbols = scratch.symbols;
  symbols.clear();
  SplitIntoSymbols(piece, symbols);
  if (symbols.size() > kMaxShort) return MergeLong(scratch, ids);
  if (symbols.empty()) return;
  ShortRow row;
  std::copy(symbols.begin(), symbols.end(), row.symbols);
  for (size_t i = 0; i + 1 < symbols.size(); ++i) {
    row.keys[i] = ShortRow::Key(OrderOf(RankOf(symbols[i], symbols[i + 1])), i);
  }
  MergeShort(row, symbols.size(), ids);
}

void BpeEncoder::SplitIntoSymbols(std::string_view piece, std::vector<int32_t>& symbols) const {
  if (model_ == BpeModel::kCharacters) return SplitIntoCharacters(piece, symbols);
  const char* end = piece.data() + piece.size();
  bool after_unk = false;
  for (const char* p = piece.data(); p < end;) {
    const DecodedCodePoint c = DecodeCodePoint(p, end);
    const int32_t whole = c.valid ? WholeCharacter(piece.data(), p, c, end) : -1;
    if (whole >= 0) symbols.push_back(whole);
    for (uint32_t i = 0; i < c.bytes && whole < 0; ++i) {
      const int32_t id = SymbolOfByte(p[i], after_unk);
      if (id >= 0) symbols.push_back(id);
    }
    after_unk &= whole < 0;
    p += c.bytes;
  }
}

// As Hugging Face does: an unknown character is held back until a known one comes, so that bytes of a later
// character come before it.
void BpeEncoder::SplitIntoCharacters(std::string_view piece, std::vector<int32_t>& symbols) const {
  const char* end = piece.data() + piece.size();
  bool has_unk = false;
  for (const char* p = piece.data(); p < end;) {
    const uint32_t bytes = DecodeCodePoint(p, end).bytes;
    const int32_t value = pieces_.Find({p, bytes}, end);
    const auto has_byte = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)] >= 0; };
    if (value >= 0) {
      if (has_unk) symbols.push_back(unk_id_);
      has_unk = false;
      symbols.push_back(value >> 1);
    } else if (byte_fallback_ && std::all_of(p, p + bytes, has_byte)) {
      for (uint32_t i = 0; i < bytes; ++i) symbols.push_back(byte_ids_[static_cast<unsigned char>(p[i])]);
    } else if (unk_id_ >= 0) {
      if (has_unk && !fuse_unk_) symbols.push_back(unk_id_);
      has_unk = true;
    }
    p += bytes;
  }
  if (has_unk) symbols.push_back(unk_id_);
}

// Merges row.symbols[0..n), whose keys [0..n-1) are set, and appends the ids that remain.
void BpeEncoder::MergeShort(ShortRow& row, size_t n, std::vector<int32_t>& ids) const {
  constexpr int32_t kNoKey = ShortRow::kNoKey;
  uint16_t next[kMaxShort], previous[kMaxShort];
  for (size_t i = 0; i < n; ++i) {
    next[i] = static_cast<uint16_t>(i + 1);
    previous[i] = static_cast<uint16_t>(i - 1);
  }
  const size_t padded = (n + ShortRow::kStep - 1) / ShortRow::kStep * ShortRow::kStep;
  for (size_t i = n - 1; i < padded; ++i) row.keys[i] = kNoKey;
  while (true) {
    int32_t best = kNoKey;
    for (size_t i = 0; i < padded; ++i) best = std::min(best, row.keys[i]);
    if (best == kNoKey) break;
    const size_t at = best & 0xFF, gone = next[at], after = next[gone];
    const int32_t merged = ResultOfPair(static_cast<uint32_t>(best >> 8), row.symbols[at], row.symbols[gone]);
    row.symbols[at] = merged;
    row.keys[gone] = kNoKey;
    next[at] = static_cast<uint16_t>(after);
    uint32_t rank = kNoRank;
    if (after < n) {
      previous[after] = static_cast<uint16_t>(at);
      rank = OrderOf(RankOf(merged, row.symbols[after]));
    }
    if (at > 0) {
      const size_t before = previous[at];
      row.keys[before] = ShortRow::Key(OrderOf(RankOf(row.symbols[before], merged)), before);
    }
    row.keys[at] = ShortRow::Key(rank, at);
  }
  for (size_t i = 0; i < n; i = next[i]) ids.push_back(row.symbols[i]);
}

// Merges any number of symbols, in scratch.symbols, in O(n log n). The heap holds rank << 42 | position; an
// entry is stale if ranks[position] has changed since.
void BpeEncoder::MergeLong(Scratch& scratch, std::vector<int32_t>& ids) const {
  std::vector<int32_t>& symbols = scratch.symbols;
  const size_t n = symbols.size();
  scratch.ranks.assign(n, kNoRank);
  scratch.next.resize(n);
  scratch.previous.resize(n);
  scratch.heap.clear();
  const auto entry = [](uint32_t rank, size_t at) { return uint64_t{rank} << 42 | at; };
  for (size_t i = 0; i < n; ++i) {
    scratch.next[i] = i + 1;
    scratch.previous[i] = i - 1;
    if (i + 1 < n) scratch.ranks[i] = OrderOf(RankOf(symbols[i], symbols[i + 1]));
    if (scratch.ranks[i] != kNoRank) scratch.heap.push_back(entry(scratch.ranks[i], i));
  }
  std::make_heap(scratch.heap.begin(), scratch.heap.end(), std::greater<>());
  const auto update = [&](size_t at) {
    const size_t right = scratch.next[at];
    scratch.ranks[at] = right < n ? OrderOf(RankOf(symbols[at], symbols[right])) : kNoRank;
    if (scratch.ranks[at] == kNoRank) return;
    scratch.heap.push_back(entry(scratch.ranks[at], at));
    std::push_heap(scratch.heap.begin(), scratch.heap.end(), std::greater<>());
  };
  while (!scratch.heap.empty()) {
    std::pop_heap(scratch.heap.begin(), scratch.heap.end(), std::greater<>());
    const uint64_t top = scratch.heap.back();
    scratch.heap.pop_back();
    const size_t at = top & ((uint64_t{1} << 42) - 1);
    const auto rank = static_cast<uint32_t>(top >> 42);
    if (scratch.ranks[at] != rank) continue;
    const size_t gone = scratch.next[at];
    symbols[at] = ResultOfPair(rank, symbols[at], symbols[gone]);
    scratch.ranks[gone] = kNoRank;
    scratch.next[at] = scratch.next[gone];
    if (scratch.next[at] < n) scratch.previous[scratch.next[at]] = at;
    update(at);
    if (at > 0) update(scratch.previous[at]);
  }
  for (size_t i = 0; i < n; i = scratch.next[i]) ids.push_back(symbols[i]);
}

}  // namespace qwen25
