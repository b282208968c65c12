// Batches of text pairs for contrastive training.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "train/batch_source.h"

namespace qwen25 {

// A query, such as a question or title, and its passage, as tokens.
struct TokenPair {
  std::vector<int32_t> query;
  std::vector<int32_t> passage;
};

// Takes one pair of 20 out of `pairs`, the last of each 20 and no more than 1024, to validate on.
std::vector<TokenPair> HoldOutPairs(std::vector<TokenPair>& pairs);

struct PairSourceOptions {
  uint64_t seed = 1;
  size_t max_tokens = 256;  // of one text, at least 1; longer texts are cut
  bool endless = true;      // pass after pass, each shuffled; false: one pass in the given order
};

// Sequences 2 i and 2 i + 1 of a batch are the two texts of a pair; batches have no targets. Next(n) gives as
// many whole pairs as fit into n tokens, but at least two. At the end of a single pass it gives the remaining
// pairs; a single remaining pair is dropped, since contrastive training needs two.
class PairSource : public BatchSource {
 public:
  // kInvalidArgument if there are fewer than two pairs, or a text is empty.
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
