// Summaries of blocks, which are stored beside keys and values so that a block can be scored without reading
// them.
#pragma once

#include <cstddef>
#include <span>

#include "base/hash.h"
#include "base/thread_pool.h"
#include "memory/block_format.h"
#include "ops/attention/sequence_kv.h"

namespace qwen25 {

// The format of blocks of `shape` in a model of `num_layers` layers.
BlockFormat StoredBlockFormat(const Hash128& fingerprint, const AttentionShape& shape, size_t num_layers);

// Summarises the layers of full blocks: from `layers` ([blocks * num_layers] addresses of layer_bytes bytes)
// to `summaries` [blocks, num_layers, summary_bytes], as NewBlock takes them.
void SummarizeLayers(ThreadPool& threads, const AttentionShape& shape,
                     std::span<const std::byte* const> layers, std::span<std::byte> summaries);

}  // namespace qwen25
