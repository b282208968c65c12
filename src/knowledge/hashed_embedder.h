// Embeddings that need no model: hashed words and letter groups under a random projection.
#pragma once

#include "knowledge/embedder.h"

namespace qwen25 {

struct HashedEmbedderOptions {
  uint32_t dimension = 512;
};

// A text's vector is the sum over its terms (search_terms.h) of (1 + ln count) * weight * projection(hash):
// every term itself, and the groups of 3 to 5 letters of "<term>", which make inflections and misspellings
// neighbours (as in arXiv:1607.04606). The projection of a feature is eight of the `dimension` coordinates
// with random signs, drawn from its hash: dot products of sums are kept up to 1/sqrt(dimension)
// (Achlioptas 2003). Common words of English weigh a tenth and short terms less, in place of a corpus'
// frequencies: a vector depends on its text alone.
class HashedEmbedder : public Embedder {
 public:
  explicit HashedEmbedder(const HashedEmbedderOptions& options = {});

  const EmbedderId& id() const override { return id_; }
  bool is_renewed_by_itself() const override { return true; }
  // Its vectors see the words that BM25 sees, and not how rare they are: they break ties, and find what is
  // inflected or misspelt. 0.25 was the best of 0, 0.1, 0.25, 0.5, 0.75 and 1 over books and dialogues
  // together (docs/benchmarks.md).
  double fusion_weight() const override { return 0.25; }
  Status Embed(EmbedKind kind, std::span<const std::string> texts, std::span<float> out) override;

 private:
  EmbedderId id_;
};

}  // namespace qwen25
