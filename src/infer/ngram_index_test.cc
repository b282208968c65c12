#include "infer/ngram_index.h"

#include <rapidcheck.h>

#include <algorithm>

#include "base/test_util.h"

namespace qwen25 {
namespace {

NgramIndex::Match BruteForce(std::span<const int32_t> tokens, size_t max_length) {
  NgramIndex::Match best;
  for (size_t end = 1; end < tokens.size(); ++end) {
    size_t length = 0;
    while (length < std::min(max_length, end) &&
           tokens[end - 1 - length] == tokens[tokens.size() - 1 - length]) {
      ++length;
    }
    if (length > 0 && length >= best.length) best = {length, end};
  }
  return best;
}

// Texts that grow, shrink and are replaced, beyond the reserved length. They use few tokens, so that runs
// recur.
TEST(NgramIndexTest, FindsTheLatestOfTheLongestMatches) {
  EXPECT_TRUE(rc::check("as a search through the text does", [] {
    const auto alphabet = *rc::gen::element(2, 5, 40);
    const auto max_length = *rc::gen::inRange<size_t>(1, 9);
    NgramIndex index(max_length, 1);
    std::vector<int32_t> text;
    for (int step = 0; step < 30; ++step) {
      if (*rc::gen::inRange(0, 10) == 0) text.resize(*rc::gen::inRange<size_t>(0, text.size() + 1));
      const auto more = *rc::gen::container<std::vector<int32_t>>(rc::gen::inRange(-1, alphabet));
      text.insert(text.end(), more.begin(), more.end());
      index.Hold(text);
      const NgramIndex::Match found = index.LongestMatch(), expected = BruteForce(text, max_length);
      RC_ASSERT(found.length == expected.length);
      RC_ASSERT(found.end == expected.end);
    }
  }));
}

}  // namespace
}  // namespace qwen25
