// Pairs for contrastive training out of plain text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qwen25 {

// A question, or what stands for one, and the passage that answers it.
struct TextPair {
  std::string query;
  std::string passage;
};

struct PairMakerOptions {
  size_t passage_tokens = 120;  // by EstimateTokens
  size_t min_query_tokens = 6;
  size_t max_query_tokens = 48;
  double keep_share = 0.1;  // of passages that keep the sentence: words that agree must count, too
  uint64_t seed = 1;
};

// The inverse cloze task (arXiv:1906.00300): of each passage one sentence, drawn at random, becomes the
// query, and is left out of the passage but for `keep_share` of them. Passages without a sentence of fit
// length, or with nothing left, give no pair. Depends on the text and the options alone.
std::vector<TextPair> MakePairs(std::string_view text, const PairMakerOptions& options);

}  // namespace qwen25
