#include "text/text_normalizer.h"

#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>

#include "text/normalizer.h"
#include "text/unicode_class.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

using Kind = NormalizerStep::Kind;

// Lowercase letters of Unicode 16 and 17, which ICU 72 does not know: code point and distance.
struct NewCase {
  char32_t first, last;
  int32_t distance;
};
constexpr NewCase kNewCases[] = {{0x1C89, 0x1C89, 1},      {0xA7CB, 0xA7CB, 0x264 - 0xA7CB},
                                 {0xA7CC, 0xA7CC, 1},      {0xA7CE, 0xA7CE, 1},
                                 {0xA7D2, 0xA7D2, 1},      {0xA7D4, 0xA7D4, 1},
                                 {0xA7DA, 0xA7DA, 1},      {0xA7DC, 0xA7DC, 0x19B - 0xA7DC},
                                 {0x10D50, 0x10D65, 0x20}, {0x16EA0, 0x16EB8, 0x1B}};

// Each code point by itself, without regard to what is around it: a final sigma is an ordinary one.
void AppendLowercase(char32_t c, std::string& out) {
  if (c < 0x80) return out.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : static_cast<char>(c));
  for (const NewCase& letters : kNewCases) {
    if (c >= letters.first && c <= letters.last) {
      return AppendUtf8(static_cast<char32_t>(static_cast<int32_t>(c) + letters.distance), out);
    }
  }
  if (c == 0x130) {  // the only letter whose lowercase has two
    out += "i\u0307";
    return;
  }
  AppendUtf8(static_cast<char32_t>(u_tolower(static_cast<UChar32>(c))), out);
}

template <typename Visit>
void ForEachCodePoint(std::string_view text, Visit&& visit) {
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    const DecodedCodePoint c = DecodeCodePoint(p, end);
    visit(c.code_point, std::string_view(p, c.bytes));
    p += c.bytes;
  }
}

std::string_view Stripped(std::string_view text, bool left, bool right) {
  const UnicodeClassTable& classes = UnicodeClassTable::Get();
  size_t begin = 0, end = 0;
  bool seen = false;
  size_t at = 0;
  ForEachCodePoint(text, [&](char32_t c, std::string_view bytes) {
    const bool space = classes[c] & kClassSpace;
    if (!space && !seen) begin = at;
    seen |= !space;
    at += bytes.size();
    if (!space) end = at;
  });
  if (!seen) return text.substr(0, left || right ? 0 : text.size());
  return text.substr(left ? begin : 0, (right ? end : text.size()) - (left ? begin : 0));
}

}  // namespace

void AppendReplaced(std::string_view text, const TextPattern& pattern, const Regex* regex,
                    std::string_view content, std::string& out) {
  size_t done = 0;
  const auto replace = [&](size_t begin, size_t end) {
    out += text.substr(done, begin - done);
    out += content;
    done = end;
  };
  if (regex != nullptr) {
    Regex::Scratch scratch;
    regex->ForEachMatch(text, scratch, replace);
  } else {
    for (size_t at; (at = text.find(pattern.text, done)) != std::string_view::npos;) {
      replace(at, at + pattern.text.size());
    }
  }
  out += text.substr(done);
}

Result<TextNormalizer> TextNormalizer::Create(std::span<const NormalizerStep> steps,
                                              std::string_view origin) {
  TextNormalizer normalizer;
  for (const NormalizerStep& step : steps) {
    Step compiled = {step, {}, {}};
    if (step.kind == Kind::kReplace && step.pattern.text.empty()) {
      return Unsupported("{}: normalizer Replace has an empty pattern", origin);
    }
    if (step.kind == Kind::kReplace && step.pattern.is_regex) {
      QWEN25_TRY(compiled.regex, Regex::Compile(step.pattern.text, origin));
    }
    if (step.kind == Kind::kStripAccents) compiled.set.emplace(AccentSet());
    normalizer.steps_.push_back(std::move(compiled));
  }
  return normalizer;
}

bool TextNormalizer::ApplyStep(const Step& compiled, std::string_view text, std::string& out) {
  const NormalizerStep& step = compiled.step;
  out.clear();
  switch (step.kind) {
    case Kind::kNfc:
      if (!NeedsNfc(text)) return false;
      NormalizeNfc(text, out);
      return true;
    case Kind::kNfd:
      return Normalize(NormalizationForm::kNfd, text, out), true;
    case Kind::kNfkc:
      return Normalize(NormalizationForm::kNfkc, text, out), true;
    case Kind::kNfkd:
      return Normalize(NormalizationForm::kNfkd, text, out), true;
    case Kind::kLowercase:
      ForEachCodePoint(text, [&](char32_t c, std::string_view) { AppendLowercase(c, out); });
      return true;
    case Kind::kStripAccents:
      ForEachCodePoint(text, [&](char32_t c, std::string_view bytes) {
        if (!compiled.set->Contains(c)) out += bytes;
      });
      return true;
    case Kind::kStrip:
      out = Stripped(text, step.left, step.right);
      return true;
    case Kind::kPrepend:
      if (text.empty()) return false;
      out = step.content;
      out += text;
      return true;
    case Kind::kReplace:
      AppendReplaced(text, step.pattern, compiled.regex ? &*compiled.regex : nullptr, step.content, out);
      return true;
  }
  return false;
}

std::string_view TextNormalizer::Apply(std::string_view text, std::string& out) const {
  std::string other;
  for (const Step& step : steps_) {
    if (!ApplyStep(step, text, other)) continue;
    out.swap(other);
    text = out;
  }
  return text;
}

}  // namespace qwen25
