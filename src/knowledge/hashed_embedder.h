// Embeddings that need no model: hashed words and letter groups under a random projection.
#pragma once

#include "knowledge/embedder.h"

namespace qwen25 {

struct HashedEmbedderOptions {
  uint32_t dimension = 512;
};

// A text's vector is a sum of features: its terms (search_terms.h), with weight TermWeight * (1 + ln count),
// and the groups of 3 to 5 letters in each "<term>", which bring inflections and misspellings close together
// (as in arXiv:1607.04606). A feature adds its weight, with random signs, to eight coordinates drawn from its
// hash; so dot products are kept to about 1/sqrt(dimension) (Achlioptas 2003). TermWeight stands in for a
// corpus' frequencies, so that a vector depends on its text alone.
class HashedEmbedder : public Embedder {
 public:
  explicit HashedEmbedder(const HashedEmbedderOptions& options = {});

  const EmbedderId& id() const override { return id_; }
  bool is_renewed_by_itself() const override { return true; }
  // Its vectors hold the words that BM25 sees, but not how rare they are: they break ties, and find misspelt
  // words where the words themselves find too little. More would sometimes do worse than words alone
  // (docs/benchmarks.md).
  double fusion_weight() const override { return 0.001; }
  Status Embed(EmbedKind kind, std::span<const std::string> texts, std::span<float> out) override;

 private:
  EmbedderId id_;
};

}  // namespace qwen25
