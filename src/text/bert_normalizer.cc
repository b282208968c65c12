#include "text/bert_normalizer.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>

#include <algorithm>
#include <memory>

#include "base/check.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

constexpr int kCategoryVersion = 8;                  // of Unicode, of the reference's categories
constexpr const char* kNfdAssigned = "[:age=9.0:]";  // what its NFD knows

bool IsOlder(char32_t c) {
  UVersionInfo age;
  u_charAge(static_cast<UChar32>(c), age);
  return age[0] <= kCategoryVersion;
}

// Whether Unicode 8.0 has the character in one of the categories of `mask` (U_GC_*_MASK).
bool IsIn(char32_t c, uint32_t mask) {
  // The characters whose categories have changed since in a way that matters here.
  switch (c) {
    case 0x166D:   // CANADIAN SYLLABICS CHI SIGN
    case 0x111C9:  // SHARADA SANDHI MARK
      return (mask & U_GC_PO_MASK) != 0;
    case 0x1734:  // HANUNOO SIGN PAMUDPOD
      return (mask & U_GC_MN_MASK) != 0;
    case 0x1885:  // MONGOLIAN LETTER ALI GALI BALUDA and THREE BALUDA
    case 0x1886:
    case 0xA9BD:  // JAVANESE CONSONANT SIGN KERET
      return false;
    default:
      return (U_GET_GC_MASK(static_cast<UChar32>(c)) & mask) != 0 && IsOlder(c);
  }
}

bool IsDropped(char32_t c) {
  if (c < 0x80) return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7F;
  if (c == kReplacementCharacter) return true;
  return IsIn(c, U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK);
}

// As the reference has it: the last range of extension E begins at 2B920 there, not at 2B820.
bool IsChinese(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x2F800 && c <= 0x2FA1F);
}

bool IsAscii(std::string_view text) {
  unsigned char all = 0;
  for (const char c : text) all |= static_cast<unsigned char>(c);
  return all < 0x80;
}

// Calls function(code point) for each of `text`, which is well-formed.
template <typename Function>
void ForCodePoints(std::string_view text, const Function& function) {
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    const DecodedCodePoint decoded = DecodeCodePoint(p, end);
    function(decoded.code_point);
    p += decoded.bytes;
  }
}

void CleanAndSpace(std::string_view text, const BertNormalizerOptions& options, std::string& out) {
  ForCodePoints(text, [&](char32_t c) {
    if (options.clean_text) {
      if (IsDropped(c)) return;
      if (IsBertSpace(c)) c = ' ';
    }
    if (options.chinese_chars && IsChinese(c)) {
      out += ' ';
      AppendUtf8(c, out);
      out += ' ';
    } else {
      AppendUtf8(c, out);
    }
  });
}

const icu::Normalizer2& Nfd() {
  static const icu::Normalizer2& filtered = []() -> const icu::Normalizer2& {
    UErrorCode error = U_ZERO_ERROR;
    const icu::Normalizer2* nfd = icu::Normalizer2::getNFDInstance(error);
    QWEN25_CHECK(U_SUCCESS(error));  // built into the ICU library
    auto assigned = std::make_unique<icu::UnicodeSet>();
    assigned->applyPattern(icu::UnicodeString::fromUTF8(kNfdAssigned), error);
    QWEN25_CHECK(U_SUCCESS(error));
    assigned->freeze();
    // Neither is ever freed: worker threads may still tokenise while the program ends.
    return *new icu::FilteredNormalizer2(*nfd, *assigned.release());
  }();
  return filtered;
}

std::string WithoutAccents(std::string_view text) {
  std::string decomposed, out;
  decomposed.reserve(text.size());
  icu::StringByteSink<std::string> sink(&decomposed);
  constexpr size_t kPart = size_t{1} << 24;  // ICU's lengths are int32
  while (!text.empty()) {
    size_t size = std::min(text.size(), kPart);
    // Cut before an ASCII character, which never combines with what is before it.
    while (size < text.size() && size > 1 && static_cast<unsigned char>(text[size]) >= 0x80) --size;
    UErrorCode error = U_ZERO_ERROR;
    Nfd().normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<int32_t>(size)), sink, nullptr, error);
    QWEN25_CHECK(U_SUCCESS(error));
    text.remove_prefix(size);
  }
  out.reserve(decomposed.size());
  ForCodePoints(decomposed, [&](char32_t c) {
    if (c < 0x80) {
      out += static_cast<char>(c);
    } else if (!IsIn(c, U_GC_MN_MASK)) {
      AppendUtf8(c, out);
    }
  });
  return out;
}

// Lower case of what Unicode 16 and 17 added: the reference knows it, ICU before version 76 and 78 does not.
// Found by comparing the two for every code point, as tests/reference/compare_wordpiece.py does again.
char32_t NewLower(char32_t c) {
  struct Pair {
    char32_t upper, lower;
  };
  constexpr Pair kPairs[] = {{0x1C89, 0x1C8A}, {0xA7CB, 0x264},  {0xA7CC, 0xA7CD}, {0xA7CE, 0xA7CF},
                             {0xA7D2, 0xA7D3}, {0xA7D4, 0xA7D5}, {0xA7DA, 0xA7DB}, {0xA7DC, 0x19B}};
  for (const Pair& pair : kPairs) {
    if (pair.upper == c) return pair.lower;
  }
  if (c >= 0x10D50 && c <= 0x10D65) return c + 0x20;  // Garay
  if (c >= 0x16EA0 && c <= 0x16EB8) return c + 0x1B;  // Beria Erfe
  return static_cast<char32_t>(u_tolower(static_cast<UChar32>(c)));
}

void AppendLower(char32_t c, std::string& out) {
  if (c < 0x80) {
    out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  } else if (c == 0x130) {  // the one character whose lower case is two, wherever it stands
    out += "i\xCC\x87";
  } else {
    AppendUtf8(c < 0x1C89 ? static_cast<char32_t>(u_tolower(static_cast<UChar32>(c))) : NewLower(c), out);
  }
}

// All four steps for text without other characters; nothing of it is Chinese or has accents.
void NormalizeAscii(std::string_view text, const BertNormalizerOptions& options, std::string& out) {
  for (const char c : text) {
    if (options.clean_text && IsDropped(static_cast<char32_t>(c))) continue;
    if (options.clean_text && (c == '\t' || c == '\n' || c == '\r')) {
      out += ' ';
    } else if (options.lowercase) {
      AppendLower(static_cast<char32_t>(c), out);
    } else {
      out += c;
    }
  }
}

}  // namespace

bool IsBertSpace(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  return u_isUWhiteSpace(static_cast<UChar32>(c)) != 0;
}

bool IsBertPunctuation(char32_t c) {
  if (c < 0x80)
    return c > ' ' && c < 0x7F && !(c >= '0' && c <= '9') && !((c | 32) >= 'a' && (c | 32) <= 'z');
  return IsIn(c, U_GC_P_MASK);
}

void NormalizeBert(std::string_view text, const BertNormalizerOptions& options, std::string& out) {
  out.reserve(out.size() + text.size());
  if (IsAscii(text)) return NormalizeAscii(text, options, out);
  std::string cleaned;
  cleaned.reserve(text.size());
  CleanAndSpace(text, options, cleaned);
  if (options.strip_accents) cleaned = WithoutAccents(cleaned);
  if (!options.lowercase) {
    out += cleaned;
    return;
  }
  ForCodePoints(cleaned, [&](char32_t c) { AppendLower(c, out); });
}

}  // namespace qwen25
