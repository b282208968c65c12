// UTF-8: decoding, validation and repair. Ill-formed bytes are handled everywhere by one rule, the one of
// Python's bytes.decode("utf-8", "replace") and of the WHATWG encoding standard: each maximal subpart of an
// ill-formed sequence (Unicode 16, section 3.9, "U+FFFD substitution of maximal subparts") stands for one
// U+FFFD.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace qwen25 {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;
// U+FEFF, which some editors put before a text.
inline constexpr std::string_view kUtf8ByteOrderMark = "\xEF\xBB\xBF";

struct DecodedCodePoint {
  char32_t code_point;  // kReplacementCharacter if the bytes are ill-formed
  uint32_t bytes;       // 1..4; those of the maximal subpart if they are ill-formed
  bool valid;
};

// Decodes the code point at `begin` (< end).
inline DecodedCodePoint DecodeCodePoint(const char* begin, const char* end) {
  const auto* p = reinterpret_cast<const unsigned char*>(begin);
  const size_t size = static_cast<size_t>(end - begin);
  const uint32_t lead = p[0];
  if (lead < 0x80) return {lead, 1, true};
  if (lead < 0xC2 || lead > 0xF4) return {kReplacementCharacter, 1, false};
  if (lead < 0xE0) {
    if (size < 2 || (p[1] & 0xC0) != 0x80) return {kReplacementCharacter, 1, false};
    return {(lead & 0x1F) << 6 | (p[1] & 0x3Fu), 2, true};
  }
  // The second byte excludes overlong forms, surrogates and values above U+10FFFF (Unicode 16, table 3-7).
  const uint32_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint32_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (size < 2 || p[1] < low || p[1] > high) return {kReplacementCharacter, 1, false};
  if (size < 3 || (p[2] & 0xC0) != 0x80) return {kReplacementCharacter, 2, false};
  if (lead < 0xF0) return {(lead & 0x0F) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu), 3, true};
  if (size < 4 || (p[3] & 0xC0) != 0x80) return {kReplacementCharacter, 3, false};
  return {(lead & 0x07) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu), 4, true};
}

// Appends `code_point` as UTF-8; surrogates and values above U+10FFFF become U+FFFD.
void AppendUtf8(char32_t code_point, std::string& out);

// Whether all of `text` is well-formed.
bool IsValidUtf8(std::string_view text);

// `text` with every maximal ill-formed subpart replaced by U+FFFD: always well-formed.
std::string RepairUtf8(std::string_view text);

// The number of bytes (0..3) at the end of `text` that begin a well-formed sequence without completing it. A
// stream must hold them back until more bytes come.
size_t IncompleteUtf8Suffix(std::string_view text);

}  // namespace qwen25
