// Training rows of several corpora in given proportions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/shards/loader.h"

namespace qwen25 {

// One part of a blend.
struct BlendSource {
  std::vector<std::string> prefixes;  // shards, one corpus
  double weight = 1;                  // its share of the rows is weight / sum of weights
};

// Loaders that take turns, batch by batch. Batch i comes from the source that is furthest below its share:
// the one with the greatest weight * (i + 1) / sum - (batches it gave), the first of equals. So after any
// number of batches, each source is less than one batch per other source away from its share. Megatron-LM
// blends in the same way. Each source runs through its own epochs at its own pace.
class BlendedLoader {
 public:
  // kInvalidArgument for no source, a weight that is not a positive number, and as Loader::Open.
  static Result<BlendedLoader> Open(const std::vector<BlendSource>& sources, const LoaderOptions& options);

  // The next batch; valid until the next call. No heap allocation. Errors as Loader::Next.
  Result<LoaderBatch> Next();

  // The places of all sources, and what identifies the blend.
  Json State() const;
  // Continues where State() was taken, bit for bit. kInvalidArgument for a state of another blend: other
  // weights, data, seed or streams; the place is kept then.
  Status SetState(const Json& state);
  void Rewind();

  // Batches that each source has given.
  const std::vector<uint64_t>& counts() const { return counts_; }

 private:
  BlendedLoader() = default;

  std::vector<Loader> loaders_;
  std::vector<double> weights_;  // they add up to 1
  std::vector<uint64_t> counts_;
  uint64_t num_batches_ = 0;  // the sum of counts_
};

}  // namespace qwen25
