// Makes pairs for contrastive training from plain text.
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
  double keep_share = 0.1;  // of passages that keep the sentence: equal words must count, too
  uint64_t seed = 1;
};

// The inverse cloze task (arXiv:1906.00300): a random sentence of each passage becomes the query, and is cut
// out of the passage, except in a share `keep_share` of them. A passage gives no pair if no sentence has a
// fitting length, or too little is left without it. The pairs depend on the text and the options alone.
std::vector<TextPair> MakePairs(std::string_view text, const PairMakerOptions& options);

}  // namespace qwen25
