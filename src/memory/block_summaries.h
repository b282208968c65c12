// What is stored of a block beside its keys and values, so that it can be found without reading them.
#pragma once

#include <cstddef>
#include <span>

#include "base/hash.h"
#include "base/thread_pool.h"
#include "memory/block_format.h"
#include "ops/attention/sequence_kv.h"

namespace qwen25 {

// Of blocks of `shape` in all layers of a model.
BlockFormat StoredBlockFormat(const Hash128& fingerprint, const AttentionShape& shape, size_t num_layers);

// Summaries of blocks, layer by layer: `layers` [blocks * num_layers], each layer_bytes of a full block,
// gives `summaries` [blocks * num_layers * summary_bytes], as NewBlock wants them.
void SummarizeLayers(ThreadPool& threads, const AttentionShape& shape,
                     std::span<const std::byte* const> layers, std::span<std::byte> summaries);

}  // namespace qwen25
