#include "memory/block_summaries.h"

#include "base/check.h"
#include "ops/attention/stored_summary.h"

namespace qwen25 {

BlockFormat StoredBlockFormat(const Hash128& fingerprint, const AttentionShape& shape, size_t num_layers) {
  return {.fingerprint = fingerprint,
          .num_layers = static_cast<uint32_t>(num_layers),
          .layer_bytes = static_cast<uint32_t>(shape.BytesPerBlock()),
          .summary_bytes = static_cast<uint32_t>(SummaryBytes(shape))};
}

void SummarizeLayers(ThreadPool& threads, const AttentionShape& shape,
                     std::span<const std::byte* const> layers, std::span<std::byte> summaries) {
  const size_t bytes = SummaryBytes(shape);
  QWEN25_CHECK(summaries.size() == layers.size() * bytes);
  threads.ParallelFor(layers.size(), [&](size_t i, size_t) {
    SummarizeStoredBlock(shape, layers[i], summaries.subspan(i * bytes, bytes));
  });
}

}  // namespace qwen25
