// What the KV blocks of one model look like in memory and on disk.
#pragma once

#include <cstdint>

#include "base/hash.h"
#include "base/status.h"

namespace qwen25 {

// What all blocks of one model with one way of computing keys and values have in common.
struct BlockFormat {
  Hash128 fingerprint;         // of everything that keys and values depend on beside the tokens
  uint32_t num_layers = 0;     // 1 to kMaxBlockLayers
  uint32_t layer_bytes = 0;    // of keys and values of one block in one layer; 1 to kMaxLayerBytes
  uint32_t summary_bytes = 0;  // of the summary of one block in one layer; 0: none are kept

  bool operator==(const BlockFormat&) const = default;
};

// Limits of the format on disk; far above the largest models (126 layers; 1 MiB at 8 KV heads of 128, f32).
inline constexpr uint32_t kMaxBlockLayers = 1024;
inline constexpr uint32_t kMaxLayerBytes = 64u << 20;
inline constexpr uint32_t kMaxSummaryBytes = 1u << 20;

// What is beyond the limits, or nothing.
Status ValidateBlockFormat(const BlockFormat& format);

}  // namespace qwen25
