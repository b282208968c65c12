#include "text/code_point_set.h"

#include <unicode/uchar.h>
#include <unicode/uscript.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

namespace qwen25 {
namespace {

struct Addition {
  UChar32 first, last;
  uint32_t category;  // U_GC_..._MASK
};

// The code points of Unicode 15.1 and 16.0, which ICU 72 (Unicode 15.0, the oldest supported) does not know,
// and the one character that changed its category. From the Unicode Character Database.
constexpr Addition kSince15[] = {
    {0x0897, 0x0897, U_GC_MN_MASK},   {0x1B4E, 0x1B4F, U_GC_PO_MASK},   {0x1B7F, 0x1B7F, U_GC_PO_MASK},
    {0x1C89, 0x1C89, U_GC_LU_MASK},   {0x1C8A, 0x1C8A, U_GC_LL_MASK},   {0x2427, 0x2429, U_GC_SO_MASK},
    {0x2FFC, 0x2FFF, U_GC_SO_MASK},   {0x31E4, 0x31E5, U_GC_SO_MASK},   {0x31EF, 0x31EF, U_GC_SO_MASK},
    {0xA7CB, 0xA7CC, U_GC_LU_MASK},   {0xA7CD, 0xA7CD, U_GC_LL_MASK},   {0xA7DA, 0xA7DA, U_GC_LU_MASK},
    {0xA7DB, 0xA7DB, U_GC_LL_MASK},   {0xA7DC, 0xA7DC, U_GC_LU_MASK},   {0x105C0, 0x105F3, U_GC_LO_MASK},
    {0x10D40, 0x10D49, U_GC_ND_MASK}, {0x10D4A, 0x10D4D, U_GC_LO_MASK}, {0x10D4E, 0x10D4E, U_GC_LM_MASK},
    {0x10D4F, 0x10D4F, U_GC_LO_MASK}, {0x10D50, 0x10D65, U_GC_LU_MASK}, {0x10D69, 0x10D6D, U_GC_MN_MASK},
    {0x10D6E, 0x10D6E, U_GC_PD_MASK}, {0x10D6F, 0x10D6F, U_GC_LM_MASK}, {0x10D70, 0x10D85, U_GC_LL_MASK},
    {0x10D8E, 0x10D8F, U_GC_SM_MASK}, {0x10EC2, 0x10EC4, U_GC_LO_MASK}, {0x10EFC, 0x10EFC, U_GC_MN_MASK},
    {0x11380, 0x11389, U_GC_LO_MASK}, {0x1138B, 0x1138B, U_GC_LO_MASK}, {0x1138E, 0x1138E, U_GC_LO_MASK},
    {0x11390, 0x113B5, U_GC_LO_MASK}, {0x113B7, 0x113B7, U_GC_LO_MASK}, {0x113B8, 0x113BA, U_GC_MC_MASK},
    {0x113BB, 0x113C0, U_GC_MN_MASK}, {0x113C2, 0x113C2, U_GC_MC_MASK}, {0x113C5, 0x113C5, U_GC_MC_MASK},
    {0x113C7, 0x113CA, U_GC_MC_MASK}, {0x113CC, 0x113CD, U_GC_MC_MASK}, {0x113CE, 0x113CE, U_GC_MN_MASK},
    {0x113CF, 0x113CF, U_GC_MC_MASK}, {0x113D0, 0x113D0, U_GC_MN_MASK}, {0x113D1, 0x113D1, U_GC_LO_MASK},
    {0x113D2, 0x113D2, U_GC_MN_MASK}, {0x113D3, 0x113D3, U_GC_LO_MASK}, {0x113D4, 0x113D5, U_GC_PO_MASK},
    {0x113D7, 0x113D8, U_GC_PO_MASK}, {0x113E1, 0x113E2, U_GC_MN_MASK}, {0x116D0, 0x116E3, U_GC_ND_MASK},
    {0x1171E, 0x1171E, U_GC_MC_MASK}, {0x11BC0, 0x11BE0, U_GC_LO_MASK}, {0x11BE1, 0x11BE1, U_GC_PO_MASK},
    {0x11BF0, 0x11BF9, U_GC_ND_MASK}, {0x11F5A, 0x11F5A, U_GC_MN_MASK}, {0x13460, 0x143FA, U_GC_LO_MASK},
    {0x16100, 0x1611D, U_GC_LO_MASK}, {0x1611E, 0x16129, U_GC_MN_MASK}, {0x1612A, 0x1612C, U_GC_MC_MASK},
    {0x1612D, 0x1612F, U_GC_MN_MASK}, {0x16130, 0x16139, U_GC_ND_MASK}, {0x16D40, 0x16D42, U_GC_LM_MASK},
    {0x16D43, 0x16D6A, U_GC_LO_MASK}, {0x16D6B, 0x16D6C, U_GC_LM_MASK}, {0x16D6D, 0x16D6F, U_GC_PO_MASK},
    {0x16D70, 0x16D79, U_GC_ND_MASK}, {0x18CFF, 0x18CFF, U_GC_LO_MASK}, {0x1CC00, 0x1CCEF, U_GC_SO_MASK},
    {0x1CCF0, 0x1CCF9, U_GC_ND_MASK}, {0x1CD00, 0x1CEB3, U_GC_SO_MASK}, {0x1E5D0, 0x1E5ED, U_GC_LO_MASK},
    {0x1E5EE, 0x1E5EF, U_GC_MN_MASK}, {0x1E5F0, 0x1E5F0, U_GC_LO_MASK}, {0x1E5F1, 0x1E5FA, U_GC_ND_MASK},
    {0x1E5FF, 0x1E5FF, U_GC_PO_MASK}, {0x1F8B2, 0x1F8BB, U_GC_SO_MASK}, {0x1F8C0, 0x1F8C1, U_GC_SO_MASK},
    {0x1FA89, 0x1FA89, U_GC_SO_MASK}, {0x1FA8F, 0x1FA8F, U_GC_SO_MASK}, {0x1FABE, 0x1FABE, U_GC_SO_MASK},
    {0x1FAC6, 0x1FAC6, U_GC_SO_MASK}, {0x1FADC, 0x1FADC, U_GC_SO_MASK}, {0x1FADF, 0x1FADF, U_GC_SO_MASK},
    {0x1FAE9, 0x1FAE9, U_GC_SO_MASK}, {0x1FBCB, 0x1FBEF, U_GC_SO_MASK}, {0x2EBF0, 0x2EE5D, U_GC_LO_MASK},
};

// Marks that are alphabetic in Unicode 16.0: new ones, and old ones that were not.
constexpr std::pair<UChar32, UChar32> kAlphabeticMarksSince15[] = {
    {0x0363, 0x036F},   {0x0897, 0x0897},   {0x1DD3, 0x1DE6},   {0x10D69, 0x10D69},
    {0x10EFC, 0x10EFC}, {0x113B8, 0x113C0}, {0x113C2, 0x113C2}, {0x113C5, 0x113C5},
    {0x113C7, 0x113CA}, {0x113CC, 0x113CD}, {0x1611E, 0x1612E}};

constexpr Addition kHanSince15 = {0x2EBF0, 0x2EE5D, U_GC_LO_MASK};

// What Unicode 16.0 does not have yet is unassigned here, too.
const icu::UnicodeSet& NewerThan16() {
  static const icu::UnicodeSet& set = *[] {
    auto* newer = new icu::UnicodeSet();
    for (UChar32 c = 0x80; c <= 0x10FFFF; ++c) {
      UVersionInfo age;
      u_charAge(c, age);
      if (age[0] > 16) newer->add(c);
    }
    newer->freeze();
    return newer;
  }();
  return set;
}

icu::UnicodeSet CategorySet(uint32_t mask) {
  icu::UnicodeSet set;
  UErrorCode error = U_ZERO_ERROR;
  set.applyIntPropertyValue(UCHAR_GENERAL_CATEGORY_MASK, static_cast<int32_t>(mask), error);
  for (const Addition& added : kSince15) {
    if (added.category & mask) {
      set.add(added.first, added.last);
    } else {
      set.remove(added.first, added.last);
    }
  }
  if (mask & U_GC_CN_MASK) {
    set.addAll(NewerThan16());
  } else {
    set.removeAll(NewerThan16());
  }
  return set;
}

icu::UnicodeSet BinarySet(UProperty property) {
  icu::UnicodeSet set;
  UErrorCode error = U_ZERO_ERROR;
  set.applyIntPropertyValue(property, 1, error);
  return set.removeAll(NewerThan16()), set;
}

// All code points that have been assigned since this version or an older one.
icu::UnicodeSet AssignedIn(const char* version) {
  UErrorCode error = U_ZERO_ERROR;
  icu::UnicodeSet set;
  set.applyPropertyAlias("age", version, error);
  return set;
}

icu::UnicodeSet AlphabeticSet() {
  icu::UnicodeSet set = BinarySet(UCHAR_ALPHABETIC);
  set.addAll(CategorySet(U_GC_L_MASK | U_GC_NL_MASK));
  for (const auto& [first, last] : kAlphabeticMarksSince15) set.add(first, last);
  return set;
}

icu::UnicodeSet CasedSet(UProperty property, uint32_t category) {
  icu::UnicodeSet set = BinarySet(property);
  set.addAll(CategorySet(category));
  return set;
}

icu::UnicodeSet WhiteSpaceSet() {
  return BinarySet(UCHAR_WHITE_SPACE);
}

// Oniguruma's POSIX classes, which are properties as well.
bool PosixSet(std::string_view name, icu::UnicodeSet& out) {
  if (name == "alpha") return out = AlphabeticSet(), true;
  if (name == "digit") return out = CategorySet(U_GC_ND_MASK), true;
  if (name == "alnum") return out = AlphabeticSet(), out.addAll(CategorySet(U_GC_ND_MASK)), true;
  if (name == "upper") return out = CasedSet(UCHAR_UPPERCASE, U_GC_LU_MASK), true;
  if (name == "lower") return out = CasedSet(UCHAR_LOWERCASE, U_GC_LL_MASK), true;
  if (name == "space") return out = WhiteSpaceSet(), true;
  if (name == "blank") return out = CategorySet(U_GC_ZS_MASK), out.add('\t'), true;
  if (name == "cntrl") return out = CategorySet(U_GC_CC_MASK), true;
  if (name == "xdigit") return out.add('0', '9').add('a', 'f').add('A', 'F'), true;
  if (name == "word") return out = WordSet(true), true;
  if (name == "any") return out.add(0, 0x10FFFF), true;
  if (name == "ascii") return out.add(0, 0x7F), true;
  return false;
}

// A name without case, spaces, hyphens and underscores.
std::string LooseName(std::string_view name) {
  std::string loose;
  for (const char c : name) {
    if (c == ' ' || c == '-' || c == '_') continue;
    loose.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c);
  }
  return loose;
}

// Marks the bytes with which the UTF-8 of the code points first..last can begin.
void AddFirstBytes(UChar32 first, UChar32 last, std::bitset<256>& bytes) {
  const auto lead = [](UChar32 c) {
    std::string text;
    AppendUtf8(static_cast<char32_t>(c >= 0xD800 && c < 0xE000 ? 0xD7FF : c), text);
    return static_cast<unsigned char>(text[0]);
  };
  for (unsigned byte = lead(first); byte <= lead(last); ++byte) bytes.set(byte);
}

}  // namespace

Result<icu::UnicodeSet> PropertySet(std::string_view name) {
  const std::string loose = LooseName(name);
  icu::UnicodeSet set;
  if (PosixSet(loose, set)) return set;
  if (loose == "alphabetic") return AlphabeticSet();
  if (loose == "whitespace") return WhiteSpaceSet();
  if (loose == "uppercase") return CasedSet(UCHAR_UPPERCASE, U_GC_LU_MASK);
  if (loose == "lowercase") return CasedSet(UCHAR_LOWERCASE, U_GC_LL_MASK);
  if (loose == "punct") return CategorySet(U_GC_P_MASK);
  const int32_t category = u_getPropertyValueEnum(UCHAR_GENERAL_CATEGORY_MASK, loose.c_str());
  if (category > 0) return CategorySet(static_cast<uint32_t>(category));
  const int32_t script = u_getPropertyValueEnum(UCHAR_SCRIPT, loose.c_str());
  UErrorCode error = U_ZERO_ERROR;
  if (script >= 0) {
    set.applyIntPropertyValue(UCHAR_SCRIPT, script, error);
    if (script == USCRIPT_HAN) set.add(kHanSince15.first, kHanSince15.last);
    set.removeAll(NewerThan16());
    return set;
  }
  const UProperty property = u_getPropertyEnum(loose.c_str());
  if (property >= 0 && property < UCHAR_BINARY_LIMIT) return BinarySet(property);
  return Unsupported(
      "the property \"{}\" is not known; known are general categories, scripts, POSIX classes "
      "and binary properties",
      name);
}

icu::UnicodeSet WordSet(bool in_brackets) {
  icu::UnicodeSet set = AlphabeticSet();
  set.addAll(CategorySet(U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK));
  if (in_brackets) return set;
  for (const UChar32 c : {0xB2, 0xB3, 0xB9, 0xBC, 0xBD, 0xBE}) set.add(c);
  return set;
}

icu::UnicodeSet PunctuationAndSymbolSet() {
  return CategorySet(U_GC_P_MASK | U_GC_S_MASK);
}

icu::UnicodeSet NumericSet() {
  icu::UnicodeSet set = CategorySet(U_GC_N_MASK);
  return set.add(0x11DE0, 0x11DE9).add(0x16FF4, 0x16FF6);
}

icu::UnicodeSet PreTokenizerPunctuationSet() {
  icu::UnicodeSet set = CategorySet(U_GC_P_MASK);
  set.retainAll(AssignedIn("8.0"));
  set.add(0x166D).add(0x111C9);  // other categories since
  return set.add('!', '/').add(':', '@').add('[', '`').add('{', '~');
}

icu::UnicodeSet AccentSet() {
  icu::UnicodeSet set = CategorySet(U_GC_M_MASK);
  set.retainAll(AssignedIn("9.0"));
  return set.add(0x1CF2, 0x1CF3).remove(0x111C9);  // other categories since
}

void CloseOverCase(icu::UnicodeSet& set) {
  set.closeOver(USET_CASE_INSENSITIVE);
  set.removeAllStrings();
}

CodePointSet::CodePointSet(const icu::UnicodeSet& set) : bmp_(0x10000 / 64, 0) {
  for (int32_t i = 0; i < set.getRangeCount(); ++i) {
    const UChar32 first = set.getRangeStart(i), last = set.getRangeEnd(i);
    for (UChar32 c = first; c <= std::min<UChar32>(last, 0xFFFF); ++c) {
      if (c < 0x80) ascii_[static_cast<size_t>(c)] = true;
      bmp_[static_cast<size_t>(c >> 6)] |= uint64_t{1} << (c & 63);
    }
    if (last >= 0x10000) {
      bounds_.push_back(static_cast<char32_t>(std::max<UChar32>(first, 0x10000)));
      bounds_.push_back(static_cast<char32_t>(last) + 1);
    }
    AddFirstBytes(first, last, first_bytes_);
  }
  if (!set.contains(0xFFFD)) return;
  for (size_t byte = 0x80; byte < 256; ++byte) first_bytes_.set(byte);
}

bool CodePointSet::ContainsBeyond(char32_t c) const {
  return (std::ranges::upper_bound(bounds_, c) - bounds_.begin()) % 2 == 1;
}

}  // namespace qwen25
