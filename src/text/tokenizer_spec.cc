#include "text/tokenizer_spec.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "text/utf8.h"

namespace qwen25 {
namespace {

// Text of a token as an error message can show it.
std::string Shown(std::string_view token) {
  return RepairUtf8(token.substr(0, 64));
}

struct ByteAlphabet {
  std::array<std::string, 256> text;         // by byte, UTF-8
  std::array<int, 0x144> byte_of_character;  // by code point; -1: none

  ByteAlphabet() {
    byte_of_character.fill(-1);
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
      const char32_t character = printable ? static_cast<char32_t>(byte) : next++;
      AppendUtf8(character, text[static_cast<size_t>(byte)]);
      byte_of_character[character] = byte;
    }
  }
  static const ByteAlphabet& Get() {
    static const ByteAlphabet alphabet;
    return alphabet;
  }
};

Status CheckTokens(const TokenizerSpec& spec, std::string_view origin) {
  if (spec.tokens.size() > static_cast<size_t>(kMaxTokenId) + 1) {
    return Corrupt("{}: {} token ids, at most {} are handled", origin, spec.tokens.size(), kMaxTokenId + 1);
  }
  std::array<bool, 256> has_byte{};
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const std::string& token = spec.tokens[id];
    if (token.size() > kMaxTokenBytes) {
      return Corrupt("{}: token {} has {} bytes, at most {} are handled", origin, id, token.size(),
                     kMaxTokenBytes);
    }
    if (spec.model == BpeModel::kCharacters && !IsValidUtf8(token)) {
      return Corrupt("{}: the text of token {} is not UTF-8", origin, id);
    }
    const bool byte_level = spec.model == BpeModel::kByteLevel;
    const int byte = !byte_level         ? ByteOfSentencePiece(token)
                     : token.size() == 1 ? static_cast<unsigned char>(token[0])
                                         : -1;
    if (byte >= 0) has_byte[static_cast<size_t>(byte)] = true;
  }
  const bool has_any = std::find(has_byte.begin(), has_byte.end(), true) != has_byte.end();
  if (spec.model == BpeModel::kByteLevel && !has_any) {
    return Corrupt("{}: the vocabulary has no token of a single byte, so that no text has ids", origin);
  }
  const auto missing = std::find(has_byte.begin(), has_byte.end(), false);
  if (spec.model == BpeModel::kByteLevel && spec.byte_fallback && missing != has_byte.end()) {
    return Unsupported(
        "{}: model.byte_fallback with ByteLevel is handled for vocabularies with all 256 bytes; "
        "the byte 0x{:02X} is missing",
        origin, missing - has_byte.begin());
  }
  return {};
}

Status CheckMerges(const TokenizerSpec& spec, std::string_view origin) {
  if (!spec.merge_groups.empty() &&
      (spec.merge_groups.size() != spec.merges.size() || !std::ranges::is_sorted(spec.merge_groups))) {
    return Corrupt("{}: {} groups of {} merges, expected one per merge in ascending order", origin,
                   spec.merge_groups.size(), spec.merges.size());
  }
  if (spec.merges.size() > kMaxMerges) {
    return Corrupt("{}: {} merges, at most {} are handled", origin, spec.merges.size(), kMaxMerges);
  }
  const auto size = static_cast<int32_t>(spec.tokens.size());
  std::string joined;
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const auto& merge = spec.merges[rank];
    for (const int32_t id : {merge.left, merge.right, merge.result}) {
      if (id < 0 || id >= size || spec.tokens[static_cast<size_t>(id)].empty()) {
        return Corrupt("{}: merge {} names id {}, which is not in the vocabulary", origin, rank, id);
      }
    }
    joined = spec.tokens[static_cast<size_t>(merge.left)];
    joined += spec.tokens[static_cast<size_t>(merge.right)];
    if (joined != spec.tokens[static_cast<size_t>(merge.result)]) {
      return Corrupt("{}: merge {} gives \"{}\", but token {} is \"{}\"", origin, rank, Shown(joined),
                     merge.result, Shown(spec.tokens[static_cast<size_t>(merge.result)]));
    }
  }
  return {};
}

Status CheckAddedTokens(const TokenizerSpec& spec, std::string_view origin) {
  std::map<std::string_view, int32_t> id_of;
  std::set<int32_t> ids;
  for (const AddedToken& added : spec.added_tokens) {
    if (added.content.empty()) {
      return Corrupt("{}: the added token with id {} has no content", origin, added.id);
    }
    if (added.content.size() > kMaxTokenBytes || !IsValidUtf8(added.content)) {
      return Corrupt("{}: the added token with id {} is too long or not UTF-8", origin, added.id);
    }
    if (added.id < 0 || added.id > kMaxTokenId) {
      return Corrupt("{}: the added token \"{}\" has id {}, expected 0 to {}", origin, Shown(added.content),
                     added.id, kMaxTokenId);
    }
    if (!id_of.emplace(added.content, added.id).second || !ids.insert(added.id).second) {
      return Corrupt("{}: the added token \"{}\" (id {}) repeats the content or the id of another", origin,
                     Shown(added.content), added.id);
    }
    const auto id = static_cast<size_t>(added.id);
    if (id >= spec.tokens.size() || spec.tokens[id].empty() || spec.tokens[id] == added.content) continue;
    return Corrupt("{}: id {} is the added token \"{}\" and the vocabulary entry \"{}\"", origin, added.id,
                   Shown(added.content), Shown(spec.tokens[id]));
  }
  return {};
}

}  // namespace

bool IsControlToken(const AddedToken& token) {
  return token.special || (token.content.starts_with("<|") && token.content.ends_with("|>"));
}

std::vector<NormalizerStep> NfcSteps() {
  return std::vector<NormalizerStep>(1);  // the first kind
}

std::vector<NormalizerStep> SpaceMarkSteps(bool prepend) {
  std::vector<NormalizerStep> steps(prepend ? 2 : 1);
  steps[0].kind = NormalizerStep::Kind::kPrepend;
  steps[0].content = kSpaceMark;
  steps.back().kind = NormalizerStep::Kind::kReplace;
  steps.back().pattern.text = " ";
  steps.back().content = kSpaceMark;
  return steps;
}

std::vector<DecoderStep> SpaceMarkDecoder(bool strip) {
  std::vector<DecoderStep> steps = {
      {.kind = DecoderStep::Kind::kReplace, .pattern = {std::string(kSpaceMark), false}, .content = " "},
      {.kind = DecoderStep::Kind::kByteFallback},
      {.kind = DecoderStep::Kind::kFuse}};
  if (strip) steps.push_back({.kind = DecoderStep::Kind::kStrip, .content = " ", .start = 1});
  return steps;
}

size_t VocabSize(const TokenizerSpec& spec) {
  size_t size = spec.tokens.size();
  for (const AddedToken& added : spec.added_tokens) size = std::max(size, static_cast<size_t>(added.id) + 1);
  for (const auto& [id, text] : spec.foreign_tokens) size = std::max(size, static_cast<size_t>(id) + 1);
  return size;
}

Status CheckSpec(const TokenizerSpec& spec, std::string_view origin) {
  QWEN25_RETURN_IF_ERROR(CheckTokens(spec, origin));
  QWEN25_RETURN_IF_ERROR(CheckMerges(spec, origin));
  QWEN25_RETURN_IF_ERROR(CheckAddedTokens(spec, origin));
  const size_t size = VocabSize(spec);
  const auto unknown = [size](int32_t id) { return id < 0 || static_cast<size_t>(id) >= size; };
  if (spec.unk_id && unknown(*spec.unk_id)) {
    return Corrupt("{}: the id {} of unk_token is not in the vocabulary", origin, *spec.unk_id);
  }
  for (const auto* ids : {&spec.prefix_ids, &spec.suffix_ids}) {
    const auto bad = std::find_if(ids->begin(), ids->end(), unknown);
    if (bad != ids->end()) {
      return Corrupt("{}: the id {} of the post-processor's template is not in the vocabulary", origin, *bad);
    }
  }
  return {};
}

int ByteOfSentencePiece(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int value = 0;
  for (const char c : token.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

std::string BytesToAlphabet(std::string_view bytes) {
  const ByteAlphabet& alphabet = ByteAlphabet::Get();
  std::string out;
  for (const char byte : bytes) out += alphabet.text[static_cast<unsigned char>(byte)];
  return out;
}

bool AlphabetToBytes(std::string_view text, std::string& bytes) {
  const ByteAlphabet& alphabet = ByteAlphabet::Get();
  bytes.clear();
  const char* end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    const DecodedCodePoint c = DecodeCodePoint(p, end);
    if (!c.valid || c.code_point >= alphabet.byte_of_character.size()) return false;
    const int byte = alphabet.byte_of_character[c.code_point];
    if (byte < 0) return false;
    bytes.push_back(static_cast<char>(byte));
    p += c.bytes;
  }
  return true;
}

}  // namespace qwen25
