#include "text/unicode_class.h"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "base/check.h"

namespace qwen25 {
namespace {

constexpr int kNumCodePoints = 0x110000;

struct Range {
  int first;
  int last;
};

// Letters and numbers of Unicode 15.1 and 16.0 that ICU 72 (Unicode 15.0, the oldest supported) does not
// know. Found by comparing the two for every code point: tests/reference/compare_tokenizers.py does so again.
constexpr Range kLettersSince15[] = {
    {0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},   {0x105C0, 0x105F3}, {0x10D4A, 0x10D65},
    {0x10D6F, 0x10D85}, {0x10EC2, 0x10EC4}, {0x11380, 0x11389}, {0x1138B, 0x1138B}, {0x1138E, 0x1138E},
    {0x11390, 0x113B5}, {0x113B7, 0x113B7}, {0x113D1, 0x113D1}, {0x113D3, 0x113D3}, {0x11BC0, 0x11BE0},
    {0x13460, 0x143FA}, {0x16100, 0x1611D}, {0x16D40, 0x16D6C}, {0x18CFF, 0x18CFF}, {0x1E5D0, 0x1E5ED},
    {0x1E5F0, 0x1E5F0}, {0x2EBF0, 0x2EE5D},
};
constexpr Range kNumbersSince15[] = {
    {0x10D40, 0x10D49}, {0x116D0, 0x116E3}, {0x11BF0, 0x11BF9}, {0x16130, 0x16139},
    {0x16D70, 0x16D79}, {0x1CCF0, 0x1CCF9}, {0x1E5F1, 0x1E5FA},
};
constexpr Range kNumbersSince16[] = {{0x11DE0, 0x11DE9}, {0x16FF4, 0x16FF6}};

bool IsNewerThan(UChar32 code_point, int unicode_version) {
  UVersionInfo age;
  u_charAge(code_point, age);
  return age[0] > unicode_version;
}

// Text without such a code point is its own NFC (Unicode Standard Annex 15, quick check).
bool IsNfcActive(UChar32 code_point) {
  return u_getIntPropertyValue(code_point, UCHAR_NFC_QUICK_CHECK) != UNORM_YES ||
         u_getCombiningClass(code_point) != 0;
}

// Called by ICU once per range of equal general category.
UBool AddCategoryRange(const void* context, UChar32 start, UChar32 limit, UCharCategory category) {
  auto& classes = *static_cast<std::vector<uint8_t>*>(const_cast<void*>(context));
  const uint32_t mask = U_MASK(category);
  if (mask & (U_GC_CN_MASK | U_GC_CO_MASK | U_GC_CS_MASK)) return true;  // unassigned, private, surrogates
  const uint8_t bits = mask & U_GC_L_MASK   ? kClassLetter
                       : mask & U_GC_N_MASK ? kClassNumber | kClassDigitStep
                                            : 0;
  for (UChar32 c = start; c < limit; ++c) {
    uint8_t& out = classes[static_cast<size_t>(c)];
    if (bits != 0 && !IsNewerThan(c, kClassesUnicodeVersion)) out |= bits;
    if (IsNfcActive(c) && !IsNewerThan(c, kNfcUnicodeVersion)) out |= kClassNfcCheck;
  }
  return true;
}

void AddRanges(const Range* begin, const Range* end, uint8_t bits, std::vector<uint8_t>& classes) {
  for (const Range* range = begin; range != end; ++range) {
    for (int c = range->first; c <= range->last; ++c) classes[static_cast<size_t>(c)] |= bits;
  }
}

}  // namespace

const UnicodeClassTable& UnicodeClassTable::Get() {
  static const UnicodeClassTable table;
  return table;
}

UnicodeClassTable::UnicodeClassTable() {
  std::vector<uint8_t> all(kNumCodePoints, 0);
  u_enumCharTypes(AddCategoryRange, &all);
  AddRanges(std::begin(kLettersSince15), std::end(kLettersSince15), kClassLetter, all);
  AddRanges(std::begin(kNumbersSince15), std::end(kNumbersSince15), kClassNumber | kClassDigitStep, all);
  AddRanges(std::begin(kNumbersSince16), std::end(kNumbersSince16), kClassDigitStep, all);
  // White_Space ends at U+3000 and has not changed since Unicode 6.3.
  for (UChar32 c = 0; c <= 0x3000; ++c) {
    if (u_isUWhiteSpace(c)) all[static_cast<size_t>(c)] |= kClassSpace;
  }
  all['\r'] |= kClassNewline;
  all['\n'] |= kClassNewline;

  for (size_t block = 0; block < std::size(block_); ++block) {
    const uint8_t* wanted = all.data() + block * 256;
    size_t found = 0;
    while (found * 256 < classes_.size() && std::memcmp(classes_.data() + found * 256, wanted, 256) != 0) {
      ++found;
    }
    if (found * 256 == classes_.size()) classes_.insert(classes_.end(), wanted, wanted + 256);
    block_[block] = static_cast<uint16_t>(found);
  }
  QWEN25_CHECK(block_[0] == 0);  // ascii() relies on it
}

}  // namespace qwen25
