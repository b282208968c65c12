#include "text/utf8.h"

#include <simdjson.h>

#include <algorithm>

namespace qwen25 {

void AppendUtf8(char32_t code_point, std::string& out) {
  if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point < 0xE000)) {
    code_point = kReplacementCharacter;
  }
  const auto byte = [&out](char32_t value) { out.push_back(static_cast<char>(value)); };
  if (code_point < 0x80) {
    byte(code_point);
  } else if (code_point < 0x800) {
    byte(0xC0 | code_point >> 6);
    byte(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    byte(0xE0 | code_point >> 12);
    byte(0x80 | (code_point >> 6 & 0x3F));
    byte(0x80 | (code_point & 0x3F));
  } else {
    byte(0xF0 | code_point >> 18);
    byte(0x80 | (code_point >> 12 & 0x3F));
    byte(0x80 | (code_point >> 6 & 0x3F));
    byte(0x80 | (code_point & 0x3F));
  }
}

bool IsValidUtf8(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size());
}

std::string RepairUtf8(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  const char* p = text.data();
  const char* end = p + text.size();
  while (p < end) {
    const char* start = p;  // of a well-formed run, copied in one go
    DecodedCodePoint decoded{};
    while (p < end && (decoded = DecodeCodePoint(p, end)).valid) p += decoded.bytes;
    out.append(start, p);
    if (p == end) break;
    AppendUtf8(kReplacementCharacter, out);
    p += decoded.bytes;
  }
  return out;
}

size_t IncompleteUtf8Suffix(std::string_view text) {
  const char* end = text.data() + text.size();
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(end[-static_cast<ptrdiff_t>(back)]);
    if ((byte & 0xC0) == 0x80) continue;  // a continuation byte: its lead stands further left
    if (byte < 0xC2 || byte > 0xF4) return 0;
    const uint32_t wanted = byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
    const DecodedCodePoint decoded = DecodeCodePoint(end - back, end);
    return !decoded.valid && decoded.bytes == back && back < wanted ? back : 0;
  }
  return 0;
}

}  // namespace qwen25
