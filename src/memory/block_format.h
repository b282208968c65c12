// What the KV blocks of one model look like in memory and on disk.
#pragma once

#include <cstdint>

#include "base/hash.h"
#include "base/status.h"

namespace qwen25 {

// What all blocks of one model share, as long as keys and values are computed in the same way.
struct BlockFormat {
  Hash128 fingerprint;         // of everything besides the tokens that keys and values depend on
  uint32_t num_layers = 0;     // 1 to kMaxBlockLayers
  uint32_t layer_bytes = 0;    // of keys and values of one block in one layer; 1 to kMaxLayerBytes
  uint32_t summary_bytes = 0;  // of the summary of one block in one layer; 0: none are kept

  bool operator==(const BlockFormat&) const = default;
};

// Limits of the format on disk, far above the largest models (126 layers; 512 KiB at 8 KV heads of 128, f32).
inline constexpr uint32_t kMaxBlockLayers = 1024;
inline constexpr uint32_t kMaxLayerBytes = 64u << 20;
inline constexpr uint32_t kMaxSummaryBytes = 1u << 20;

// kInvalidArgument, with the size and its limit, if a size is out of range.
Status ValidateBlockFormat(const BlockFormat& format);

}  // namespace qwen25
