#include "knowledge/note_continuity.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "knowledge/search_terms.h"

namespace qwen25 {
namespace {

constexpr double kDeviations = 4;

using TermSet = std::unordered_set<std::string>;

TermSet TermsThatTell(const std::string& text) {
  TermSet terms;
  for (std::string& term : TermsOf(text)) {
    if (TermWeight(term) == 1) terms.insert(std::move(term));
  }
  return terms;
}

// The terms of `a` that `b` holds, and `without` does not.
size_t NumShared(const TermSet& a, const TermSet& b, const TermSet& without) {
  return static_cast<size_t>(std::ranges::count_if(
      a, [&](const std::string& term) { return b.contains(term) && !without.contains(term); }));
}

}  // namespace

bool IsContinuous(std::span<const NotesInARow> samples) {
  double near = 0, far = 0;  // comparisons that the near and the far note have won
  const auto compare = [&](const TermSet& outer, const TermSet& beside, const TermSet& other_end) {
    const size_t with_near = NumShared(outer, beside, other_end);
    const size_t with_far = NumShared(outer, other_end, beside);
    near += with_near > with_far ? 1 : 0;
    far += with_far > with_near ? 1 : 0;
  };
  for (const NotesInARow& row : samples) {
    const std::array<TermSet, 4> terms = {TermsThatTell(row[0]), TermsThatTell(row[1]), TermsThatTell(row[2]),
                                          TermsThatTell(row[3])};
    compare(terms[0], terms[1], terms[3]);
    compare(terms[3], terms[2], terms[0]);
  }
  return near - far >= kDeviations * std::sqrt(near + far) && near > 0;
}

}  // namespace qwen25
