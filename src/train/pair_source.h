// Pairs of texts as batches for contrastive training.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "train/batch_source.h"

namespace qwen25 {

// A question or title and the text that it belongs to, as tokens.
struct TokenPair {
  std::vector<int32_t> query;
  std::vector<int32_t> passage;
};

struct PairSourceOptions {
  uint64_t seed = 1;
  size_t max_tokens = 256;  // of one text; the rest of a longer one is left out
  bool endless = true;      // pass after pass, each in an order of its own; else one pass in the given order
};

// Batches whose sequences 2 i and 2 i + 1 are the two texts of a pair; they have no targets. Next(n) gives as
// many whole pairs as n tokens hold, but two at least; at the end of a single pass what is left, unless that
// is one pair, which would have nothing to be told apart from.
class PairSource : public BatchSource {
 public:
  // kInvalidArgument names what is wrong: fewer than two pairs, or one with an empty text.
  static Result<std::unique_ptr<PairSource>> Make(std::vector<TokenPair> pairs,
                                                  const PairSourceOptions& options);

  Status Next(size_t num_tokens, PackedBatch& batch) override;
  void Rewind() override { next_ = 0; }
  Json State() const override;
  Status Restore(const Json& state) override;

 private:
  PairSource(std::vector<TokenPair> pairs, const PairSourceOptions& options);

  const TokenPair& PairAt(uint64_t index) const;

  const std::vector<TokenPair> pairs_;
  const PairSourceOptions options_;
  uint64_t hash_ = 0;  // of all pairs
  uint64_t next_ = 0;  // counted over all passes
};

}  // namespace qwen25
