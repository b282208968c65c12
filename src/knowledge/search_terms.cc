#include "knowledge/search_terms.h"

#include <unicode/brkiter.h>
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>
#include <unicode/uchar.h>
#include <unicode/uscript.h>
#include <unicode/uversion.h>

#include <algorithm>
#include <array>
#include <memory>

#include "base/check.h"
#include "knowledge/english_stem.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

// To be raised when this code gives other terms for the same text.
constexpr const char* kRules = "3";

// As TermsOf gives them: lower case, stemmed. Sorted.
constexpr std::array kCommonWords = std::to_array<std::string_view>(
    {"a",    "about", "after", "all",  "also",  "am",    "an",   "and",   "any",  "are",   "as",    "at",
     "be",   "been",  "but",   "by",   "can",   "could", "did",  "do",    "doe",  "for",   "from",  "had",
     "has",  "have",  "he",    "her",  "him",   "his",   "how",  "i",     "if",   "in",    "into",  "is",
     "it",   "its",   "just",  "me",   "my",    "no",    "not",  "of",    "on",   "one",   "or",    "our",
     "out",  "she",   "so",    "some", "than",  "that",  "the",  "their", "them", "then",  "there", "these",
     "they", "this",  "to",    "up",   "was",   "we",    "were", "what",  "when", "where", "which", "who",
     "whom", "why",   "will",  "with", "would", "you",   "your"});

// Begins the stems in an index, so that no word is taken for one. No word holds it.
constexpr char kStemMark = '~';
// What a word's stem weighs of the word: a note with the very word is better than one with another form.
constexpr float kStemShare = 0.4f;
// The least weight of a word in an index, which knows itself how rare a word is.
constexpr float kLeastWeight = 0.3f;

// ASCII characters that are read aloud; the other signs are punctuation.
constexpr std::string_view kAsciiSymbols = "#$%&+<=>@^|~";
// Punctuation that is an operator or the beginning of something when it is doubled.
constexpr std::string_view kDoubledSigns = ":/\\";
// Signs that Unicode calls punctuation, but people search for: section, paragraph, daggers, per mille,
// reference mark.
constexpr std::u32string_view kPunctuationSymbols = U"\u00A7\u00B6\u2020\u2021\u2030\u203B";
constexpr char32_t kKeycap = 0x20E3;         // makes a keycap of the digit before it
constexpr char32_t kFractionSlash = 0x2044;  // in the NFKC form of one half and its like

enum class Kind { kNone, kWord, kPairs, kDictionary, kSymbol };

// Symbols of all kinds, emoji that this ICU does not know yet, and icons of private fonts.
bool IsSymbol(char32_t c) {
  if (c < 0x80) return kAsciiSymbols.find(static_cast<char>(c)) != std::string_view::npos;
  if (c == kFractionSlash) return false;
  const auto code = static_cast<UChar32>(c);
  return (U_GET_GC_MASK(code) & (U_GC_S_MASK | U_GC_CO_MASK)) != 0 ||
         u_hasBinaryProperty(code, UCHAR_EXTENDED_PICTOGRAPHIC) != 0 ||
         kPunctuationSymbols.find(c) != std::u32string_view::npos;
}

bool IsFlagLetter(char32_t c) {
  return c >= 0x1F1E6 && c <= 0x1F1FF;
}
bool IsSkinTone(char32_t c) {
  return c >= 0x1F3FB && c <= 0x1F3FF;
}
bool TakesKeycap(char32_t c) {
  return (c >= '0' && c <= '9') || c == '#' || c == '*';
}

// Signs that a spelling may omit: vowels and the lengthening stroke of Arabic, points of Hebrew.
bool IsOptionalMark(char32_t c) {
  if (c == 0x640) return true;
  return ((c >= 0x610 && c <= 0x6FF) || (c >= 0x591 && c <= 0x5C7)) &&
         u_charType(static_cast<UChar32>(c)) == U_NON_SPACING_MARK;
}

Kind KindOf(char32_t c) {
  if (c < 0x80 && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) return Kind::kWord;
  if (IsSymbol(c)) return Kind::kSymbol;
  if (c < 0x80) return Kind::kNone;
  const auto code = static_cast<UChar32>(c);
  const uint32_t category = U_GET_GC_MASK(code);
  if ((category & (U_GC_L_MASK | U_GC_M_MASK | U_GC_N_MASK)) == 0) return Kind::kNone;
  UErrorCode error = U_ZERO_ERROR;
  switch (uscript_getScript(code, &error)) {
    case USCRIPT_HAN:
    case USCRIPT_HIRAGANA:
    case USCRIPT_KATAKANA:
    case USCRIPT_HANGUL:
    case USCRIPT_BOPOMOFO:
      return Kind::kPairs;
    case USCRIPT_THAI:
    case USCRIPT_LAO:
    case USCRIPT_KHMER:
    case USCRIPT_MYANMAR:
      return Kind::kDictionary;
    default:
      return c == 0x30FC ? Kind::kPairs : Kind::kWord;  // the long vowel mark of Katakana
  }
}

// Numbers in circles, brackets or with a full stop, in text that NFKC has not made digits yet.
bool IsEnclosedNumber(char32_t c) {
  return (c >= 0x2460 && c <= 0x249B) || (c >= 0x24EA && c <= 0x24FF) || (c >= 0x2776 && c <= 0x2793) ||
         (c >= 0x3251 && c <= 0x325F) || (c >= 0x32B1 && c <= 0x32BF);
}

// `text` with spaces around enclosed numbers, since their digits would run together.
std::string WithNumbersApart(const std::string& text) {
  std::string apart;
  const char* end = text.data() + text.size();
  DecodedCodePoint next = {};
  for (const char* p = text.data(); p < end; p += next.bytes) {
    next = DecodeCodePoint(p, end);
    const bool is_enclosed = IsEnclosedNumber(next.code_point);
    if (is_enclosed) apart += ' ';
    apart.append(p, next.bytes);
    if (is_enclosed) apart += ' ';
  }
  return apart;
}

std::string Fold(std::string_view text) {
  if (std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; })) {
    std::string folded(text);
    for (char& c : folded) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    return folded;
  }
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* fold = icu::Normalizer2::getNFKCCasefoldInstance(error);
  QWEN25_CHECK(U_SUCCESS(error));
  std::string folded;
  icu::StringByteSink<std::string> sink(&folded);
  const std::string repaired = WithNumbersApart(RepairUtf8(text));
  fold->normalizeUTF8(0, icu::StringPiece(repaired.data(), static_cast<int32_t>(repaired.size())), sink,
                      nullptr, error);
  QWEN25_CHECK(U_SUCCESS(error));
  return folded;
}

// A Latin or Greek letter without its accent, which capitals and hasty spelling omit; any other character as
// it is.
char32_t WithoutAccent(char32_t c) {
  const bool is_latin = (c >= 0xC0 && c <= 0x24F) || (c >= 0x1E00 && c <= 0x1EFF);
  const bool is_greek = (c >= 0x370 && c <= 0x3FF) || (c >= 0x1F00 && c <= 0x1FFF);
  if (!is_latin && !is_greek) return c;
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* nfd = icu::Normalizer2::getNFDInstance(error);
  icu::UnicodeString decomposition;
  if (U_FAILURE(error) || !nfd->getDecomposition(static_cast<UChar32>(c), decomposition)) return c;
  return static_cast<char32_t>(decomposition.char32At(0));
}

bool EndsWith(const std::string& word, std::string_view end) {
  return word.size() > end.size() && word.compare(word.size() - end.size(), end.size(), end) == 0;
}

// Harman's S stemmer.
void Stem(std::string& word) {
  if (word.size() < 4 || word.back() != 's') return;
  if (EndsWith(word, "ies") && !EndsWith(word, "eies") && !EndsWith(word, "aies")) {
    word.replace(word.size() - 3, 3, "y");
  } else if (EndsWith(word, "es") && !EndsWith(word, "aes") && !EndsWith(word, "ees") &&
             !EndsWith(word, "oes")) {
    word.pop_back();
  } else if (!EndsWith(word, "us") && !EndsWith(word, "ss")) {
    word.pop_back();
  }
}

// One dictionary run, cut into words.
void AddDictionaryWords(const std::string& run, std::vector<std::string>& terms) {
  thread_local std::unique_ptr<icu::BreakIterator> words = [] {
    UErrorCode error = U_ZERO_ERROR;
    std::unique_ptr<icu::BreakIterator> made(
        icu::BreakIterator::createWordInstance(icu::Locale::getRoot(), error));
    return U_SUCCESS(error) ? std::move(made) : nullptr;
  }();
  const icu::UnicodeString text = icu::UnicodeString::fromUTF8(run);
  if (words == nullptr) {  // an ICU without break data: the run as a whole is better than nothing
    terms.push_back(run);
    return;
  }
  words->setText(text);
  for (int32_t begin = words->first(), end = words->next(); end != icu::BreakIterator::DONE;
       begin = end, end = words->next()) {
    std::string word;
    text.tempSubStringBetween(begin, end).toUTF8String(word);
    if (!word.empty()) terms.push_back(std::move(word));
  }
}

// Appends a run's pairs; also its last character if `single`, or if it is the only one.
void AddPairs(const std::string& run, std::vector<std::string>& terms, bool single) {
  std::vector<size_t> starts;
  for (size_t i = 0; i < run.size(); i += DecodeCodePoint(run.data() + i, run.data() + run.size()).bytes) {
    starts.push_back(i);
  }
  starts.push_back(run.size());
  for (size_t i = 0; i + 2 < starts.size(); ++i)
    terms.push_back(run.substr(starts[i], starts[i + 2] - starts[i]));
  if (single || starts.size() == 2) terms.push_back(run.substr(starts[starts.size() - 2]));
}

// Cuts folded text into runs of one kind, and passes each on. A symbol is a run of its own.
template <typename Visit>
class RunCutter {
 public:
  explicit RunCutter(Visit visit) : visit_(std::move(visit)) {}

  void Cut(const std::string& folded) {
    const char* end = folded.data() + folded.size();
    DecodedCodePoint next = {};
    for (const char* p = folded.data(); p < end; p += next.bytes) {
      next = DecodeCodePoint(p, end);
      const char* after = p + next.bytes;
      const char32_t following = after < end ? DecodeCodePoint(after, end).code_point : 0;
      Take(next.code_point, following);
      before_ = next.code_point;
    }
    Flush();
  }

 private:
  void Take(char32_t c, char32_t following) {
    if (c == kKeycap && TakesKeycap(before_) && kind_ == Kind::kSymbol) return AppendUtf8(c, run_);
    if (following == kKeycap && TakesKeycap(c)) return Start(Kind::kSymbol, c);
    if (kind_ == Kind::kWord && !run_.empty()) {
      if (c == '\'' || c == 0x2019) return;  // don't -> dont
      if (c >= 0x300 && c <= 0x36F) return;  // an accent that NFKC could not compose with its letter
    }
    if (IsOptionalMark(c)) return;
    const Kind kind = KindOf(c);
    if (kind == Kind::kSymbol) return TakeSymbol(c);
    if (c == before_ && c < 0x80 && kDoubledSigns.find(static_cast<char>(c)) != std::string_view::npos) {
      return TakeDoubled(c);
    }
    const uint32_t category = U_GET_GC_MASK(static_cast<UChar32>(c));
    // A mark without a base character, e.g. what remains of a symbol.
    if (run_.empty() || kind_ == Kind::kSymbol) {
      if ((category & (U_GC_MN_MASK | U_GC_ME_MASK)) != 0) return;
    }
    if (kind != kind_) Flush();
    kind_ = kind;
    if (kind != Kind::kNone) AppendUtf8(kind == Kind::kWord ? WithoutAccent(c) : c, run_);
  }

  void TakeSymbol(char32_t c) {
    if (IsSkinTone(c) && kind_ == Kind::kSymbol && !run_.empty()) return;
    if (c < 0x80 && c == before_) return;  // "=====" underlines
    if (IsFlagLetter(c) && half_flag_) {
      AppendUtf8(c, run_);
      half_flag_ = false;
      return;
    }
    Start(Kind::kSymbol, c);
    half_flag_ = IsFlagLetter(c);
  }

  void TakeDoubled(char32_t c) {
    const std::string sign(2, static_cast<char>(c));
    if (kind_ == Kind::kSymbol && run_ == sign) return;  // "////" is a rule
    Start(Kind::kSymbol, c);
    run_ = sign;
  }

  void Start(Kind kind, char32_t c) {
    Flush();
    kind_ = kind;
    AppendUtf8(c, run_);
  }

  void Flush() {
    if (!run_.empty()) visit_(kind_, run_);
    run_.clear();
    half_flag_ = false;
  }

  Visit visit_;
  std::string run_;
  Kind kind_ = Kind::kNone;
  char32_t before_ = 0;     // the character before this one
  bool half_flag_ = false;  // the run is the first letter of a flag
};

// Calls visit(kind, run) for every run of one kind.
template <typename Visit>
void ForRuns(const std::string& folded, Visit visit) {
  RunCutter<Visit>(std::move(visit)).Cut(folded);
}

// Appends the terms of one run. `single`: as for AddPairs.
void AddTerms(Kind kind, std::string& run, bool single, std::vector<std::string>& terms) {
  switch (kind) {
    case Kind::kPairs:
      return AddPairs(run, terms, single);
    case Kind::kDictionary:
      return AddDictionaryWords(run, terms);
    case Kind::kSymbol:
      terms.push_back(run);
      return;
    default:
      Stem(run);
      terms.push_back(run);
  }
}

// What a query looks for because of one run.
std::vector<SearchTerm> QueryTermsOfRun(Kind kind, std::string& run) {
  const auto first = DecodeCodePoint(run.data(), run.data() + run.size());
  const bool prefix = kind == Kind::kPairs && first.bytes == run.size();
  std::vector<std::string> terms;
  AddTerms(kind, run, /*single=*/false, terms);
  std::vector<SearchTerm> wanted;
  for (std::string& term : terms) wanted.push_back({std::move(term), prefix});
  return wanted;
}

// The term that stands for all inflections of a word; empty if that is the word alone: common and short
// words, and what is not English.
std::string StemTerm(const std::string& word) {
  if (word.size() < 2 || std::ranges::binary_search(kCommonWords, word)) return {};
  if (!std::ranges::all_of(word, [](char c) { return c >= 'a' && c <= 'z'; })) return {};
  std::string stem = word;
  StemEnglish(stem);
  return kStemMark + stem;
}

}  // namespace

std::vector<std::string> TermsOf(std::string_view text) {
  std::vector<std::string> terms;
  ForRuns(Fold(text), [&](Kind kind, std::string& run) { AddTerms(kind, run, /*single=*/true, terms); });
  return terms;
}

std::vector<SearchTerm> QueryTermsOf(std::string_view query) {
  std::vector<SearchTerm> found;
  ForRuns(Fold(query), [&](Kind kind, std::string& run) {
    for (SearchTerm& wanted : QueryTermsOfRun(kind, run)) {
      if (std::ranges::find(found, wanted) == found.end()) found.push_back(std::move(wanted));
    }
  });
  return found;
}

std::vector<std::string> IndexTermsOf(std::string_view text) {
  std::vector<std::string> terms;
  ForRuns(Fold(text), [&](Kind kind, std::string& run) {
    std::string stem = kind == Kind::kWord ? StemTerm(run) : "";
    AddTerms(kind, run, /*single=*/true, terms);
    if (!stem.empty()) terms.push_back(std::move(stem));
  });
  return terms;
}

std::vector<WeightedTerm> IndexQueryOf(std::string_view query) {
  std::vector<WeightedTerm> wanted;
  const auto add = [&](SearchTerm term, float weight) {
    if (std::ranges::find(wanted, term, &WeightedTerm::term) == wanted.end()) {
      wanted.push_back({std::move(term), weight});
    }
  };
  ForRuns(Fold(query), [&](Kind kind, std::string& run) {
    std::string stem = kind == Kind::kWord ? StemTerm(run) : "";
    for (SearchTerm& term : QueryTermsOfRun(kind, run)) {
      const float weight = std::max(TermWeight(term.text), kLeastWeight);
      add(std::move(term), stem.empty() ? weight : weight * (1 - kStemShare));
    }
    if (!stem.empty()) add({std::move(stem), false}, kStemShare);
  });
  return wanted;
}

float TermWeight(std::string_view term) {
  if (std::ranges::binary_search(kCommonWords, term)) return 0.1f;
  if (term.size() == 1 && IsSymbol(static_cast<unsigned char>(term[0]))) return 0.1f;
  return term.size() < 3 ? 0.5f : 1.0f;
}

size_t SnippetBegin(std::string_view text, std::string_view query, size_t max_bytes) {
  const std::vector<SearchTerm> wanted = QueryTermsOf(query);
  if (text.size() <= max_bytes || wanted.empty()) return 0;
  // Steps are so short that a term just after the end of one stretch lies inside the next.
  const size_t step = std::max<size_t>(1, max_bytes / 8);
  size_t best = 0, best_count = 0;
  for (size_t next = 0, begin = 0; next + max_bytes / 2 < text.size(); next += step) {
    begin = next == 0 ? 0 : text.find_first_of(" \n", next);
    if (begin == std::string_view::npos || begin >= next + step) begin = next;  // a script without spaces
    while (begin < text.size() && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) ++begin;
    const std::vector<std::string> terms = TermsOf(text.substr(begin, max_bytes));
    const auto count = static_cast<size_t>(std::ranges::count_if(wanted, [&](const SearchTerm& term) {
      return std::ranges::any_of(terms, [&](const std::string& found) {
        return term.prefix ? found.starts_with(term.text) : found == term.text;
      });
    }));
    if (count > best_count) best = begin, best_count = count;
  }
  return best;
}

std::string SearchTermsVersion() {
  return std::string(kRules) + " icu " + U_ICU_VERSION;
}

}  // namespace qwen25
