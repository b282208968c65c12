// What the pre-tokenizer and the normaliser need to know about a code point, in one byte.
//
// Tokenisation must not depend on the machine's Unicode version, and must be what Hugging Face `tokenizers`
// does. So the classes are those of Unicode 16.0 (the tables of its Oniguruma) and normalisation is that of
// Unicode 9.0 (the tables of its normaliser), whatever ICU is installed.
#pragma once

#include <cstdint>
#include <vector>

namespace qwen25 {

inline constexpr int kClassesUnicodeVersion = 16;
inline constexpr int kNfcUnicodeVersion = 9;

enum UnicodeClass : uint8_t {
  kClassLetter = 1,      // \p{L}
  kClassNumber = 2,      // \p{N}
  kClassSpace = 4,       // \s, that is White_Space
  kClassNewline = 8,     // [\r\n], which are spaces too
  kClassDigitStep = 32,  // numbers of Unicode 17, which the step Digits of Hugging Face looks for
  kClassNfcCheck = 16    // not inert under NFC: may compose, decompose or be reordered
};

// Code point to UnicodeClass bits. Two stages: equal blocks of 256 code points are stored once (some 60 KiB).
class UnicodeClassTable {
 public:
  // Built from ICU on first use (a few milliseconds), then shared; thread-safe.
  static const UnicodeClassTable& Get();

  // `code_point` <= 0x10FFFF.
  uint8_t operator[](char32_t code_point) const {
    return classes_[static_cast<uint32_t>(block_[code_point >> 8]) << 8 | (code_point & 0xFF)];
  }
  // The classes of U+0000..U+007F, for loops over bytes.
  const uint8_t* ascii() const { return classes_.data(); }

 private:
  UnicodeClassTable();

  uint16_t block_[0x1100];
  std::vector<uint8_t> classes_;
};

}  // namespace qwen25
