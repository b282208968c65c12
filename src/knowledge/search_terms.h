// Text as the terms that full-text search counts, for every script.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace qwen25 {

struct SearchTerm {
  std::string text;     // never empty, no spaces
  bool prefix = false;  // of a query: every term that begins so

  friend bool operator==(const SearchTerm&, const SearchTerm&) = default;
};

// The terms of `text`, in order. The text is folded (NFKC, lower case), Latin letters lose their accents and
// plurals their ending ("stories" is "story"; Harman 1991, the S stemmer). Words are runs of letters, marks
// and digits, with apostrophes left out, and without the vowel signs of Arabic and the points of Hebrew,
// which a spelling may leave out. Chinese, Japanese and Korean have no reliable spaces: each run gives its
// overlapping pairs of characters and its last one alone, which finds every word of a query whatever its
// neighbours. Thai, Lao, Khmer and Burmese runs are cut by ICU's dictionaries.
//
// Symbols are terms, each of its own: emoji (without skin tone; a flag and a keycap are one), mathematics,
// currencies, arrows, and those of ASCII that are read aloud (#$%&+<=>@^|~; several in a row count once).
std::vector<std::string> TermsOf(std::string_view text);

// The terms that a query looks for: distinct, without the single character after each pair; a lone CJK
// character is a prefix.
std::vector<SearchTerm> QueryTermsOf(std::string_view query);

// How much a term says without knowing any corpus: 0.1 for common words of English and symbols of ASCII, 0.5
// for what is shorter than three bytes, else 1.
float TermWeight(std::string_view term);

// Where in `text` a query's terms are densest: the first byte, at a word, of the stretch of at most
// `max_bytes` with the most different terms; the earliest of equals.
size_t SnippetBegin(std::string_view text, std::string_view query, size_t max_bytes);

// The version of what decides terms beyond this code: an index made by another one is made again.
std::string SearchTermsVersion();

}  // namespace qwen25
