// Which characters of two or three bytes may start as their token, instead of being merged byte by byte in
// every piece. That saves most merges of Chinese text, and half of those of Russian.
//
// Let the bytes of a character c, merged alone, become one token T by merges of rank at most R. Starting with
// T in place of the bytes of c changes nothing if
//   1. no merge joins a part of c with something outside while c is incomplete. Such a merge has a token x on
//      the left of one of c's boundaries and a token y on its right, and either y is an incomplete beginning
//      of a character or x is an incomplete end of one. Vocabularies have few of these merges, so the encoder
//      checks whether any of them fits the bytes on both sides of either boundary; and
//   2. no merge that has T as a part has a rank below R. Then every merge that comes first in the text of
//      bytes, be it inside c or elsewhere, comes first in the text with T as well, or is already done there.
#include <algorithm>

#include "text/bpe_encoder.h"

namespace qwen25 {
namespace {

constexpr uint32_t kNoRank = MergeTable::kNoRank;

bool IsContinuation(char byte) {
  return (byte & 0xC0) == 0x80;
}

// Whether `token`, which begins with the first byte of a character, ends before that character does.
bool IsBeginning(std::string_view token) {
  const auto lead = static_cast<unsigned char>(token[0]);
  return token.size() < (lead < 0x80 ? 1u : lead < 0xE0 ? 2u : lead < 0xF0 ? 3u : 4u);
}

}  // namespace

// The token T of the character `text`, if there is one and the second condition holds; else -1. `first_rank`
// has, by token, the lowest rank of the merges that it is a part of.
int32_t BpeEncoder::TokenOfCharacter(std::string_view text, const std::vector<uint32_t>& first_rank) const {
  std::vector<int32_t> parts;
  for (const char byte : text) parts.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
  if (std::ranges::find(parts, -1) != parts.end()) return -1;
  uint32_t last_rank = 0;
  while (parts.size() > 1) {
    uint32_t best = kNoRank;
    size_t at = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const uint32_t rank = RankOf(parts[i], parts[i + 1]);
      if (rank >= best) continue;
      best = rank;
      at = i;
    }
    if (best == kNoRank) return -1;
    last_rank = std::max(last_rank, best);
    parts[at] = ResultOf(best);
    parts.erase(parts.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
  return first_rank[static_cast<size_t>(parts[0])] > last_rank ? parts[0] : -1;
}

void BpeEncoder::FindWholeCharacters(const TokenizerSpec& spec) {
  std::vector<uint32_t> first_rank(spec.tokens.size(), kNoRank);
  for (size_t rank = spec.merges.size(); rank-- > 0;) {
    const auto& merge = spec.merges[rank];
    first_rank[static_cast<size_t>(merge.left)] = static_cast<uint32_t>(rank);
    first_rank[static_cast<size_t>(merge.right)] = static_cast<uint32_t>(rank);
  }
  character_ids_.assign(0x10000, -1);
  for (const std::string& token : spec.tokens) {
    if (token.size() < 2 || token.size() > 3) continue;
    const DecodedCodePoint c = DecodeCodePoint(token.data(), token.data() + token.size());
    if (c.valid && c.bytes == token.size())
      character_ids_[c.code_point] = TokenOfCharacter(token, first_rank);
  }
  FindBoundaries(spec);
}

// Marks the boundaries of the first condition.
void BpeEncoder::FindBoundaries(const TokenizerSpec& spec) {
  boundaries_.assign(size_t{256} << 6, 0);
  // A byte without a token disappears: what is before it then meets what is after it.
  for (size_t byte = 0; byte < 256; ++byte) {
    if (byte_ids_[byte] >= 0) continue;
    ascii_boundaries_[byte] = true;
    std::fill_n(boundaries_.begin() + static_cast<ptrdiff_t>(byte << 6), 64, ~uint64_t{0});
    if (byte < 0x80) ascii_boundaries_.fill(true);
    for (size_t last = 0; last < 256 && byte >= 0xC0; ++last) {
      boundaries_[last << 6 | (byte & 0x3F)] = ~uint64_t{0};
    }
  }
  for (const auto& merge : spec.merges) {
    const std::string& left = spec.tokens[static_cast<size_t>(merge.left)];
    const std::string& right = spec.tokens[static_cast<size_t>(merge.right)];
    if (IsContinuation(right[0])) continue;  // inside a character
    const bool left_is_end = std::all_of(left.begin(), left.end(), IsContinuation);
    if (!left_is_end && !IsBeginning(right)) continue;
    const auto last = static_cast<unsigned char>(left.back()), lead = static_cast<unsigned char>(right[0]);
    if (lead < 0x80) {
      ascii_boundaries_[last] = true;
    } else {
      const uint64_t seconds = right.size() == 1 ? ~uint64_t{0} : uint64_t{1} << (right[1] & 0x3F);
      boundaries_[size_t{last} << 6 | (lead & 0x3F)] |= seconds;
    }
  }
}

}  // namespace qwen25
