// The adapters that a sequence uses, ready for forward passes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "model/adapter/adapter.h"
#include "model/config.h"
#include "ops/low_rank.h"

namespace qwen25 {

// The sum of some adapters, kept apart from the weights. Immutable, so that any number of sequences may share
// it; products are in float32 whatever the format of the weights. Takes about as much memory as the adapters
// in float32, and more for ranks that are not multiples of 32.
class AdapterSet {
 public:
  // Of one layer, by the fused matrix of DecoderLayer that is changed.
  struct Layer {
    LowRankUpdate qkv_proj, o_proj, gate_up_proj, down_proj;
  };

  // Changes nothing: for sequences without adapters beside an engine that has some.
  AdapterSet() = default;
  // Errors of CheckAdapterFits. No adapters give the empty set.
  static Result<std::shared_ptr<const AdapterSet>> Make(const ModelConfig& config,
                                                        std::span<const Adapter> adapters,
                                                        ThreadPool& threads);

  bool empty() const { return layers_.empty(); }
  const LowRankEmbedding& embed_tokens() const { return embed_tokens_; }
  const std::vector<Layer>& layers() const { return layers_; }  // [layers]
  const LowRankUpdate& lm_head() const { return lm_head_; }
  // HashAdapters; zeros if empty.
  const Hash128& hash() const { return hash_; }

  // kInvalidArgument if the set was made for a model of another shape.
  Status CheckFits(const ModelConfig& config) const;

 private:
  ModelConfig config_;  // of the model that it was made for
  LowRankEmbedding embed_tokens_;
  std::vector<Layer> layers_;
  LowRankUpdate lm_head_;
  Hash128 hash_;
};

// The hash of a set that may be null.
inline Hash128 HashOf(const AdapterSet* adapters) {
  return adapters == nullptr ? Hash128() : adapters->hash();
}

// The rows of a batch that use one set.
struct AdapterRows {
  const AdapterSet* adapters;
  std::span<const int32_t> rows;  // ascending
};

}  // namespace qwen25
