#include "memory/block_format.h"

namespace qwen25 {

Status ValidateBlockFormat(const BlockFormat& format) {
  if (format.num_layers < 1 || format.num_layers > kMaxBlockLayers) {
    return InvalidArgument("a block has {} layers, expected 1 to {}", format.num_layers, kMaxBlockLayers);
  }
  if (format.layer_bytes < 1 || format.layer_bytes > kMaxLayerBytes) {
    return InvalidArgument("a layer of a block has {} bytes, expected 1 to {}", format.layer_bytes,
                           kMaxLayerBytes);
  }
  if (format.summary_bytes > kMaxSummaryBytes) {
    return InvalidArgument("a summary has {} bytes, expected at most {}", format.summary_bytes,
                           kMaxSummaryBytes);
  }
  return {};
}

}  // namespace qwen25
