// Cuts text, in every script, into the terms of full-text search.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace qwen25 {

struct SearchTerm {
  std::string text;     // never empty, no spaces
  bool prefix = false;  // in a query: matches all terms that begin with `text`

  friend bool operator==(const SearchTerm&, const SearchTerm&) = default;
};

// The terms of `text`, in order. The text is folded (NFKC, lower case); Latin and Greek letters lose their
// accents, and plurals their ending ("stories" becomes "story"; the S stemmer of Harman 1991). Words are runs
// of letters, marks and digits.
// Apostrophes, Arabic vowel signs and Hebrew points are dropped, since a spelling may omit them. Chinese,
// Japanese and Korean have no reliable spaces: each run gives its overlapping pairs of characters and its
// last character, so that a query finds a word whatever stands beside it. ICU's dictionaries cut runs of
// Thai, Lao, Khmer and Burmese.
//
// Each symbol is a term of its own: emoji (without skin tone; a flag or a keycap is one), mathematics,
// currencies, arrows, and the ASCII symbols #$%&+<=>@^|~ (a run of the same one counts once). So are two
// colons, slashes or backslashes side by side ("std::vector"), and numbers in circles.
std::vector<std::string> TermsOf(std::string_view text);

// The distinct terms that a query looks for. CJK runs give their pairs without the last character alone; a
// run of one character is a prefix.
std::vector<SearchTerm> QueryTermsOf(std::string_view query);

// The terms under which a full-text index finds `text`: TermsOf, and behind every English word that is not
// common its stem, with a mark before it ("went" gives "went" and "~go"; english_stem.h).
std::vector<std::string> IndexTermsOf(std::string_view text);

struct WeightedTerm {
  SearchTerm term;
  float weight = 1;
};
// The distinct terms that a query looks for in such an index. Of a word that has a stem, 0.6 of its weight
// is its own and 0.4 its stem's, so that other forms are found and the same form counts more; other terms
// weigh TermWeight, but at least 0.3.
std::vector<WeightedTerm> IndexQueryOf(std::string_view query);

// The weight of a term, without the statistics of a corpus: 0.1 for common English words, which questions
// consist of, and for ASCII symbols, 0.5 for other terms of less than three bytes, else 1.
float TermWeight(std::string_view term);

// Where to begin a snippet of `text`: the first byte, at white space if there is some near, of the stretch of
// at most `max_bytes` that holds the most different terms of the query; the earliest of equals.
size_t SnippetBegin(std::string_view text, std::string_view query, size_t max_bytes);

// The version of the rules and of ICU, which decide the terms: an index of another version is rebuilt.
std::string SearchTermsVersion();

}  // namespace qwen25
