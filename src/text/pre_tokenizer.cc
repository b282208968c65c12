#include "text/pre_tokenizer.h"

#include "text/utf8.h"

namespace qwen25 {
namespace {

constexpr uint8_t kNotOther = kClassLetter | kClassNumber | kClassSpace;

// The code point under a cursor: its class bits and its length in bytes.
struct Character {
  uint8_t bits;
  uint32_t bytes;
};

// Scanning functions over [p, end). Each takes a position and returns a later one. All of them are part of
// the inner loop of encoding, so they are expanded wherever they are used, however many kinds there are.
class Scanner {
 public:
  Scanner(const UnicodeClassTable& classes, const char* end)
      : classes_(classes), ascii_(classes.ascii()), end_(end) {}

  [[gnu::always_inline]] Character At(const char* p) const {
    const auto byte = static_cast<unsigned char>(*p);
    if (byte < 0x80) return {ascii_[byte], 1};
    const DecodedCodePoint decoded = DecodeCodePoint(p, end_);
    return {classes_[decoded.code_point], decoded.bytes};
  }

  // Past the longest run of code points that have one of the bits `wanted`.
  [[gnu::always_inline]] const char* SkipRun(const char* p, uint8_t wanted) const {
    while (p < end_) {
      const Character c = At(p);
      if (!(c.bits & wanted)) break;
      p += c.bytes;
    }
    return p;
  }

  // Past the longest run of code points without one of the bits `unwanted`: by default, of [^\s\p{L}\p{N}].
  [[gnu::always_inline]] const char* SkipOther(const char* p, uint8_t unwanted = kNotOther) const {
    while (p < end_) {
      const Character c = At(p);
      if (c.bits & unwanted) break;
      p += c.bytes;
    }
    return p;
  }

  // \s+(?!\S)|\s+ at a white space: the whole run at the end of the text; else all but its last code point,
  // which is left to lead the next piece; a run of one is taken whole.
  // With `lines`, preceded by \s*[\r\n]+: a run that holds a newline ends after its last one. With
  // `digits_end`, a number ends the text.
  template <bool lines, bool digits_end>
  [[gnu::always_inline]] const char* SkipSpaces(const char* p) const {
    const char* last = p;  // start of the run's last code point
    const char* after_newline = nullptr;
    const char* q = p;
    while (q < end_) {
      const Character c = At(q);
      if (!(c.bits & kClassSpace)) break;
      last = q;
      q += c.bytes;
      if (c.bits & kClassNewline) after_newline = q;
    }
    if (lines && after_newline != nullptr) return after_newline;
    return q == end_ || last == p || (digits_end && At(q).bits & kClassDigitStep) ? q : last;
  }

  const char* end() const { return end_; }

 private:
  const UnicodeClassTable& classes_;
  const uint8_t* ascii_;
  const char* end_;
};

// Length of the contraction after an apostrophe at [p, end): s, t, re, ve, m, ll, d; 0 if there is none.
// Without case, "s" has a third form, the long s (U+017F).
size_t ContractionLength(const char* p, const char* end, bool ignore_case) {
  const size_t size = static_cast<size_t>(end - p);
  if (size == 0) return 0;
  const char fold = ignore_case ? 0x20 : 0;  // the bit between A-Z and a-z; both sides below are letters
  const char first = static_cast<char>(p[0] | fold);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 1;
  if (size < 2) return 0;
  if (ignore_case && p[0] == '\xC5' && p[1] == '\xBF') return 2;
  const char second = static_cast<char>(p[1] | fold);
  const bool two = ((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l');
  return two ? 2 : 0;
}

// Numbers are taken together, up to `most_digits`.
template <int most_digits>
[[gnu::always_inline]] inline const char* NextQwen2(const Scanner& scan, const char* p) {
  const Character c = scan.At(p);
  const char* next = p + c.bytes;
  if (c.bits & kClassLetter) return scan.SkipRun(next, kClassLetter);
  if (*p == '\'') {
    if (const size_t length = ContractionLength(next, scan.end(), true)) return next + length;
  }
  if (c.bits & kClassNumber) {
    for (int i = 1; i < most_digits && next < scan.end(); ++i) {
      const Character digit = scan.At(next);
      if (!(digit.bits & kClassNumber)) break;
      next += digit.bytes;
    }
    return next;
  }
  if (next < scan.end() && !(c.bits & kClassNewline)) {
    const Character follower = scan.At(next);
    if (follower.bits & kClassLetter) return scan.SkipRun(next + follower.bytes, kClassLetter);
    if (*p == ' ' && !(follower.bits & kNotOther)) {
      return scan.SkipRun(scan.SkipOther(next + follower.bytes), kClassNewline);
    }
  }
  if (!(c.bits & kClassSpace)) return scan.SkipRun(scan.SkipOther(next), kClassNewline);
  return scan.SkipSpaces<true, false>(p);
}

// With `single_digits`, every number is a piece of its own and ends the text before it.
template <bool single_digits>
[[gnu::always_inline]] inline const char* NextGpt2(const Scanner& scan, const char* p) {
  if (*p == '\'') {
    if (const size_t length = ContractionLength(p + 1, scan.end(), false)) return p + 1 + length;
  }
  const char* run = *p == ' ' && p + 1 < scan.end() ? p + 1 : p;  // " ?" takes the space if a run follows
  const Character c = scan.At(run);
  if (single_digits && c.bits & kClassDigitStep) return run > p ? run : run + c.bytes;
  if (c.bits & kClassLetter) return scan.SkipRun(run + c.bytes, kClassLetter);
  if (c.bits & kClassNumber) return scan.SkipRun(run + c.bytes, kClassNumber);
  if (!(c.bits & kClassSpace)) {
    return scan.SkipOther(run + c.bytes, kNotOther | (single_digits ? kClassDigitStep : 0));
  }
  return scan.SkipSpaces<false, single_digits>(p);
}

// Each kind is a function of its own: together in one, they would need more registers than there are.
template <PreTokenizerKind kind>
[[gnu::noinline]] const char* Next(const UnicodeClassTable& classes, const char* p, const char* end) {
  const Scanner scan(classes, end);
  switch (kind) {
    case PreTokenizerKind::kQwen2:
      return NextQwen2<1>(scan, p);
    case PreTokenizerKind::kLlama3:
      return NextQwen2<3>(scan, p);
    case PreTokenizerKind::kGpt2:
      return NextGpt2<false>(scan, p);
    case PreTokenizerKind::kDigitsGpt2:
      break;
  }
  return NextGpt2<true>(scan, p);
}

}  // namespace

size_t PreTokenizer::NextPiece(std::string_view text, size_t begin) const {
  const char* const p = text.data() + begin;
  const char* const end = text.data() + text.size();
  const auto result = [&](const char* next) { return static_cast<size_t>(next - text.data()); };
  if (kind_ == PreTokenizerKind::kQwen2) return result(Next<PreTokenizerKind::kQwen2>(*classes_, p, end));
  if (kind_ == PreTokenizerKind::kLlama3) return result(Next<PreTokenizerKind::kLlama3>(*classes_, p, end));
  if (kind_ == PreTokenizerKind::kGpt2) return result(Next<PreTokenizerKind::kGpt2>(*classes_, p, end));
  return result(Next<PreTokenizerKind::kDigitsGpt2>(*classes_, p, end));
}

}  // namespace qwen25
