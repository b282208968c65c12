#include "text/normalizer.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uniset.h>

#include <memory>

#include "base/check.h"
#include "text/unicode_class.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

// Code points below U+0300 are inert under NFC; their lead bytes are below this one.
constexpr unsigned char kFirstActiveLead = 0xCC;

const icu::Normalizer2* IcuInstance(NormalizationForm form, UErrorCode& error) {
  switch (form) {
    case NormalizationForm::kNfc:
      return icu::Normalizer2::getNFCInstance(error);
    case NormalizationForm::kNfd:
      return icu::Normalizer2::getNFDInstance(error);
    case NormalizationForm::kNfkc:
      return icu::Normalizer2::getNFKCInstance(error);
    case NormalizationForm::kNfkd:
      break;
  }
  return icu::Normalizer2::getNFKDInstance(error);
}

// A form that leaves alone what was not assigned in Unicode 9.0. ICU's data normalises all older characters
// as Unicode 9.0 did (the stability policy), so the age is the whole difference.
const icu::Normalizer2& MakeNormalizer(NormalizationForm form) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* all = IcuInstance(form, error);
  QWEN25_CHECK(U_SUCCESS(error));  // built into the ICU library
  auto assigned = std::make_unique<icu::UnicodeSet>();
  const std::string pattern = "[:age=" + std::to_string(kNfcUnicodeVersion) + ".0:]";
  assigned->applyPattern(icu::UnicodeString::fromUTF8(pattern), error);
  QWEN25_CHECK(U_SUCCESS(error));
  assigned->freeze();
  // Neither is ever freed: worker threads may still tokenise while the program ends.
  return *new icu::FilteredNormalizer2(*all, *assigned.release());
}

template <NormalizationForm form>
const icu::Normalizer2& Shared() {
  static const icu::Normalizer2& normalizer = MakeNormalizer(form);  // takes milliseconds: when it is needed
  return normalizer;
}

const icu::Normalizer2& NormalizerFor(NormalizationForm form) {
  switch (form) {
    case NormalizationForm::kNfc:
      return Shared<NormalizationForm::kNfc>();
    case NormalizationForm::kNfd:
      return Shared<NormalizationForm::kNfd>();
    case NormalizationForm::kNfkc:
      return Shared<NormalizationForm::kNfkc>();
    case NormalizationForm::kNfkd:
      break;
  }
  return Shared<NormalizationForm::kNfkd>();
}

}  // namespace

bool NeedsNfc(std::string_view text) {
  const char* p = text.data();
  const char* end = p + text.size();
  const UnicodeClassTable* classes = nullptr;
  while (p < end) {
    // Blocks without an active lead byte need no decoding; the compiler turns this loop into vector code.
    constexpr ptrdiff_t kBlock = 64;
    while (end - p >= kBlock) {
      unsigned char any = 0;
      for (ptrdiff_t i = 0; i < kBlock; ++i) any |= static_cast<unsigned char>(p[i]) >= kFirstActiveLead;
      if (any) break;
      p += kBlock;
    }
    const char* stop = end - p >= kBlock ? p + kBlock : end;
    if (classes == nullptr) classes = &UnicodeClassTable::Get();
    while (p < stop) {
      if (static_cast<unsigned char>(*p) < kFirstActiveLead) {
        ++p;  // also the continuation bytes of a code point below U+0300 or cut by the block
        continue;
      }
      const DecodedCodePoint decoded = DecodeCodePoint(p, end);
      if ((*classes)[decoded.code_point] & kClassNfcCheck) return true;
      p += decoded.bytes;
    }
  }
  return false;
}

void NormalizeNfc(std::string_view text, std::string& out) {
  Normalize(NormalizationForm::kNfc, text, out);
}

void Normalize(NormalizationForm form, std::string_view text, std::string& out) {
  out.clear();
  out.reserve(text.size());
  UErrorCode error = U_ZERO_ERROR;
  icu::StringByteSink<std::string> sink(&out);
  // ICU's lengths are int32: longer text is normalised in parts, cut before an ASCII character, which never
  // combines with what is before it.
  constexpr size_t kPart = size_t{1} << 30;
  while (!text.empty()) {
    size_t size = std::min(text.size(), kPart);
    if (size < text.size()) {
      const size_t ascii = [&] {
        size_t at = size;
        while (at > 0 && static_cast<unsigned char>(text[at]) >= 0x80) --at;
        return at;
      }();
      if (ascii > 0) size = ascii;
    }
    const auto part = icu::StringPiece(text.data(), static_cast<int32_t>(size));
    NormalizerFor(form).normalizeUTF8(0, part, sink, nullptr, error);
    QWEN25_CHECK(U_SUCCESS(error));
    text.remove_prefix(size);
  }
}

}  // namespace qwen25
